"""High country: slopes with stones, cliffs and snow behind them."""

import math

from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.layout.figures import person, quadruped
from lyra.worlds.layout.forests import boulder
from lyra.worlds.layout.plants import bark_material, conifer, grass_tuft, leaf_material
from lyra.worlds.layout.stage import Stage


def mountain(build: Builder) -> Stage:
    """A meadow or scree that rises to one side, and peaks of broken rock."""
    side = build.random.choice((-1, 1))
    ground = build.meadow(build.random.choice(("grass", "ground", "rock", "grass")), metres=4.0)
    rock = build.material("cliff", "rock", metres=7.0, lightness=(0.08, 0.35), macro=0.7)
    near_rock = Material(rock.tile, 1.3, rock.mirror, rock.tint, 0.6)
    build.floor(0, 200, 900, 400, ground)
    _slopes(build, ground, side)
    _peaks(build, rock, side)
    if build.chance(0.55):
        earth = build.material("ground", "sand", "rock", metres=2.0, lightness=(0.12, 0.4), macro=0.6)
        x, turn = build.uniform(-1.5, 1.5), build.uniform(-0.2, 0.2)
        build.new_feature("path")
        for part in range(3):
            length = 5.0 * (part + 1)
            z = (2.0, 11.0, 27.0)[part]
            build.box((x, 0.012, z), (0.55, 0.014, length), earth, turn, ball=0.0)
            x += math.sin(turn) * length
            turn += build.uniform(-0.25, 0.25)
            x += math.sin(turn) * length
        build.end_object()
    for _ in range(build.random.randrange(6, 13)):
        z = build.uniform(2.5, 14)
        boulder(build, build.uniform(-0.7, 0.7) * z, z, build.uniform(0.05, 0.16) * math.sqrt(z), near_rock)
    tufts = leaf_material(build, 0.6)
    for _ in range(build.random.randrange(3, 8)):
        z = build.uniform(2, 6)
        grass_tuft(build, build.uniform(-0.6, 0.6) * z, z, build.uniform(0.12, 0.3), tufts)
    needles, bark = leaf_material(build, 1.6), bark_material(build)
    for _ in range(build.random.randrange(0, 6)):
        z = build.uniform(9, 45)
        conifer(
            build, build.random.choice((-1, 1)) * build.uniform(0.15, 0.7) * z, z, build.uniform(3, 8), needles, bark
        )
    if build.chance(0.3):
        person(build, build.uniform(-1.5, 1.5), build.uniform(4, 10), build.uniform(-math.pi, math.pi))
    elif build.chance(0.35):
        for _ in range(build.random.randrange(1, 4)):
            z = build.uniform(5, 14)
            quadruped(build, build.uniform(-0.4, 0.4) * z, z, build.uniform(-3, 3), build.uniform(0.6, 1.3), "cow")
    return Stage(
        kind="landscape",
        style="mountain",
        surfaces=(("ground", ground),),
        eye=(0.0, build.uniform(1.5, 4.0), 0.0),
        yaw=build.uniform(-0.2, 0.2),
        pitch=build.uniform(-0.06, 0.16),
        fov=(36.0, 78.0),
        haze=build.random.choice((0.0008, 0.002, 0.004)) * build.uniform(0.6, 1.3),
        mover=(0.0, 0.4, 8.0),
        movers=("person", "dog"),
        mover_reach=2.0,
        mover_size=0.3,
        sun_turn=(-1.9, -1.2, 1.2, 1.9, 2.6, -2.6),
    )


def _slopes(build: Builder, ground: Material, side: int) -> None:
    """Ground that rises on one side, and rolls on."""
    half = (build.uniform(50, 110), build.uniform(10, 28), build.uniform(60, 120))
    build.ball((side * (half[0] + build.uniform(9, 18)), -0.5, 60), half, ground, from_above=True, occluder=0.0)
    for _ in range(4):
        z = build.uniform(14, 60)
        rise = build.uniform(0.03, 0.12) * z
        half = (build.uniform(0.3, 0.8) * z, rise, build.uniform(0.2, 0.4) * z)
        x = build.uniform(-0.8, 0.8) * z
        build.ball((x, -0.15 * rise, z + half[2]), half, ground, from_above=True, occluder=0.0)


def _peaks(build: Builder, rock: Material, side: int) -> None:
    """Broken rock in layers: jagged flats that lean back, blocks and scree before them, snow on the farther ones."""
    snowy = build.chance(0.5)
    snow = build.dyed((0.75, 0.78, 0.82), "snow", metres=6.0)
    distance = build.uniform(60, 150)
    for layer in range(build.random.randrange(3, 6)):
        z = distance * (1 + 0.14 * layer)
        height = distance * build.uniform(0.06, 0.14) * (1 + 0.35 * layer)
        x = side * build.uniform(-0.1, 0.5) * distance
        shade = build.uniform(0.75, 1.25)
        base = snow if snowy and layer > 1 and build.chance(0.6) else rock
        skin = base.tinted((shade * base.tint[0], shade * base.tint[1], shade * base.tint[2]))
        wide = distance * build.uniform(0.8, 1.6)
        mask, repeat = build.mask("ridge"), (build.random.choice((1.0, 1.0, 2.0)), 1.0)
        lean = build.uniform(0.25, 0.7)
        build.upright((x, 0.8 * height, z), wide, height, math.pi, skin, mask=mask, mask_repeat=repeat, lean=lean)
        for _ in range(4):
            part = height * build.uniform(0.15, 0.4)
            centre = (x + build.uniform(-0.8, 0.8) * wide, build.uniform(0.1, 0.5) * height, z - build.uniform(2, 8))
            half = (part * build.uniform(0.5, 1.3), part, part * build.uniform(0.3, 0.8))
            tilt = (build.uniform(0, 3), build.uniform(-0.6, 0.6), build.uniform(-0.6, 0.6))
            if build.chance(0.5):
                build.block(centre, half, skin, *tilt)
            else:
                build.blob(centre, half, skin, *tilt)
    far = Material(rock.tile, 26.0, True, rock.tint, 0.8)
    rise = build.uniform(0.12, 0.3) * distance
    build.upright(
        (build.uniform(-40, 40), rise - 3, 2.4 * distance), 4 * distance, rise, math.pi, far, mask=build.mask("ridge"),
        mask_repeat=(2.0, 1.0), lean=0.4,
    )  # fmt: skip
