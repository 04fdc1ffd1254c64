"""Trees, bushes and grass."""

import math

from lyra.worlds.layout.builder import Builder, Material, Point


def tree(
    build: Builder, x: float, z: float, height: float, leaves: Material, bark: Material, base: float = 0.0
) -> None:
    """A trunk under clumps of leaves, each an airy shell, around a dark core."""
    build.new_object("tree")
    trunk = height * build.uniform(0.28, 0.4)
    girth = height * build.uniform(0.016, 0.026) + 0.03
    build.cylinder((x, base + trunk * 0.7, z), girth, trunk * 0.7 + 0.1, bark, taper=0.45)
    spread = height * build.uniform(0.2, 0.28)
    crown = height - trunk
    middle = base + trunk + 0.45 * crown
    repeat = build.uniform(1.3, 2.0)
    clumps = 4 if build.chance(0.5) else 3
    turn = build.uniform(0, 2 * math.pi)
    for clump in range(clumps):
        angle = turn + 2 * math.pi * clump / clumps
        size = build.uniform(0.58, 0.8)
        reach = 0.5 * spread
        lift = build.uniform(-0.2, 0.12) * crown
        centre = (x + reach * math.sin(angle), middle + lift, z + reach * math.cos(angle))
        half = (spread * size, 0.4 * crown * size * build.uniform(0.85, 1.2), spread * size)
        shade = build.uniform(0.8, 1.15)
        tinted = leaves.tinted((shade * leaves.tint[0], shade * leaves.tint[1], shade * leaves.tint[2]))
        build.leaves(centre, half, tinted, build.mask("leaves"), repeat, build.uniform(0, 3))
    half = (0.62 * spread, 0.4 * crown, 0.62 * spread)
    build.leaves((x, middle + 0.18 * crown, z), half, leaves, build.mask("leaves"), repeat, build.uniform(0, 3))
    core = 0.55
    build.ball(
        (x, middle, z), (spread * core, 0.36 * crown, spread * core), leaves.tinted(_darker(leaves)), occluder=0.0
    )
    build.end_object()


def conifer(
    build: Builder, x: float, z: float, height: float, leaves: Material, bark: Material, base: float = 0.0
) -> None:
    """Crossed conifer silhouettes on a trunk."""
    build.new_object("conifer")
    build.cylinder((x, base + 0.2 * height, z), 0.02 * height, 0.2 * height + 0.1, bark, taper=0.3)
    turn = build.uniform(0, math.pi)
    mask = build.mask("conifer")
    for step in range(3):
        build.upright(
            (x, base + 0.55 * height, z), 0.26 * height, 0.47 * height, turn + step * math.pi / 3, leaves,
            mask=mask, puffy=True,
        )  # fmt: skip
    build.end_object()


def bush(build: Builder, x: float, z: float, size: float, leaves: Material, base: float = 0.0) -> None:
    """Two shells around a dark core."""
    build.new_object("bush")
    half = (size * build.uniform(0.8, 1.2), size * build.uniform(0.6, 0.9), size * build.uniform(0.8, 1.2))
    centre: Point = (x, base + 0.55 * half[1], z)
    build.leaves(centre, half, leaves, build.mask("leaves"), build.uniform(1.0, 2.0), build.uniform(0, 3))
    build.ball(centre, (half[0] * 0.8, half[1] * 0.8, half[2] * 0.8), leaves.tinted(_darker(leaves)), occluder=0.0)
    build.end_object()


def grass_tuft(build: Builder, x: float, z: float, height: float, leaves: Material, base: float = 0.0) -> None:
    """Two crossed grass silhouettes."""
    build.new_object()
    turn = build.uniform(0, math.pi)
    for step in range(2):
        build.upright(
            (x, base + 0.5 * height, z), 0.6 * height, 0.5 * height, turn + step * math.pi / 2, leaves,
            mask=build.mask("grass"), puffy=True,
        )  # fmt: skip
    build.end_object()


def potted_plant(build: Builder, x: float, z: float, height: float, base: float = 0.0) -> None:
    """A tapered pot with leaves."""
    build.new_object("plant")
    pot = 0.3 * height
    clay = build.material("wall", "brick", "stone", "marble", metres=0.6)
    build.cylinder((x, base + pot / 2, z), 0.16 * height, pot / 2, clay, taper=-0.25)
    leaves = leaf_material(build, 0.5)
    spread = 0.3 * height
    middle = base + pot + 0.38 * height
    build.leaves((x, middle, z), (spread, 0.4 * height, spread), leaves, build.mask("leaves"), 1.0, build.uniform(0, 3))
    build.leaves((x, middle, z), (0.7 * spread, 0.3 * height, 0.7 * spread), leaves, build.mask("leaves"), 0.8)
    build.end_object()


def leaf_material(build: Builder, metres: float = 1.6) -> Material:
    """Leaves whose tile covers ``metres``."""
    return build.leaf(metres)


def bark_material(build: Builder) -> Material:
    """Bark for trunks."""
    return build.material("bark", metres=0.9, lightness=(0.05, 0.25))


def _darker(material: Material) -> tuple[float, float, float]:
    return (0.4 * material.tint[0], 0.45 * material.tint[1], 0.4 * material.tint[2])
