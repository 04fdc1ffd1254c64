"""Streets between houses and courtyards."""

import math

from lyra.worlds.layout import furniture
from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.layout.figures import crowd, person, quadruped
from lyra.worlds.layout.plants import bark_material, bush, leaf_material, potted_plant, tree
from lyra.worlds.layout.stage import Stage


def street(build: Builder) -> Stage:
    """A street along +z with houses on both sides."""
    road_half = build.uniform(2.2, 4.0)
    walk = build.uniform(1.2, 2.4)
    old_town = build.chance(0.45)
    ground = build.material("paving" if old_town else "road", metres=2.6, lightness=(0.06, 0.3), macro=0.5)
    pavement = build.material("paving", "stone", metres=1.8, lightness=(0.1, 0.4), macro=0.4)
    build.floor(0, 60, 80, 90, ground)
    kerb = build.material("stone", "wall", metres=1.2, lightness=(0.15, 0.4))
    for side in (-1, 1):
        build.box((side * (road_half + walk / 2), 0.06, 45), (walk / 2, 0.06, 60), pavement, ball=0.0)
        build.box((side * (road_half + 0.06), 0.065, 45), (0.07, 0.066, 60), kerb, ball=0.0)
    for side in (-1, 1):
        z = build.uniform(-9, -5)
        while z < 36:
            length = build.uniform(8, 14)
            house(build, side, side * (road_half + walk), z + length / 2, length / 2, old_town)
            z += length + (build.uniform(1.5, 4.0) if build.chance(0.2) else 0.0)
    if build.chance(0.65):
        end = build.material("brick", "plaster", metres=2.5, lightness=(0.12, 0.5))
        build.new_feature("house")
        _facade(
            build,
            (build.uniform(-2, 2), 0, build.uniform(44, 60)),
            math.pi,
            road_half + walk + 3,
            build.uniform(6, 12),
            5.0,
            end,
        )
        build.end_object()
    leaves, bark = leaf_material(build), bark_material(build)
    trees = build.chance(0.6)
    for side in (-1, 1):
        z = build.uniform(4, 8)
        while z < 30 and trees:
            tree(build, side * (road_half + 0.7), z, build.uniform(4.0, 6.5), leaves, bark, 0.1)
            z += build.uniform(7, 11)
        if build.chance(0.5):
            furniture.lamp_post(build, side * (road_half + 0.35), build.uniform(6, 16), -side)
        if build.chance(0.6) and not old_town:
            furniture.car(build, side * (road_half - 1.0), build.uniform(8, 15), 0.0 if side > 0 else math.pi)
        if build.chance(0.35):
            furniture.bench(
                build,
                side * (road_half + walk - 0.4),
                build.uniform(5, 10),
                -side * math.pi / 2,
                build.material("wood", metres=0.8),
            )
        if build.chance(0.5):
            potted_plant(build, side * (road_half + walk - 0.4), build.uniform(4, 9), build.uniform(0.8, 1.3), 0.12)
    if build.chance(0.5):
        side = build.random.choice((-1, 1))
        walkway = (side * (road_half + 0.3 * walk), side * (road_half + 0.8 * walk))
        crowd(build, build.random.randrange(1, 3), (min(walkway), max(walkway)), (4, 14), 0.12)
    eye_x = build.uniform(-0.7, 0.7) * road_half
    sides = build.uniform(-0.32, 0.32)
    return Stage(
        kind="street",
        style="old_town" if old_town else "modern",
        surfaces=(("ground", ground),),
        eye=(eye_x, build.uniform(1.4, 2.1), -1.0),
        yaw=sides - 0.12 * eye_x / road_half,
        pitch=build.uniform(-0.08, 0.06),
        fov=(38.0, 84.0),
        haze=build.uniform(0.0005, 0.005),
        mover=(0.0, 0.45, build.uniform(8, 14)),
        movers=("person", "person", "car", "dog"),
        mover_reach=road_half * 0.7,
        mover_size=0.4,
        sun_turn=(-0.6, 0.6, 2.6, -2.6, 0.2, 3.0),
    )


def house(build: Builder, side: int, front: float, z: float, half: float, old_town: bool) -> None:
    """One house whose facade stands at x = front."""
    height = build.uniform(5, 9) if old_town else build.uniform(6, 13)
    if build.chance(0.35):
        wall = build.material("brick", metres=2.2, lightness=(0.1, 0.45), macro=0.3)
    elif build.chance(0.12):
        wall = build.material("stone", "wall", metres=2.4, lightness=(0.12, 0.5), macro=0.3)
    else:
        wall = build.paint()
    facing = -side * math.pi / 2
    build.new_feature("house")
    _facade(build, (front, 0, z), facing, half, height, 4.0, wall)
    build.end_object()


def _facade(
    build: Builder,
    base: tuple[float, float, float],
    facing: float,
    half: float,
    height: float,
    depth: float,
    wall: Material,
) -> None:
    """A house block with rows of windows, a door and a cornice."""
    s, c = math.sin(facing), math.cos(facing)
    x, _, z = base

    def out(distance: float) -> tuple[float, float]:
        return x + s * distance, z + c * distance

    bx, bz = out(-depth)
    build.box((bx, height / 2, bz), (half, height / 2, depth), wall, facing, ball=0.0)
    floors = max(1.0, round((height - 0.6) / build.uniform(2.8, 3.4)))
    bays = max(1.0, round(2 * half / build.uniform(2.0, 3.0)))
    style = build.random.randrange(4)
    panes, frames = build.catalogue.mask_kinds["panes"][style], build.catalogue.mask_kinds["frame"][style]
    glass = build.material("plaster", metres=3.0, lightness=(0.015, 0.05), gloss=0.5, macro=0.8)
    glass = glass.tinted((0.8 * glass.tint[0], 0.95 * glass.tint[1], 1.15 * glass.tint[2]))
    frame = build.material("wood", "plaster", metres=1.0, lightness=(0.25, 0.75))
    raised = 0.35 if floors > 1 else 0.0
    gx, gz = out(0.015)
    build.upright(
        (gx, height / 2 + raised / 2, gz),
        half,
        height / 2 - raised / 2,
        facing,
        glass,
        mask=panes,
        mask_repeat=(bays, floors),
    )
    fx, fz = out(0.05)
    build.upright(
        (fx, height / 2 + raised / 2, fz),
        half,
        height / 2 - raised / 2,
        facing,
        frame,
        mask=frames,
        mask_repeat=(bays, floors),
    )
    cx, cz = out(0.1)
    if build.chance(0.7):
        cornice = build.material("stone", "wall", metres=1.5, lightness=(0.2, 0.55))
        build.box((cx, height + 0.05, cz), (half + 0.05, 0.14, 0.28), cornice, facing, ball=0.0)
    if build.chance(0.55):
        plinth = build.material("stone", "wall", metres=1.5, lightness=(0.1, 0.4))
        px, pz = out(0.03)
        build.box((px, 0.3, pz), (half, 0.3, 0.05), plinth, facing, ball=0.0)
    if build.chance(0.7):
        door = build.material("door", "wood", metres=1.0, lightness=(0.04, 0.3))
        along = (math.floor(build.uniform(0, bays)) + 0.5) / bays * 2 - 1
        dx, dz = out(0.06)
        build.box(
            (dx + c * along * half, 1.2, dz - s * along * half), (0.55, 1.2, 0.04), door, facing, stretch=True, ball=0.0
        )
    if build.chance(0.5):
        roof = build.material("roof", metres=1.6, lightness=(0.06, 0.3))
        rise, back = build.uniform(0.7, 1.3), build.uniform(1.2, 2.0)
        rx, rz = out(0.25 - back / 2)
        build.slope((rx, height + rise / 2, rz), half, math.hypot(rise, back) / 2, facing, math.atan2(rise, back), roof)
        tx, tz = out(0.25 - back - 1.0)
        build.box((tx, height + rise / 2, tz), (half, rise / 2, 1.0), wall, facing, ball=0.0)
    elif build.chance(0.3):
        build.new_object("poster")
        along = build.uniform(-0.6, 0.6) * half
        px, pz = out(0.07)
        size = build.uniform(0.5, 1.1)
        build.upright(
            (px + c * along, 1.3 + size, pz - s * along), size, size * 1.1, facing, build.picture(), stretch=True
        )
        build.end_object()


def courtyard(build: Builder) -> Stage:
    """A paved yard with walls on three sides."""
    half_x, depth, height = build.uniform(4.5, 8.0), build.uniform(9, 16), build.uniform(3.0, 7.0)
    ground = build.material("paving", "paving", "ground", "grass", metres=2.2, lightness=(0.13, 0.4), macro=0.5)
    build.floor(0, depth / 2, 60, 60, ground)
    wall = build.material("brick", "brick", "stone", "plaster", metres=2.2, lightness=(0.18, 0.5), macro=0.4)
    if build.chance(0.5):
        build.box((0, height / 2, depth + 0.4), (half_x + 0.8, height / 2, 0.4), wall, ball=0.0)
        if build.chance(0.5):
            dark = build.material("door", "wood", metres=1.2, lightness=(0.03, 0.15))
            build.box((build.uniform(-0.5, 0.5) * half_x, 1.2, depth), (0.8, 1.2, 0.05), dark, stretch=True, ball=0.0)
        elif build.chance(0.5):
            size = build.uniform(0.9, 0.42 * height)
            build.new_feature("mural")
            build.upright(
                (build.uniform(-0.4, 0.4) * half_x, 0.5 + size, depth - 0.02),
                size * 1.2,
                size,
                math.pi,
                build.picture(),
                stretch=True,
            )
            build.end_object()
    else:
        _facade(build, (0, 0, depth), math.pi, half_x + 0.8, height + 2, 3.0, wall)
    for side in (-1, 1):
        x = side * half_x
        style = build.random.random()
        if style < 0.4:
            repeat = round(depth / build.uniform(2.2, 3.2))
            facing = -side * math.pi / 2
            build.new_feature("arcade")
            build.upright(
                (x, height / 2, depth / 2 - 2), depth / 2 + 2, height / 2, facing, wall,
                mask=build.mask("arch"), mask_repeat=(float(repeat), 1.0),
            )  # fmt: skip
            build.end_object()
            build.upright((x + side * 2.2, height / 2, depth / 2 - 2), depth / 2 + 2, height / 2, facing, wall.tinted(
                (0.7 * wall.tint[0], 0.7 * wall.tint[1], 0.7 * wall.tint[2])))  # fmt: skip
            build.box((x + side * 1.2, height + 0.1, depth / 2 - 2), (1.4, 0.12, depth / 2 + 2), wall, ball=0.0)
        elif style < 0.7:
            build.box((x + side * 0.4, height / 2, depth / 2 - 2), (0.4, height / 2, depth / 2 + 2), wall, ball=0.0)
        else:
            _facade(build, (x, 0, depth / 2 - 2), -side * math.pi / 2, depth / 2 + 2, height + 1, 3.0, build.paint())
        if build.chance(0.5):
            ivy = leaf_material(build, 1.2)
            build.new_object("ivy")
            build.upright(
                (x - side * 0.06, 1.5, build.uniform(0.4, 0.8) * depth), 1.6, 1.6, -side * math.pi / 2, ivy,
                mask=build.mask("crown"), puffy=True,
            )  # fmt: skip
            build.end_object()
    stone = build.material("stone", "rock", metres=1.0, lightness=(0.12, 0.45))
    middle_z = build.uniform(0.45, 0.6) * depth
    middle = build.random.random()
    if middle < 0.35:
        build.new_object("fountain")
        build.cylinder((0, 0.3, middle_z), 1.5, 0.3, stone, ball=0.9)
        build.cylinder((0, 0.605, middle_z), 1.3, 0.01, build.material("water", metres=1.5, gloss=0.5), ball=0.0)
        build.cylinder((0, 0.9, middle_z), 0.18, 0.6, stone)
        build.ball((0, 1.6, middle_z), (0.35, 0.3, 0.35), stone)
        build.end_object()
    elif middle < 0.75:
        tree(
            build,
            build.uniform(-1.5, 1.5),
            middle_z,
            build.uniform(4.0, 6.5),
            leaf_material(build),
            bark_material(build),
        )
    for _ in range(build.random.randrange(2, 6)):
        side = build.random.choice((-1, 1))
        x, z = side * build.uniform(0.55, 0.85) * half_x, build.uniform(0.35, 0.9) * depth
        what = build.random.random()
        if what < 0.3:
            potted_plant(build, x, z, build.uniform(0.8, 1.6))
        elif what < 0.5:
            furniture.bench(build, side * (half_x - 0.5), z, -side * math.pi / 2, build.material("wood", metres=0.8))
        elif what < 0.7:
            bush(build, x, z, build.uniform(0.5, 0.9), leaf_material(build))
        elif what < 0.85:
            build.new_object("barrel", 2)
            wood = build.material("wood", metres=0.8)
            build.cylinder((x, 0.45, z), 0.3, 0.45, wood)
            build.cylinder((x + 0.66, 0.4, z + 0.2), 0.28, 0.4, wood)
            build.end_object()
        else:
            build.new_object("crate", 2)
            crate = build.material("wood", "single", metres=0.8)
            build.box((x, 0.35, z), (0.35, 0.35, 0.35), crate, build.uniform(0, 1.5), stretch=True)
            build.box((x + 0.05, 0.92, z), (0.22, 0.22, 0.22), crate, build.uniform(0, 1.5), stretch=True)
            build.end_object()
    if build.chance(0.4):
        person(build, build.uniform(-0.5, 0.5) * half_x, build.uniform(0.3, 0.7) * depth, build.uniform(-3, 3))
    elif build.chance(0.3):
        quadruped(build, build.uniform(-0.4, 0.4) * half_x, build.uniform(0.25, 0.5) * depth, build.uniform(-3, 3), 0.5)
    aim = build.uniform(-0.3, 0.3)
    return Stage(
        kind="courtyard",
        surfaces=(("wall", wall), ("ground", ground)),
        eye=(build.uniform(-0.4, 0.4) * half_x, build.uniform(1.4, 2.0), -1.5),
        yaw=aim,
        pitch=build.uniform(-0.02, 0.12),
        fov=(40.0, 84.0),
        haze=build.uniform(0.0, 0.003),
        mover=(0.0, 0.4, 0.7 * depth),
        movers=("ball", "person", "dog"),
        mover_reach=0.4 * half_x,
        mover_size=0.3,
    )
