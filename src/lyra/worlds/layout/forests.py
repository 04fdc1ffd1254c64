"""Inside a forest: trunks at every depth, undergrowth, and leaves that close the view."""

import math

from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.layout.figures import person, quadruped
from lyra.worlds.layout.plants import bark_material, bush, grass_tuft, leaf_material
from lyra.worlds.layout.stage import Stage

_BARKS = ((0.1, 0.075, 0.055), (0.16, 0.14, 0.11), (0.06, 0.05, 0.045), (0.35, 0.34, 0.31))


def forest(build: Builder) -> Stage:
    """A walk under trees, with a path, a stream or neither."""
    ground = build.material("forest", "ground", "grass", metres=3.0, lightness=(0.05, 0.25), macro=0.9)
    build.floor(0, 60, 200, 200, ground)
    bark = build.dyed(build.random.choice(_BARKS), "bark", "rock", metres=0.9)
    leaves = leaf_material(build, 1.6)
    _swells(build, ground)
    way = build.random.random()
    free = build.uniform(-0.15, 0.15)  # direction in which the view is open
    if way < 0.3:
        earth = build.material("ground", "sand", "road", metres=2.0, lightness=(0.12, 0.35), macro=0.6)
        build.new_feature("path")
        build.box((free * 14, 0.006, 14), (build.uniform(0.5, 1.1), 0.008, 18), earth, free, ball=0.0)
        build.end_object()
    elif way < 0.55:
        stream(build, free * 8)
    _trunks(build, bark, free)
    _undergrowth(build, leaves)
    _canopy(build, leaves)
    for distance in (34.0, 46.0, 60.0):
        wall = leaf_material(build, 3.0)
        kind = "treeline" if build.chance(0.4) else "leaves"
        height = build.uniform(6, 11)
        build.upright(
            (build.uniform(-5, 5), height - 0.5, distance), 60, height, math.pi, wall, mask=build.mask(kind),
            mask_repeat=(build.random.choice((4.0, 6.0, 9.0)), 1.0), puffy=True,
        )  # fmt: skip
    if build.chance(0.2):
        person(build, free * 6 + build.uniform(-0.6, 0.6), build.uniform(4.5, 9), build.uniform(-math.pi, math.pi))
    elif build.chance(0.2):
        quadruped(build, build.uniform(-1, 1), build.uniform(3.0, 5), build.uniform(-math.pi, math.pi), 0.55)
    return Stage(
        kind="landscape",
        style="forest",
        surfaces=(("ground", ground),),
        eye=(0.0, build.uniform(1.2, 1.8), 0.0),
        yaw=free + build.uniform(-0.1, 0.1),
        pitch=build.uniform(-0.08, 0.16),
        fov=(36.0, 84.0),
        haze=build.random.choice((0.002, 0.006, 0.015)) * build.uniform(0.6, 1.3),
        mover=(free * 7, 0.35, 6.0),
        movers=("person", "dog"),
        mover_reach=1.5,
        mover_size=0.22,
    )


def _swells(build: Builder, ground: Material) -> None:
    """Low mounds, and a bank on one side."""
    for _ in range(3):
        z = build.uniform(6, 25)
        half = (build.uniform(2, 6), build.uniform(0.25, 0.9), build.uniform(2, 5))
        x = build.random.choice((-1, 1)) * (half[0] + build.uniform(0.5, 5))
        build.ball((x, -0.15, z + half[2]), half, ground, from_above=True, occluder=0.0)
    if build.chance(0.4):
        side = build.random.choice((-1, 1))
        half = (build.uniform(6, 12), build.uniform(1.5, 5), 40)
        build.ball((side * (half[0] + build.uniform(3, 6)), -0.3, 25), half, ground, from_above=True, occluder=0.0)


def _trunks(build: Builder, bark: Material, free: float) -> None:
    """Rows of trunks, thinner and denser with distance, none where the view is open."""
    young = build.chance(0.35)
    for number in range(build.random.randrange(18, 28)):
        z = 2.6 * (1.105**number) * build.uniform(0.9, 1.1)
        x = build.random.choice((-1, 1)) * build.uniform(0.09, 0.75) * (z + 1.5) + free * z
        girth = build.uniform(0.05, 0.12) if young else build.uniform(0.09, 0.3)
        height = build.uniform(6, 11) if young else build.uniform(8, 16)
        lean = (build.uniform(-0.07, 0.07) * height, build.uniform(-0.05, 0.05) * height)
        shade = build.uniform(0.7, 1.25)
        skin = bark.tinted((shade * bark.tint[0], shade * bark.tint[1], shade * bark.tint[2]))
        build.new_object("tree")
        build.rod((x, -0.2, z), (x + lean[0], height, z + lean[1]), girth, skin, taper=0.45, ball=0.8)
        if z < 9 and build.chance(0.6):  # roots, or a branch
            at = build.uniform(0.3, 0.6)
            start = (x + at * lean[0], at * height, z + at * lean[1])
            side = build.random.choice((-1, 1))
            build.rod(
                start,
                (
                    start[0] + side * build.uniform(0.8, 2),
                    start[1] + build.uniform(0.2, 1.4),
                    start[2] + build.uniform(-1, 1),
                ),
                0.3 * girth,
                skin,
                taper=0.6,
            )
        build.end_object()


def _undergrowth(build: Builder, leaves: Material) -> None:
    for _ in range(build.random.randrange(3, 6)):
        z = build.uniform(5, 18)
        x = build.random.choice((-1, 1)) * build.uniform(0.2, 0.8) * z
        bush(build, x, z, build.uniform(0.3, 0.9), leaves if build.chance(0.6) else leaf_material(build, 1.2))
    fern = leaf_material(build, 0.7)
    for _ in range(build.random.randrange(4, 9)):
        z = build.uniform(2.2, 9)
        grass_tuft(build, build.uniform(-0.7, 0.7) * z, z, build.uniform(0.25, 0.6), fern)
    rock = build.material("rock", "cliff", metres=1.2, lightness=(0.05, 0.3), macro=0.6)
    for _ in range(build.random.randrange(0, 5)):
        z = build.uniform(2.6, 10)
        boulder(build, build.random.choice((-1, 1)) * build.uniform(0.15, 0.6) * z, z, build.uniform(0.15, 0.5), rock)
    if build.chance(0.4):
        build.new_object("log")
        bark = bark_material(build)
        z, x = build.uniform(3.5, 8), build.random.choice((-1, 1)) * build.uniform(0.8, 2.5)
        length, turn = build.uniform(1.5, 4), build.uniform(0, math.pi)
        start = (x - length * math.cos(turn), 0.16, z - 0.5 * length * math.sin(turn))
        build.rod(start, (x + length * math.cos(turn), 0.2, z + 0.5 * length * math.sin(turn)), 0.17, bark, 0.25, 1.0)
        build.end_object()


def _canopy(build: Builder, leaves: Material) -> None:
    """Leaves above: sprays of the near trees, a broken ceiling farther on."""
    for _ in range(build.random.randrange(4, 9)):
        z = build.uniform(6, 24)
        x = build.uniform(-0.7, 0.7) * z
        shade = build.uniform(0.75, 1.3)
        spray = leaves.tinted((shade * leaves.tint[0], shade * leaves.tint[1], shade * leaves.tint[2]))
        build.new_object()
        half = (build.uniform(1.2, 3), build.uniform(0.5, 1.3), build.uniform(1.2, 3))
        build.leaves(
            (x, build.uniform(0.18, 0.4) * z + 1.8, z), half, spray, build.mask("leaves"), build.uniform(1.5, 3),
            build.uniform(0, 3),
        )  # fmt: skip
        build.end_object()


def boulder(build: Builder, x: float, z: float, size: float, rock: Material, base: float = 0.0) -> None:
    """Two or three tilted blocks and an ellipsoid grown into one stone."""
    build.new_object("rock")
    half = (size, size * build.uniform(0.5, 0.9), size * build.uniform(0.7, 1.2))
    build.blob((x, base + 0.25 * half[1], z), half, rock, build.uniform(0, 3), build.uniform(-0.3, 0.3), occluder=1.0)
    for _ in range(build.random.randrange(1, 3)):
        part = size * build.uniform(0.4, 0.7)
        build.block(
            (x + build.uniform(-0.5, 0.5) * size, base + 0.35 * half[1], z + build.uniform(-0.5, 0.5) * size),
            (part, part * build.uniform(0.5, 0.9), part * build.uniform(0.6, 1)), rock,
            build.uniform(0, 3), build.uniform(-0.5, 0.5), build.uniform(-0.5, 0.5),
        )  # fmt: skip
    build.end_object()


def stream(build: Builder, x: float) -> None:
    """Water in a bed of stones that comes towards the camera, with white where it falls."""
    water = build.dyed((0.05, 0.07, 0.07), "water", metres=1.6, gloss=0.6)
    foam = build.dyed((0.6, 0.64, 0.66), "snow", "plaster", metres=0.7)
    rock = build.material("rock", "cliff", metres=0.9, lightness=(0.06, 0.35), macro=0.5)
    z, side, level = 2.0, x, 0.02
    for _ in range(5):
        length, half = build.uniform(1.5, 3.5), build.uniform(0.5, 1.1)
        build.new_feature("stream")
        build.box((side, level, z + length), (half, 0.02, length), water, build.uniform(-0.2, 0.2), ball=0.0)
        build.end_object()
        build.blob((side, level + 0.02, z + 2 * length), (0.7 * half, 0.1, 0.22), foam)
        for edge in (-1, 1):
            for step in (0.5, 1.4):
                stone = build.uniform(0.15, 0.45)
                boulder(build, side + edge * (half + 0.4 * stone), z + step * length, stone, rock)
        z += 1.9 * length
        side += build.uniform(-0.8, 0.8)
        level += build.uniform(0.02, 0.12)
