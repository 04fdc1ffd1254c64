"""Objects on a table, seen from close by."""

import math

from lyra.worlds.layout import furniture, subjects
from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.layout.stage import Stage

_THINGS = (
    subjects.plate, subjects.fruits, subjects.books, subjects.plant_pot, subjects.bottle, subjects.box_camera,
    subjects.pebbles,
)  # fmt: skip


def tabletop(build: Builder) -> Stage:
    """A still life on a table in front of a wall; the table top is at height 0.75."""
    top = 0.75
    half_x, half_z = build.uniform(0.7, 1.2), build.uniform(0.4, 0.65)
    wood = build.material("wood", "wood", "marble", "fabric", metres=0.9, lightness=(0.06, 0.5), gloss=0.12)
    build.box((0, top - 0.02, 0), (half_x, 0.02, half_z), wood, ball=0.8)
    for right in (-1, 1):
        for forward in (-1, 1):
            build.box(
                (right * (half_x - 0.08), (top - 0.04) / 2, forward * (half_z - 0.08)),
                (0.035, (top - 0.04) / 2, 0.035),
                wood,
                ball=0.0,
            )
    if build.chance(0.35):
        cloth = build.material("fabric", metres=0.35, lightness=(0.1, 0.6))
        build.new_object("cloth")
        build.box(
            (build.uniform(-0.1, 0.1), top + 0.003, build.uniform(-0.1, 0.05)),
            (0.42 * half_x, 0.003, 0.7 * half_z),
            cloth,
            build.uniform(-0.3, 0.3),
            ball=0.0,
        )
        build.end_object()
    back = build.uniform(0.9, 2.4) + half_z
    wide = 3.2
    floor = build.material("wood", "tile", "fabric", "stone", metres=1.3, lightness=(0.08, 0.4))
    build.floor(0, 0, wide, back + 0.01, floor)
    wall = (
        build.paint()
        if build.chance(0.6)
        else build.material("brick", "wood", "wall", metres=1.6, lightness=(0.12, 0.6))
    )
    build.upright((0, 1.4, back), wide, 1.4, math.pi, wall, one_sided=True)
    for side in (-1, 1):
        build.upright((side * wide, 1.4, 0), back, 1.4, -side * math.pi / 2, wall, one_sided=True)
    build.upright((0, 1.4, -back), wide, 1.4, 0.0, wall, one_sided=True)
    build.ceiling(0, 0, wide, back, build.material("plaster", metres=2.5, lightness=(0.55, 0.75)), 2.8)
    if build.chance(0.7):
        furniture.wall_picture(build, build.uniform(-0.7, 0.7), build.uniform(1.1, 1.6), back, math.pi, 0.5)
    if build.chance(0.5):
        dark = build.material("wood", metres=0.8)
        x = build.random.choice((-1, 1)) * build.uniform(0.9, 1.6)
        furniture.cabinet(build, x, back - 0.3, math.pi, dark)

    spots = _spots(build, half_x, half_z)
    for x, z in spots:
        if build.chance(0.5):
            build.random.choice(_THINGS)(build, x, z, top)
        else:
            _thing(build, x, z, top)
    distance = build.uniform(0.65, 1.05)
    pitch = build.uniform(0.2, 0.6)
    aim_x, aim_z = build.uniform(-0.15, 0.15), build.uniform(-0.05, 0.1)
    yaw = build.uniform(-0.45, 0.45)
    reach = distance * math.cos(pitch)
    eye = (aim_x - reach * math.sin(yaw), top + 0.06 + distance * math.sin(pitch), aim_z - reach * math.cos(yaw))
    lamp_side = build.random.choice((-1.0, 1.0))
    return Stage(
        kind="tabletop",
        surfaces=(("top", wood),),
        eye=eye,
        yaw=yaw,
        pitch=pitch,
        fov=(36.0, 70.0),
        indoor=True,
        lamp=(lamp_side * build.uniform(0.5, 1.6), build.uniform(1.7, 2.5), build.uniform(-0.9, 0.5)),
        window=(-lamp_side, -0.5, -0.4),
        room=(-wide, wide, 0.0, 2.8, -back, back),
        mover=(aim_x, top + 0.04, aim_z + 0.12),
        mover_reach=0.15,
        mover_size=0.035,
    )


def _spots(build: Builder, half_x: float, half_z: float) -> list[tuple[float, float]]:
    """Places on the table at least 15 cm apart."""
    spots: list[tuple[float, float]] = []
    wanted = build.random.randrange(5, 10)
    for _ in range(60):
        x, z = build.uniform(-0.75, 0.75) * min(half_x, 0.75), build.uniform(-0.55, 0.8) * half_z
        if all((x - a) ** 2 + (z - b) ** 2 > 0.19**2 for a, b in spots):
            spots.append((x, z))
            if len(spots) == wanted:
                break
    return spots


def _thing(build: Builder, x: float, z: float, top: float) -> None:
    what = build.random.random()
    yaw = build.uniform(0, 3.1)
    if what < 0.2:
        height = top
        count = build.random.randrange(1, 5)
        build.new_object("book", count)
        for _ in range(count):
            thick = build.uniform(0.01, 0.025)
            cover = build.picture() if build.chance(0.15) else build.material("fabric", "paper", "wood", metres=0.3)
            build.box(
                (x, height + thick, z),
                (build.uniform(0.07, 0.1), thick, build.uniform(0.1, 0.13)),
                cover,
                yaw + build.uniform(-0.25, 0.25),
                stretch=True,
            )
            height += 2 * thick
    elif what < 0.36:
        build.new_object("mug")
        clay = build.material("plaster", "marble", "tile", metres=0.3, lightness=(0.08, 0.6), gloss=0.3)
        tall = build.uniform(0.04, 0.055)
        build.cylinder((x, top + tall, z), 0.04, tall, clay, taper=-0.1)
        build.cylinder(
            (x, top + 2 * tall + 0.001, z),
            0.037,
            0.0015,
            build.material("ground", "wood", metres=0.2, lightness=(0.02, 0.06), gloss=0.3),
            ball=0.0,
        )
    elif what < 0.52:
        build.new_object("fruit")
        skin = build.material("other", "plaster", "plaster", metres=0.3, lightness=(0.15, 0.5), gloss=0.15)
        hue = build.random.choice(((1.0, 0.45, 0.08), (0.85, 0.1, 0.06), (0.45, 0.7, 0.1), (0.95, 0.8, 0.15)))
        mean = build.catalogue.mean_rgb[skin.tile]
        skin = skin.tinted(tuple(0.55 * hue[k] / max(float(mean[k]), 0.12) for k in range(3)))  # type: ignore[arg-type]
        for number in range(build.random.randrange(1, 4)):
            size = build.uniform(0.032, 0.045)
            turn = yaw + 2.1 * number
            build.ball(
                (x + 0.05 * math.sin(turn), top + 0.95 * size, z + 0.05 * math.cos(turn)),
                (size, 0.95 * size, size),
                skin,
                turn,
            )
    elif what < 0.64:
        build.new_object("bottle")
        glass = build.material("plaster", "marble", "water", metres=0.6, lightness=(0.03, 0.2), gloss=0.7)
        hue = build.random.choice(((0.2, 0.5, 0.25), (0.5, 0.3, 0.1), (0.5, 0.6, 0.7), (0.3, 0.35, 0.5)))
        glass = glass.tinted((hue[0] * glass.tint[0], hue[1] * glass.tint[1], hue[2] * glass.tint[2]))
        build.cylinder((x, top + 0.08, z), 0.036, 0.08, glass)
        build.cylinder((x, top + 0.18, z), 0.036, 0.02, glass, taper=0.6, ball=0.0)
        build.cylinder((x, top + 0.225, z), 0.0145, 0.03, glass, ball=0.0)
    elif what < 0.76:
        build.new_object()
        furniture.vase(build, x, z, top)
    elif what < 0.88:
        height = top
        count = build.random.randrange(1, 3)
        build.new_object("box", count)
        for level in range(count):
            size = build.uniform(0.035, 0.06) * (1 - 0.25 * level)
            if build.chance(0.15):
                skin = build.picture()
            else:
                skin = build.material("paper", "wood", "fabric", "metal", metres=0.25)
            build.box((x, height + size, z), (size, size, size), skin, yaw + level, stretch=True)
            height += 2 * size
    elif what < 0.95:
        build.new_object("frame")
        frame: Material = build.material("wood", "metal", metres=0.4)
        turn = build.uniform(math.pi - 0.7, math.pi + 0.7)
        s, c = math.sin(turn), math.cos(turn)
        build.box((x, top + 0.1, z), (0.085, 0.1, 0.008), frame, turn, ball=0.6)
        build.upright((x + 0.0095 * s, top + 0.1, z + 0.0095 * c), 0.07, 0.085, turn, build.picture(), stretch=True)
    else:
        build.new_object("bowl")
        clay = build.material("wall", "marble", "wood", "metal", metres=0.3, gloss=0.2)
        build.cylinder((x, top + 0.03, z), 0.06, 0.03, clay, taper=-0.7)
        fruit = build.material("other", "foliage", "fabric", metres=0.15, lightness=(0.15, 0.4))
        build.ball((x, top + 0.06, z), (0.085, 0.03, 0.085), fruit, occluder=0.0)
    build.end_object()
