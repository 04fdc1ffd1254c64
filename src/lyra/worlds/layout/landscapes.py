"""Open country: hills, mountains, trees, rocks and water."""

import math

from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.layout.plants import bark_material, bush, conifer, grass_tuft, leaf_material, tree
from lyra.worlds.layout.stage import Stage

# biome: ground categories, rock categories, whether things grow there, style for captions
_BIOMES = (
    (("grass",), ("rock", "cliff"), True, "meadow"),
    (("grass", "ground"), ("rock", "cliff"), True, "meadow"),
    (("forest",), ("rock", "cliff"), True, "forest"),
    (("grass",), ("cliff", "rock"), True, "meadow"),
    (("ground",), ("cliff", "rock"), False, "stony"),
    (("sand",), ("cliff", "rock"), False, "desert"),
    (("snow",), ("cliff", "rock"), False, "snow"),
)

MOUNTAIN_HEIGHT = 38.0
"""Ridges of this height, metres, are called mountains: about thirteen degrees above the horizon."""


def landscape(build: Builder) -> Stage:
    """Ground, rolling hills, ridges at the horizon and things scattered between."""
    grounds, rocks, green, style = build.random.choice(_BIOMES)
    ground = build.meadow(*grounds, metres=4.0)
    rock = build.material(*rocks, metres=2.5, lightness=(0.08, 0.4), macro=0.5)
    build.floor(0, 150, 400, 400, ground)
    second = build.meadow(*grounds, metres=7.0)
    _hills(build, ground, second)
    _ridges(build, rock, second)
    if build.chance(0.3):
        water = build.material("water", metres=4.0, lightness=(0.03, 0.08), gloss=0.4, macro=0.4)
        build.new_feature("pond")
        build.cylinder(
            (build.uniform(-8, 8), 0.012, build.uniform(12, 24)),
            build.uniform(5, 11),
            0.01,
            water,
            radius_z=build.uniform(3, 6),
            ball=0.0,
        )
        build.end_object()
    if build.chance(0.35):
        path = build.material("ground", "sand", "road", "paving", metres=2.2, lightness=(0.1, 0.4), macro=0.5)
        build.new_feature("path")
        build.box(
            (build.uniform(-3, 3), 0.008, 20),
            (build.uniform(0.6, 1.4), 0.008, 26),
            path,
            build.uniform(-0.25, 0.25),
            ball=0.0,
        )
        build.end_object()
    if build.chance(0.3):
        _cottage(build)
    leaves, bark = leaf_material(build, 1.8), bark_material(build)
    evergreen = build.chance(0.4)
    amount = build.random.randrange(4, 9) if green else build.random.randrange(0, 4)
    for _ in range(amount):
        z = build.uniform(7, 40)
        x = build.random.choice((-1, 1)) * build.uniform(0.12, 0.75) * z + build.uniform(-1, 1)
        if evergreen:
            conifer(build, x, z, build.uniform(4, 9), leaves, bark)
        else:
            tree(build, x, z, build.uniform(4, 8), leaves, bark)
    for _ in range(build.random.randrange(2, 6)):
        z = build.uniform(4, 16)
        x = build.random.choice((-1, 1)) * build.uniform(0.1, 0.6) * z
        size = build.uniform(0.2, 0.9) * min(1.0, 0.15 * z)
        build.new_object("rock")
        for part in range(2):
            s = size * (1.0 if part == 0 else 0.6)
            centre = (x + part * size * 0.9, s * 0.3, z + build.uniform(-0.5, 0.5) * size)
            half = (s, s * build.uniform(0.5, 0.9), s * build.uniform(0.7, 1.2))
            build.ball(centre, half, rock, build.uniform(0, 3))
        build.end_object()
    if green:
        for _ in range(build.random.randrange(2, 5)):
            z = build.uniform(5, 14)
            bush(build, build.random.choice((-1, 1)) * build.uniform(0.15, 0.6) * z, z, build.uniform(0.4, 0.9), leaves)
        tufts = build.material("grass", metres=0.9, lightness=(0.1, 0.3))
        for _ in range(4):
            z = build.uniform(3, 8)
            grass_tuft(build, build.uniform(-0.6, 0.6) * z, z, build.uniform(0.25, 0.55), tufts)
    if green and build.chance(0.3):
        build.new_object("fence")
        wood = build.material("wood", metres=1.0, lightness=(0.08, 0.4))
        build.upright(
            (build.uniform(-3, 3), 0.5, build.uniform(10, 16)), 12, 0.5, math.pi + build.uniform(-0.3, 0.3), wood,
            mask=build.catalogue.mask_kinds["fence"][0], mask_repeat=(16.0, 1.0),
        )  # fmt: skip
        build.end_object()
    return Stage(
        kind="landscape",
        style=style,
        eye=(0.0, build.uniform(1.3, 2.6), 0.0),
        yaw=build.uniform(-0.15, 0.15),
        pitch=build.uniform(-0.02, 0.14),
        fov=(36.0, 82.0),
        haze=build.random.choice((0.0015, 0.003, 0.006, 0.012)) * build.uniform(0.6, 1.3),
        mover=(0.0, build.uniform(0.5, 2.0) if build.chance(0.25) else 0.0, build.uniform(7, 12)),
        movers=("ball", "person", "dog"),
        mover_reach=2.5,
        mover_size=0.35,
    )


def _hills(build: Builder, ground: Material, second: Material) -> None:
    for number in range(build.random.randrange(3, 7)):
        z = build.uniform(28, 90)
        x = build.uniform(-0.9, 0.9) * z
        rise = build.uniform(0.04, 0.14) * z
        half = (build.uniform(0.3, 0.7) * z, rise, build.uniform(0.25, 0.45) * z)
        z = max(z, half[2] + 14)
        build.ball((x, -0.15 * rise, z), half, ground if number % 2 else second, from_above=True, occluder=0.0)
    for _ in range(2):  # low swells in the middle distance
        z = build.uniform(16, 24)
        half = (build.uniform(6, 12), build.uniform(0.5, 1.2), build.uniform(4, 7))
        build.ball((build.uniform(-14, 14), -0.2, z), half, ground, from_above=True, occluder=0.0)


def _ridges(build: Builder, rock: Material, slope: Material) -> None:
    height = build.uniform(14, 60)
    for layer in range(build.random.randrange(1, 4)):
        z = 140 + 70 * layer
        material = (rock, slope, rock)[layer]
        far = Material(material.tile, 22.0, True, material.tint, 0.8)
        half = height * (1 + 0.7 * layer) * 0.5
        centre = (build.uniform(-30, 30), half - 2, z)
        repeat = (build.random.choice((1.0, 2.0)), 1.0)
        if height > MOUNTAIN_HEIGHT:
            build.new_feature("mountain", 4)
        build.upright(
            centre, 260 + 120 * layer, half, math.pi, far, mask=build.mask("ridge"), mask_repeat=repeat, lean=0.5
        )
        build.end_object()
    if build.chance(0.6):
        wood = build.leaf(6.0)
        build.upright(
            (0, 2.5, build.uniform(70, 110)),
            150,
            build.uniform(4, 8),
            math.pi,
            wood,
            mask=build.mask("treeline"),
            mask_repeat=(5.0, 1.0),
        )


def _cottage(build: Builder) -> None:
    build.new_object("cottage")
    side = build.random.choice((-1, 1))
    x, z, yaw = side * build.uniform(4, 9), build.uniform(15, 26), build.uniform(-0.5, 0.5)
    half, depth, height = build.uniform(2.4, 3.6), build.uniform(1.8, 2.6), build.uniform(2.2, 3.0)
    wall = build.material("brick", "wall", "stone", "wood", metres=1.8, lightness=(0.15, 0.6))
    build.box((x, height / 2, z), (half, height / 2, depth), wall, yaw, ball=0.5)
    roof = build.material("roof", metres=1.4, lightness=(0.06, 0.3))
    pitch = 0.7
    along = (depth + 0.3) / math.cos(pitch) / 2
    for flip in (0.0, math.pi):
        facing = yaw + flip
        s, c = math.sin(facing), math.cos(facing)
        reach = (depth + 0.3) / 2
        build.slope(
            (x + s * reach, height + along * math.sin(pitch) - 0.2, z + c * reach),
            half + 0.25,
            along,
            facing,
            pitch,
            roof,
        )
    s, c = math.sin(yaw + math.pi), math.cos(yaw + math.pi)
    glass = build.material("metal", "stone", metres=2.0, lightness=(0.015, 0.04), gloss=0.4)
    style = build.random.randrange(4)
    for mask, gap, material in (
        (build.catalogue.mask_kinds["panes"][style], 0.02, glass),
        (build.catalogue.mask_kinds["frame"][style], 0.04, build.material("wood", metres=0.8, lightness=(0.3, 0.7))),
    ):
        build.upright(
            (x + s * (depth + gap), height / 2, z + c * (depth + gap)),
            half,
            height / 2,
            yaw + math.pi,
            material,
            mask=mask,
            mask_repeat=(3.0, 1.0),
        )
    build.end_object()
