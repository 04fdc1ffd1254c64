"""Lawns with trees, and people and animals close by."""

import math

from lyra.worlds.layout import furniture
from lyra.worlds.layout.builder import Builder
from lyra.worlds.layout.figures import bird, crowd, person, quadruped
from lyra.worlds.layout.plants import bark_material, bush, grass_tuft, leaf_material, tree
from lyra.worlds.layout.stage import Stage
from lyra.worlds.layout.towers import block_of_flats, village


def park(build: Builder) -> Stage:
    """Somebody or some animal in the foreground; trees, benches and houses farther on."""
    ground = build.meadow(build.random.choice(("grass", "grass", "forest", "ground")), metres=3.0)
    build.floor(0, 80, 250, 250, ground)
    leaves, bark = leaf_material(build, 1.6), bark_material(build)
    distance = build.uniform(1.7, 4.6)
    low = _subjects(build, distance)
    for _ in range(build.random.randrange(4, 8)):
        z = distance + build.uniform(2, 22)
        x = build.random.choice((-1, 1)) * build.uniform(0.1, 0.7) * z
        tree(build, x, z, build.uniform(4, 9), leaves if build.chance(0.6) else leaf_material(build, 1.6), bark)
    for _ in range(build.random.randrange(1, 5)):
        z = distance + build.uniform(1, 14)
        bush(build, build.random.choice((-1, 1)) * build.uniform(0.25, 0.8) * z, z, build.uniform(0.4, 1.1), leaves)
    blades = leaf_material(build, 0.5)
    for _ in range(5):
        z = build.uniform(0.6, 1.6) * distance
        grass_tuft(build, build.uniform(-0.7, 0.7) * z, z, build.uniform(0.08, 0.3), blades)
    if build.chance(0.5):
        gravel = build.material("ground", "sand", "road", "paving", metres=2.0, lightness=(0.15, 0.45), macro=0.4)
        build.new_feature("path")
        middle, half = (build.uniform(-4, 4), 0.008, 14), (build.uniform(0.7, 1.5), 0.01, 22)
        build.box(middle, half, gravel, build.uniform(-0.5, 0.5), ball=0.0)
        build.end_object()
    if build.chance(0.35):
        z = distance + build.uniform(2, 7)
        wood = build.material("wood", metres=0.8, lightness=(0.06, 0.35))
        furniture.bench(build, build.random.choice((-1, 1)) * build.uniform(0.2, 0.5) * z, z, math.pi, wood)
    _distance(build)
    if not low or build.chance(0.3):
        _hedge(build, distance + build.uniform(1.8, 4.5))
    eye = build.uniform(0.6, 1.2) if low and build.chance(0.6) else build.uniform(1.2, 1.7)
    return Stage(
        kind="landscape",
        style="park",
        surfaces=(("ground", ground),),
        eye=(0.0, eye, 0.0),
        yaw=build.uniform(-0.15, 0.15),
        pitch=math.atan2(eye, build.uniform(1.2, 1.5) * distance) if low else build.uniform(0.06, 0.16),
        fov=(36.0, 68.0),
        haze=build.uniform(0.0005, 0.004),
        mover=(0.5, 0.12, distance + 2.5),
        movers=("ball", "person", "dog", "dog"),
        mover_reach=1.2,
        mover_size=0.14,
    )


def _subjects(build: Builder, distance: float) -> bool:
    """What the picture was taken of; whether it is lower than a person."""
    what = build.random.random()
    toward = math.pi + build.uniform(-0.9, 0.9)
    if what < 0.35:
        size = build.uniform(0.4, 0.75)
        for number in range(build.random.choice((1, 1, 2, 2, 3))):
            x = (number - 0.5) * build.uniform(0.7, 1.1) + build.uniform(-0.2, 0.2)
            quadruped(
                build,
                x,
                distance + build.uniform(0, 0.8),
                toward + build.uniform(-0.6, 0.6),
                size,
                lying=build.chance(0.25),
            )
        return True
    if what < 0.5:
        noun, size = build.random.choice((("horse", 1.5), ("cow", 1.3), ("sheep", 0.7)))
        for number in range(build.random.choice((1, 1, 2, 3))):
            z = distance + size * 1.4 + 2.0 * number
            quadruped(build, build.uniform(-0.25, 0.25) * z, z, build.uniform(-math.pi, math.pi), size, noun)
        return size < 1
    if what < 0.6:
        near = 0.55 * distance
        for _ in range(build.random.randrange(1, 5)):
            z = near + build.uniform(0, 1.5)
            bird(build, build.uniform(-0.3, 0.3) * z, z, build.uniform(-3, 3), build.uniform(0.22, 0.5))
        return True
    if what < 0.85:
        person(build, build.uniform(-0.3, 0.3), distance, toward)
        if build.chance(0.5):
            person(build, build.uniform(0.5, 0.8), distance + build.uniform(-0.2, 0.4), toward)
        if build.chance(0.3):
            quadruped(build, -0.8, distance - 0.2, toward, 0.5)
        return False
    crowd(build, build.random.randrange(3, 6), (-0.45 * distance, 0.45 * distance), (distance, distance + 7))
    return False


def _hedge(build: Builder, z: float) -> None:
    """Something that closes the view behind the subject: a hedge or a wall."""
    turn = math.pi + build.uniform(-0.2, 0.2)
    if build.chance(0.5):
        wall = build.material("brick", "stone", "plaster", "wood", metres=1.6, lightness=(0.1, 0.5), macro=0.3)
        build.box((0, 1.2, z), (14, build.uniform(0.9, 2.4), 0.2), wall, turn, ball=0.0)
        return
    leaves = leaf_material(build, 1.4)
    for layer in range(3):
        mask = build.mask("bush" if layer else "leaves")
        repeat = (build.random.choice((5.0, 8.0)), 1.0)
        build.upright(
            (0, 0.9, z + 0.35 * layer), 14, 1.2 + 0.4 * layer, turn, leaves, mask=mask, mask_repeat=repeat, puffy=True
        )


def _distance(build: Builder) -> None:
    """What closes the view: trees, houses or flats."""
    wood = leaf_material(build, 3.0)
    build.upright(
        (build.uniform(-8, 8), 4.5, build.uniform(38, 60)), 90, build.uniform(4, 9), math.pi, wood,
        mask=build.mask("treeline"), mask_repeat=(build.random.choice((4.0, 7.0)), 1.0), puffy=True,
    )  # fmt: skip
    what = build.random.random()
    if what < 0.3:
        village(build, (-22, 22), build.uniform(26, 36), 1.0, build.random.randrange(2, 4))
    elif what < 0.5:
        for _ in range(2):
            block_of_flats(
                build, build.uniform(-30, 30), build.uniform(65, 90), build.uniform(7, 12), build.uniform(14, 35)
            )
