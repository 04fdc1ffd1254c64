"""Cities: a view over roofs and roads, and fronts of houses seen from across a square."""

import math

from lyra.worlds.layout import furniture
from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.layout.figures import crowd, person
from lyra.worlds.layout.plants import bark_material, bush, leaf_material, potted_plant, tree
from lyra.worlds.layout.stage import Stage
from lyra.worlds.layout.towers import block_of_flats, gable, tower, wall_material


def city(build: Builder) -> Stage:
    """Either kind of view."""
    return _overlook(build) if build.chance(0.4) else _square(build)


def _overlook(build: Builder) -> Stage:
    """Blocks, roads and trees from a height."""
    eye = build.uniform(14, 40)
    ground = build.material("road", "ground", "paving", "grass", metres=7.0, lightness=(0.08, 0.3), macro=0.6)
    build.floor(0, 300, 900, 500, ground)
    asphalt = build.dyed((0.1, 0.1, 0.105), "road", metres=5.0)
    kerb = build.material("paving", "stone", metres=3.0, lightness=(0.2, 0.4))
    turn = build.uniform(-0.25, 0.25)
    build.box((0, 0.05, 150), (9.5, 0.05, 190), kerb, turn, ball=0.0)
    for side in (-1, 1):
        build.box((side * 4.6, 0.09, 150), (3.8, 0.05, 190), asphalt, turn, ball=0.0)
    row = {-1: 1.4 * eye, 1: 1.8 * eye}
    for number in range(build.random.randrange(8, 12)):
        side = 1 if number % 2 else -1
        half = build.uniform(6, 12)
        row[side] += half
        x = side * (12 + half + build.uniform(0, 0.4) * row[side]) + math.sin(turn) * (row[side] - 150)
        tall = build.uniform(1.0, 2.4) * eye if build.chance(0.5) else build.uniform(5, 12)
        block_of_flats(build, x, row[side], half, tall, build.uniform(-0.1, 0.1) + turn)
        row[side] += half * build.uniform(1.2, 2.6)
    leaves = leaf_material(build, 2.0)
    for _ in range(build.random.randrange(8, 13)):
        z = build.uniform(1.1, 4) * eye
        x = build.random.choice((-1, 1)) * build.uniform(11, 14 + 0.5 * z) + math.sin(turn) * (z - 150)
        build.new_object("tree")
        size = build.uniform(1.6, 3.2)
        build.leaves(
            (x, 1.1 * size, z), (size, 1.1 * size, size), leaves, build.mask("leaves"), 2.0, build.uniform(0, 3)
        )
        build.ball((x, 1.0 * size, z), (0.75 * size,) * 3, leaves.tinted(_dimmed(leaves)), occluder=1.0)
        build.end_object()
    for _ in range(build.random.randrange(2, 4)):
        z = build.uniform(1.2, 4) * eye
        lane = build.random.choice((-6.2, -3.2, 3.2, 6.2))
        furniture.car(build, lane + math.sin(turn) * (z - 150), z, turn)
    far = build.material("cliff", "grass", metres=26.0, lightness=(0.1, 0.3), macro=0.8)
    build.upright(
        (0, 14, 620), 1500, build.uniform(14, 40), math.pi, far, mask=build.mask("ridge"), mask_repeat=(3.0, 1.0)
    )
    return Stage(
        kind="city",
        style="above",
        surfaces=(("ground", ground),),
        eye=(build.uniform(-6, 6), eye, 0.0),
        yaw=build.uniform(-0.3, 0.3),
        pitch=build.uniform(0.08, 0.35),
        fov=(38.0, 74.0),
        haze=build.uniform(0.0004, 0.003),
        mover=(3.2 - 130 * math.sin(turn), 0.9, 2.2 * eye),
        movers=("car",),
        mover_reach=4.0,
        mover_size=0.9,
    )


def _square(build: Builder) -> Stage:
    """A front with depth, across paving on which people walk."""
    distance = build.uniform(8, 17)
    ground = build.material("paving", "paving", "stone", "road", metres=2.4, lightness=(0.12, 0.4), macro=0.5)
    build.floor(0, 40, 120, 100, ground)
    x = -build.uniform(10, 14)
    yaw = math.pi + build.uniform(-0.25, 0.25)
    while x < 12:
        half = build.uniform(3.5, 6)
        front(build, x + half, distance + build.uniform(-0.6, 0.8), half, build.uniform(5, 11), yaw)
        x += 2 * half + (build.uniform(1, 2.5) if build.chance(0.25) else 0.0)
    if build.chance(0.3):
        tower(build, build.uniform(-10, 10), distance + build.uniform(14, 30), build.uniform(16, 30))
    crowd(build, build.random.randrange(0, 4), (-0.5 * distance, 0.5 * distance), (0.35 * distance, 0.85 * distance))
    if build.chance(0.5):
        person(build, build.uniform(-0.25, 0.25) * distance, 0.45 * distance, build.uniform(-3, 3))
    for _ in range(build.random.randrange(1, 4)):
        side = build.random.choice((-1, 1))
        place, z = side * build.uniform(0.2, 0.6) * distance, build.uniform(0.45, 0.8) * distance
        what = build.random.random()
        if what < 0.35:
            furniture.bench(build, place, z, build.uniform(-3, 3), build.material("wood", metres=0.8))
        elif what < 0.6:
            potted_plant(build, place, z, build.uniform(0.8, 1.5))
        elif what < 0.75:
            furniture.lamp_post(build, place, z, -side)
        else:
            tree(build, place, z, build.uniform(3.5, 6), leaf_material(build), bark_material(build))
    if build.chance(0.3):
        furniture.car(build, build.uniform(-3, 3), 0.7 * distance, build.random.choice((-1.57, 1.57)))
    return Stage(
        kind="city",
        surfaces=(("ground", ground),),
        eye=(build.uniform(-2, 2), build.uniform(1.4, 1.9), 0.0),
        yaw=build.uniform(-0.35, 0.35),
        pitch=build.uniform(-0.2, 0.04),
        fov=(38.0, 80.0),
        haze=build.uniform(0.0005, 0.003),
        mover=(0.0, 0.4, 0.6 * distance),
        movers=("person", "dog"),
        mover_reach=1.5,
        mover_size=0.25,
        sun_turn=(-2.6, 2.6, 2.2, -2.2, 1.6, -1.6),
    )


def front(build: Builder, x: float, z: float, half: float, height: float, facing: float) -> None:
    """A house front with deep windows, and balconies, an oriel, pillars or awnings before it."""
    wall = wall_material(build, 2.0)
    trim = build.dyed((0.6, 0.57, 0.5), "stone", "plaster", metres=1.2)
    glass = build.dyed((0.035, 0.045, 0.055), "plaster", metres=3.0, gloss=0.5)
    s, c = math.sin(facing), math.cos(facing)

    def at(along: float, up: float, out: float) -> tuple[float, float, float]:
        return x + c * along + s * out, up, z - s * along + c * out

    style = build.random.randrange(4)
    floors, bays = max(2, round(height / 3.0)), max(2, round(2 * half / build.uniform(1.9, 2.8)))
    step, bay = height / floors, 2 * half / bays
    build.box(at(0, height / 2, -3.2), (half, height / 2, 3.0), wall.tinted(_dimmed(wall)), facing, ball=0.0)
    build.upright(at(0, height / 2, -0.18), half, height / 2, facing, glass)
    # the wall stands 18 cm before the glass, and the windows are holes in it
    build.upright(
        at(0, height / 2, 0), half, height / 2, facing, wall,
        mask=build.catalogue.mask_kinds["opening"][0], mask_repeat=(float(bays), float(floors)),
    )  # fmt: skip
    build.upright(
        at(0, height / 2, -0.1), half, height / 2, facing, trim,
        mask=build.catalogue.mask_kinds["frame"][style], mask_repeat=(float(bays), float(floors)),
    )  # fmt: skip
    for level in range(1, floors):
        if build.chance(0.5):
            build.box(at(0, level * step, 0.03), (half, 0.07, 0.05), trim, facing, ball=0.0)
    build.box(at(0, height, 0.12), (half + 0.05, 0.14, 0.3), trim, facing, ball=0.0)
    if build.chance(0.45):
        roof = build.material("roof", metres=1.4, lightness=(0.05, 0.25))
        gx, _, gz = at(0, 0, -3.2)
        gable(build, gx, height + 0.1, gz, half, 3.1, facing, roof)
    metal = build.dyed((0.05, 0.05, 0.055), "metal", metres=0.8)
    for _ in range(build.random.randrange(1, 4)):
        place = (build.random.randrange(bays) + 0.5) * bay - half
        level = build.random.randrange(1, floors)
        what = build.random.random()
        if what < 0.55:
            build.box(at(place, level * step + 0.2, 0.45), (0.42 * bay, 0.06, 0.45), trim, facing, ball=0.5)
            rail = build.catalogue.mask_kinds["rail"][0]
            build.upright(at(place, level * step + 0.72, 0.88), 0.42 * bay, 0.48, facing, metal, mask=rail)
            for side in (-1, 1):
                build.upright(
                    at(place + side * 0.42 * bay, level * step + 0.72, 0.45),
                    0.45,
                    0.48,
                    facing + math.pi / 2,
                    metal,
                    mask=rail,
                )
        elif what < 0.75:
            build.box(at(place, (level + 0.5) * step, 0.3), (0.4 * bay, 0.46 * step, 0.32), wall, facing, ball=0.0)
            build.upright(at(place, (level + 0.5) * step, 0.64), 0.3 * bay, 0.3 * step, facing, glass)
        else:
            plant = leaf_material(build, 0.5)
            build.new_object("plant")
            build.box(
                at(place, level * step + 0.52, 0.16),
                (0.26 * bay, 0.1, 0.14),
                build.dyed((0.3, 0.12, 0.06)),
                facing,
                ball=0.0,
            )
            build.leaves(
                at(place, level * step + 0.72, 0.18), (0.28 * bay, 0.22, 0.2), plant, build.mask("leaves"), 1.2
            )
            build.end_object()
    if build.chance(0.4):
        cloth = build.dyed(
            build.random.choice(((0.35, 0.05, 0.04), (0.08, 0.2, 0.1), (0.6, 0.55, 0.42), (0.1, 0.14, 0.3))), "fabric"
        )
        build.new_object("awning")
        build.upright(at(0, 2.6, 0.6), 0.8 * half, 0.75, facing, cloth, lean=0.9)
        build.end_object()
    elif build.chance(0.35):
        build.new_object("arcade")
        for number in range(bays + 1):
            place = (number - bays / 2) * bay * 0.96
            build.cylinder(at(place, 1.4, 0.9), 0.16, 1.4, trim, taper=0.15)
        build.box(at(0, 2.9, 0.9), (half, 0.14, 0.28), trim, facing, ball=0.0)
        build.end_object()
    if build.chance(0.6):
        door = build.material("door", "wood", metres=1.0, lightness=(0.03, 0.25))
        place = (build.random.randrange(bays) + 0.5) * bay - half
        build.box(at(place, 1.1, 0.02), (0.5, 1.1, 0.05), door, facing, stretch=True, ball=0.0)
        build.box(at(place, 0.09, 0.35), (0.8, 0.09, 0.4), trim, facing, ball=0.0)
    if build.chance(0.3):
        bx, _, bz = at(build.uniform(-0.6, 0.6) * half, 0, 0.7)
        bush(build, bx, bz, build.uniform(0.4, 0.7), leaf_material(build))


def _dimmed(material: Material) -> tuple[float, float, float]:
    return (0.45 * material.tint[0], 0.5 * material.tint[1], 0.45 * material.tint[2])
