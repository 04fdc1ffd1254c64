"""Trees, bushes and grass."""

import math

from lyra.worlds.layout.builder import Builder, Material, Point


def tree(build: Builder, x: float, z: float, height: float, leaves: Material, bark: Material, base: float = 0.0) -> None:
    """A trunk under two or three airy shells of leaves, or a conifer of stacked cones."""
    build.new_object("trees")
    trunk = height * build.uniform(0.3, 0.42)
    girth = height * build.uniform(0.018, 0.03) + 0.03
    build.cylinder((x, base + trunk * 0.6, z), girth, trunk * 0.6 + 0.1, bark, taper=0.35)
    spread = height * build.uniform(0.2, 0.3)
    crown = height - trunk
    middle = base + trunk + 0.45 * crown
    shells = 3 if build.chance(0.5) else 2
    repeat = build.uniform(1.2, 2.2)
    for shell in range(shells):
        turn = build.uniform(0, 2 * math.pi)
        reach = 0.3 * spread if shell else 0.0
        size = build.uniform(0.62, 0.85) if shell else 1.0
        centre = (x + reach * math.sin(turn), middle + (build.uniform(-0.12, 0.22) * crown if shell else 0.0), z + reach * math.cos(turn))
        half = (spread * size, 0.52 * crown * size, spread * size)
        build.leaves(centre, half, leaves, build.mask("leaves"), repeat * size, build.uniform(0, 3))
    core = 0.62
    build.ball((x, middle, z), (spread * core, 0.5 * crown * core, spread * core), leaves.tinted(_darker(leaves)), occluder=0.0)
    build.end_object()


def conifer(build: Builder, x: float, z: float, height: float, leaves: Material, bark: Material, base: float = 0.0) -> None:
    """Crossed conifer silhouettes on a trunk."""
    build.new_object("conifers")
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
    build.new_object("bushes")
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
    build.new_object("a potted plant")
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
    """Foliage, brought to the brightness of sunlit leaves."""
    return build.material("foliage", "grass", "forest", metres=metres, lightness=(0.07, 0.2), vary=0.25, macro=0.5)


def bark_material(build: Builder) -> Material:
    return build.material("bark", metres=0.9, lightness=(0.05, 0.25))


def _darker(material: Material) -> tuple[float, float, float]:
    return (0.4 * material.tint[0], 0.45 * material.tint[1], 0.4 * material.tint[2])
