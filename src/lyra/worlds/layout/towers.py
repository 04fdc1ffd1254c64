"""Buildings that stand in a view by themselves: towers, villages, blocks of flats."""

import math

from lyra.worlds.layout.builder import Builder, Colour, Material

_WALLS: tuple[Colour, ...] = (
    (0.5, 0.48, 0.44), (0.62, 0.56, 0.46), (0.32, 0.3, 0.28), (0.42, 0.2, 0.13), (0.55, 0.36, 0.2), (0.7, 0.68, 0.64),
    (0.3, 0.34, 0.38), (0.2, 0.22, 0.26),
)  # fmt: skip
_ROOFS: tuple[Colour, ...] = ((0.28, 0.1, 0.06), (0.1, 0.09, 0.09), (0.2, 0.09, 0.04), (0.07, 0.12, 0.1))


def wall_material(build: Builder, metres: float) -> Material:
    """A house wall in a house colour."""
    return build.dyed(build.random.choice(_WALLS), "plaster", "brick", "stone", metres=metres)


def block_of_flats(
    build: Builder, x: float, z: float, half: float, height: float, yaw: float = 0.0, base: float = 0.0
) -> None:
    """A tall house with rows of windows on the two sides that look towards −z and the middle."""
    build.new_object("house")
    wall = wall_material(build, 3.0)
    deep = half * build.uniform(0.6, 1.1)
    build.box((x, base + height / 2, z), (half, height / 2, deep), wall, yaw, ball=0.4)
    style = build.random.randrange(4)
    glass = build.dyed((0.05, 0.06, 0.08), "plaster", metres=3.0, gloss=0.5)
    pane, frame = build.catalogue.mask_kinds["panes"][style], build.catalogue.mask_kinds["frame"][style]
    light = build.dyed((0.6, 0.59, 0.56), "plaster", metres=2.0)
    floors = max(2.0, round(height / 3.1))
    faces = [(math.pi, deep, half), (-math.pi / 2 if x > 0 else math.pi / 2, half, deep)]
    for facing, out, along in faces:
        turn = yaw + facing
        bays = max(1.0, round(2 * along / build.uniform(2.6, 3.6)))
        for mask, gap, material in ((pane, 0.06, glass), (frame, 0.12, light)):
            centre = (x + (out + gap) * math.sin(turn), base + height / 2, z + (out + gap) * math.cos(turn))
            build.upright(
                centre, along, height / 2, turn, material, mask=mask, mask_repeat=(bays, floors), one_sided=True
            )
    build.box((x, base + height + 0.3, z), (half * 0.4, 1.2, deep * 0.4), wall, yaw, ball=0.0)
    build.end_object()


def tower(build: Builder, x: float, z: float, height: float) -> None:
    """A tower of diminishing storeys under projecting roofs, or a plain one with a spire."""
    build.new_object("tower")
    wall, roof = wall_material(build, 1.8), build.dyed(build.random.choice(_ROOFS), "roof", "metal", metres=1.2)
    dark = build.dyed((0.05, 0.04, 0.04), "wood", metres=1.0)
    if build.chance(0.5):
        storeys = build.random.randrange(3, 6)
        step, width = height / (storeys + 0.8), 0.24 * height
        for storey in range(storeys):
            size = width * (1 - 0.13 * storey)
            middle = (storey + 0.45) * step
            build.cylinder((x, middle, z), 0.78 * size, 0.5 * step, wall, turns=4.0, ball=0.5)
            build.cylinder((x, middle, z), 0.86 * size, 0.16 * step, dark, turns=4.0, ball=0.0)
            build.cylinder((x, middle + 0.42 * step, z), 1.2 * size, 0.16 * step, roof, taper=0.45, turns=6.0, ball=0.0)
        top = (storeys + 0.35) * step
        build.cylinder((x, top, z), 0.5 * width, 0.45 * step, roof, taper=0.95, turns=4.0, ball=0.0)
        build.ball(
            (x, top + 0.55 * step, z), (0.03 * height,) * 3, build.dyed((0.5, 0.35, 0.08), "metal"), occluder=0.0
        )
    else:
        half = 0.09 * height
        build.box((x, 0.35 * height, z), (half, 0.35 * height, half), wall, build.uniform(-0.4, 0.4), ball=0.6)
        for level in (0.3, 0.5, 0.63):
            build.box((x, level * height, z - half), (0.25 * half, 0.035 * height, 0.06 * half), dark, ball=0.0)
        build.box((x, 0.71 * height, z), (1.15 * half, 0.012 * height, 1.15 * half), wall, ball=0.0)
        build.cylinder((x, 0.86 * height, z), 1.2 * half, 0.14 * height, roof, taper=0.97, turns=4.0, ball=0.0)
        side = build.random.choice((-1, 1))
        build.box((x + side * 3 * half, 0.16 * height, z), (2.2 * half, 0.16 * height, 1.4 * half), wall, ball=0.4)
        gable(build, x + side * 3 * half, 0.32 * height, z, 2.3 * half, 1.5 * half, 0.0, roof)
    build.end_object()


def gable(
    build: Builder, x: float, height: float, z: float, half_x: float, half_z: float, yaw: float, roof: Material
) -> None:
    """Two slopes over a box, meeting in a ridge along its own x."""
    pitch = build.uniform(0.55, 0.9)
    along = half_z / math.cos(pitch) / 2 * 1.08
    for flip in (0.0, math.pi):
        facing = yaw + flip
        reach = half_z / 2
        centre = (x + reach * math.sin(facing), height + along * math.sin(pitch) * 0.93, z + reach * math.cos(facing))
        build.slope(centre, half_x * 1.04, along, facing, pitch, roof)


def village(build: Builder, x: tuple[float, float], z: float, scale: float, count: int) -> None:
    """Small houses with gabled roofs in a row."""
    build.new_object("house", count)
    for number in range(count):
        wall, roof = (
            wall_material(build, 2.0 * scale),
            build.dyed(build.random.choice(_ROOFS), "roof", metres=1.5 * scale),
        )
        place = x[0] + (x[1] - x[0]) * (number + build.uniform(0.1, 0.9)) / count
        half_x, half_z = build.uniform(2.5, 4.5) * scale, build.uniform(2, 3) * scale
        high, yaw = build.uniform(1.3, 2.4) * scale, build.uniform(-0.4, 0.4)
        deep = z + build.uniform(0, 6) * scale
        build.box((place, high, deep), (half_x, high, half_z), wall, yaw, ball=0.4)
        gable(build, place, 2 * high, deep, half_x, half_z, yaw, roof)
        dark = build.dyed((0.04, 0.045, 0.05), metres=1.0)
        style = build.random.randrange(4)
        turn = yaw + math.pi
        centre = (place + (half_z + 0.05) * math.sin(turn), high, deep + (half_z + 0.05) * math.cos(turn))
        build.upright(
            centre, half_x, high, turn, dark, mask=build.catalogue.mask_kinds["panes"][style],
            mask_repeat=(max(2.0, round(half_x / scale)), 2.0 if high > 1.8 * scale else 1.0),
        )  # fmt: skip
    build.end_object()
