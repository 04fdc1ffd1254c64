"""Small things that pictures are taken of from close by; each returns its height and the radius it takes up."""

import math

from lyra.worlds.layout.builder import Builder, Colour, Material
from lyra.worlds.layout.figures import quadruped
from lyra.worlds.layout.plants import leaf_material

CERAMIC: tuple[Colour, ...] = (
    (0.68, 0.66, 0.6), (0.45, 0.09, 0.03), (0.05, 0.08, 0.16), (0.1, 0.16, 0.1), (0.02, 0.02, 0.022), (0.5, 0.3, 0.16),
    (0.6, 0.52, 0.38), (0.2, 0.28, 0.32),
)  # fmt: skip
FRUITS: tuple[Colour, ...] = (
    (0.5, 0.06, 0.03), (0.32, 0.42, 0.06), (0.75, 0.3, 0.03), (0.75, 0.55, 0.08), (0.12, 0.02, 0.05), (0.4, 0.22, 0.08),
)  # fmt: skip
PETALS: tuple[Colour, ...] = (
    (0.75, 0.28, 0.1), (0.7, 0.62, 0.6), (0.65, 0.12, 0.2), (0.75, 0.5, 0.06), (0.4, 0.18, 0.5), (0.7, 0.3, 0.4),
)  # fmt: skip
Extent = tuple[float, float]


def glaze(build: Builder, gloss: float = 0.35) -> Material:
    """Ceramic of one colour."""
    return build.dyed(build.random.choice(CERAMIC), "plaster", "marble", metres=0.4, gloss=gloss)


def cup(build: Builder, x: float, z: float, base: float, saucer: bool) -> Extent:
    """A filled cup with a handle, on a saucer with a spoon or by itself."""
    build.new_object("mug")
    clay = glaze(build)
    tall, radius = build.uniform(0.03, 0.05), build.uniform(0.035, 0.05)
    floor, reach = base, radius
    if saucer:
        reach = radius * build.uniform(1.7, 2.1)
        build.cylinder((x, base + 0.004, z), 0.6 * reach, 0.004, clay, ball=0.0)
        build.cylinder((x, base + 0.012, z), reach, 0.006, clay, taper=-0.0, ball=0.8)
        build.cylinder((x, base + 0.019, z), 0.72 * reach, 0.0012, clay, ball=0.0)
        floor = base + 0.018
    build.cylinder((x, floor + tall, z), 0.72 * radius, tall, clay, taper=-0.39)
    inside = build.dyed((0.62, 0.6, 0.55) if build.chance(0.6) else (0.3, 0.28, 0.25), metres=0.3)
    build.cylinder((x, floor + 2 * tall + 0.0005, z), 0.92 * radius, 0.001, inside, ball=0.0)
    drink = build.random.choice(((0.035, 0.014, 0.006), (0.3, 0.15, 0.06), (0.22, 0.08, 0.02), (0.45, 0.36, 0.26)))
    build.cylinder(
        (x, floor + 2 * tall + 0.0012, z),
        0.82 * radius,
        0.001,
        build.dyed(drink, "marble", metres=0.2, gloss=0.4),
        ball=0.0,
    )
    turn = build.uniform(-1.2, 1.2) + (math.pi if build.chance(0.4) else 0.0)
    points = []
    for step in range(6):
        angle = -1.15 + 2.3 * step / 5
        out = radius * (0.82 + 0.62 * math.cos(angle))
        points.append(
            (x + out * math.cos(turn), floor + tall * (1.05 + 0.72 * math.sin(angle)), z + out * math.sin(turn))
        )
    for start, end in zip(points, points[1:], strict=False):
        build.rod(start, end, 0.0055, clay)
        build.ball(end, (0.0055,) * 3, clay, occluder=0.0)
    if saucer and build.chance(0.7):
        steel = build.dyed((0.4, 0.4, 0.41), "metal", metres=0.3, gloss=0.8)
        spot = turn + build.uniform(1.2, 2.4)
        at = (x + 0.8 * reach * math.cos(spot), floor + 0.008, z + 0.8 * reach * math.sin(spot))
        build.blob(at, (0.013, 0.004, 0.02), steel, spot)
        far = (at[0] + 0.09 * math.sin(spot), at[1] + 0.01, at[2] + 0.09 * math.cos(spot))
        build.rod(at, far, 0.0028, steel)
    build.end_object()
    return floor - base + 2 * tall, reach


def plate(build: Builder, x: float, z: float, base: float) -> Extent:
    """A plate with food, most of it round."""
    build.new_object("plate")
    clay = glaze(build)
    reach = build.uniform(0.09, 0.14)
    build.cylinder((x, base + 0.005, z), 0.7 * reach, 0.005, clay, ball=0.0)
    build.cylinder((x, base + 0.016, z), reach, 0.006, clay, ball=0.9)
    for _ in range(build.random.randrange(4, 10)):
        turn, out, size = build.uniform(0, 6.3), build.uniform(0, 0.6) * reach, build.uniform(0.014, 0.034)
        food = build.dyed(build.random.choice(FRUITS), "other", "plaster", "sand", metres=0.1, gloss=0.15)
        at = (x + out * math.cos(turn), base + 0.022 + 0.7 * size, z + out * math.sin(turn))
        half = (size * build.uniform(0.8, 1.6), 0.75 * size, size)
        if build.chance(0.3):
            build.block(at, half, food, turn, build.uniform(-0.3, 0.3), build.uniform(-0.3, 0.3))
        else:
            build.blob(at, half, food, turn, build.uniform(-0.3, 0.3), occluder=0.7)
    build.end_object()
    return 0.06, reach


def flower(build: Builder, x: float, z: float, base: float, tall: float = 0.0) -> Extent:
    """One flower on a stem, its face half towards −z."""
    build.new_object("flower")
    tall, size = tall or build.uniform(0.16, 0.4), build.uniform(0.035, 0.07)
    hue = build.random.choice(PETALS)
    green = leaf_material(build, 0.25)
    build.rod((x, base, z), (x, base + tall, z), 0.006 + 0.03 * size, green, taper=0.2)
    tilt, turn = build.uniform(0.3, 1.3), build.uniform(-0.6, 0.6)
    up = (math.sin(tilt) * math.sin(turn), math.cos(tilt), -math.sin(tilt) * math.cos(turn))
    side = (math.cos(turn), 0.0, math.sin(turn))
    third = (up[1] * side[2], up[2] * side[0] - up[0] * side[2], -up[1] * side[0])
    rings = build.random.choice((1, 2, 2))
    for ring in range(rings):
        petals = build.random.randrange(7, 11) if ring == 0 else 7
        petal = build.dyed(hue, metres=0.12, strength=1.0 - 0.25 * ring)
        for number in range(petals):
            angle = 2 * math.pi * (number + 0.5 * ring) / petals
            reach = size * (0.72 - 0.25 * ring)
            lift = size * (0.1 + 0.3 * ring)
            out = [math.cos(angle) * side[k] + math.sin(angle) * third[k] for k in range(3)]
            centre = (
                x + reach * out[0] + lift * up[0],
                base + tall + reach * out[1] + lift * up[1],
                z + reach * out[2] + lift * up[2],
            )
            _petal(build, centre, out, up, size * (0.42 - 0.08 * ring), petal)
    heart = build.dyed((0.4, 0.22, 0.03) if build.chance(0.6) else hue, "sand", "other", metres=0.06)
    middle = (x + 0.16 * size * up[0], base + tall + 0.16 * size * up[1], z + 0.16 * size * up[2])
    build.ball(middle, (0.3 * size, 0.26 * size, 0.3 * size), heart)
    for _ in range(3):
        angle, at = build.uniform(0, 6.3), build.uniform(0.15, 0.75) * tall
        long = build.uniform(0.05, 0.11)
        build.blob(
            (x + 0.8 * long * math.sin(angle), base + at, z + 0.8 * long * math.cos(angle)),
            (0.3 * long, 0.006, long), green, angle, build.uniform(-0.5, 0.3),
        )  # fmt: skip
    build.end_object()
    return tall + size, size


def _petal(
    build: Builder,
    centre: tuple[float, float, float],
    out: list[float],
    up: tuple[float, float, float],
    size: float,
    material: Material,
) -> None:
    """A flat ellipsoid, long along ``out`` and thin along ``up`` (heights upwards)."""
    yaw = math.atan2(out[0], out[2])
    lean = math.asin(max(-1.0, min(1.0, -out[1])))
    # roll turns the thin axis about ``out`` into ``up``
    level = (math.cos(yaw), -math.sin(yaw))
    roll = math.asin(max(-1.0, min(1.0, up[0] * level[0] + up[2] * level[1])))
    build.blob(centre, (0.62 * size, 0.12 * size, size), material, yaw, -lean, roll)


def fruits(build: Builder, x: float, z: float, base: float) -> Extent:
    """A pile of fruit of one or two kinds, loose or in a bowl."""
    build.new_object("fruit")
    in_bowl = build.chance(0.4)
    lift = 0.0
    if in_bowl:
        clay = glaze(build)
        build.cylinder((x, base + 0.03, z), 0.06, 0.03, clay, taper=-0.9)
        lift = 0.035
    size = build.uniform(0.028, 0.045)
    skins = [build.dyed(build.random.choice(FRUITS), "other", "plaster", metres=0.15, gloss=0.2) for _ in range(2)]
    stem = build.dyed((0.05, 0.035, 0.02), "wood", metres=0.1)
    spots = [(0.0, 0.0, 0.0), (2.0, 0.0, 0.3), (-1.2, 0.0, 1.6), (-0.9, 0.0, -1.7), (0.3, 1.5, 0.4), (2.9, 0.0, 2.0)]
    for number in range(build.random.randrange(2, 7)):
        dx, dy, dz = spots[number]
        at = (x + dx * size, base + lift + size * (0.95 + dy), z + dz * size)
        build.blob(
            at,
            (size, 0.93 * size, size),
            skins[build.random.randrange(2)],
            build.uniform(0, 3),
            build.uniform(-0.4, 0.4),
            occluder=1.0,
        )
        if build.chance(0.5):
            build.rod(
                (at[0], at[1] + 0.85 * size, at[2]), (at[0] + 0.2 * size, at[1] + 1.35 * size, at[2]), 0.08 * size, stem
            )
    build.end_object()
    return 2.5 * size + lift, 3 * size + (0.05 if in_bowl else 0.0)


def bottle(build: Builder, x: float, z: float, base: float) -> Extent:
    """A bottle with a label."""
    build.new_object("bottle")
    hue = build.random.choice(
        ((0.03, 0.08, 0.03), (0.1, 0.04, 0.01), (0.25, 0.3, 0.32), (0.02, 0.02, 0.02), (0.35, 0.2, 0.05))
    )
    glass = build.dyed(hue, "plaster", "marble", metres=0.6, gloss=0.8)
    paper = build.dyed(build.random.choice(CERAMIC), "paper", "plaster", metres=0.1)
    body, radius = build.uniform(0.07, 0.1), build.uniform(0.032, 0.042)
    build.cylinder((x, base + body, z), radius, body, glass)
    build.cylinder((x, base + 0.9 * body, z), 1.012 * radius, 0.42 * body, paper, ball=0.0)
    build.cylinder((x, base + 2 * body + 0.018, z), radius, 0.018, glass, taper=0.62, ball=0.0)
    build.cylinder((x, base + 2 * body + 0.066, z), 0.38 * radius, 0.032, glass, ball=0.0)
    build.cylinder((x, base + 2 * body + 0.1, z), 0.44 * radius, 0.008, paper, ball=0.0)
    build.end_object()
    return 2 * body + 0.1, radius


def books(build: Builder, x: float, z: float, base: float) -> Extent:
    """A stack of books with pages between plain covers."""
    build.new_object("book")
    height, pages = base, build.dyed((0.62, 0.58, 0.48), "paper", "plaster", metres=0.2)
    turn = build.uniform(0, 3.1)
    for _ in range(build.random.randrange(1, 5)):
        thick, half_x, half_z = build.uniform(0.008, 0.02), build.uniform(0.065, 0.09), build.uniform(0.095, 0.125)
        cover = glaze(build, 0.1)
        lie = turn + build.uniform(-0.25, 0.25)
        build.box((x, height + thick, z), (0.96 * half_x, 0.8 * thick, 0.97 * half_z), pages, lie)
        for level in (0.1, 1.9):
            build.box((x, height + level * thick, z), (half_x, 0.1 * thick + 0.0006, half_z), cover, lie, ball=0.0)
        s, c = math.sin(lie), math.cos(lie)
        build.box((x - c * half_x, height + thick, z + s * half_x), (0.003, thick, half_z), cover, lie, ball=0.0)
        height += 2 * thick + 0.001
    build.end_object()
    return height - base, 0.13


def pebbles(build: Builder, x: float, z: float, base: float) -> Extent:
    """Stones, heaped or in a stack."""
    build.new_object("rock")
    rock = build.material("rock", "stone", "marble", metres=0.3, lightness=(0.06, 0.45), vary=0.3)
    height, size = base, build.uniform(0.03, 0.06)
    if build.chance(0.4):
        for _ in range(build.random.randrange(3, 6)):
            thick = 0.4 * size
            build.blob(
                (x, height + thick, z), (size, thick, 0.85 * size), rock, build.uniform(0, 3), 0.06, occluder=1.0
            )
            height += 1.9 * thick
            size *= 0.8
        return height - base, 0.07
    for _ in range(build.random.randrange(4, 9)):
        part = size * build.uniform(0.4, 1.2)
        at = (x + build.uniform(-2, 2) * size, base + 0.4 * part, z + build.uniform(-2, 2) * size)
        half = (part, 0.6 * part, part * build.uniform(0.6, 1))
        build.blob(
            at, half, rock, build.uniform(0, 3), build.uniform(-0.4, 0.4), build.uniform(-0.3, 0.3), occluder=1.0
        )
    build.end_object()
    return 1.2 * size, 2.5 * size


def mushrooms(build: Builder, x: float, z: float, base: float) -> Extent:
    """A group of mushrooms."""
    build.new_object("mushroom")
    hue = build.random.choice(((0.3, 0.16, 0.07), (0.45, 0.05, 0.02), (0.55, 0.45, 0.3), (0.16, 0.1, 0.07)))
    cap, foot = build.dyed(hue, "sand", "plaster", metres=0.1, gloss=0.15), build.dyed((0.6, 0.54, 0.43), metres=0.1)
    for number in range(build.random.randrange(1, 5)):
        tall = build.uniform(0.04, 0.1)
        dx, dz = (0.0, 0.0) if number == 0 else (build.uniform(-0.09, 0.09), build.uniform(-0.03, 0.09))
        build.rod((x + dx, base - 0.01, z + dz), (x + dx, base + tall, z + dz), 0.17 * tall, foot, 0.25, 1.0)
        size = tall * build.uniform(0.45, 0.75)
        build.blob(
            (x + dx, base + tall, z + dz), (size, 0.5 * size, size), cap, 0.0, build.uniform(-0.2, 0.2), occluder=0.8
        )
    build.end_object()
    return 0.1, 0.09


def pet(build: Builder, x: float, z: float, base: float) -> Extent:
    """A cat or a small dog that looks at the camera; on the ground only."""
    tall = build.uniform(0.22, 0.4)
    quadruped(build, x, z, math.pi + build.uniform(-0.9, 0.9), tall, "cat" if tall < 0.3 else "dog", build.chance(0.4))
    return 1.3 * tall, tall


def box_camera(build: Builder, x: float, z: float, base: float) -> Extent:
    """A camera, or some other apparatus with a round front and knobs."""
    build.new_object("camera")
    dark, steel = (
        build.dyed((0.03, 0.03, 0.032), "fabric", metres=0.15),
        build.dyed((0.3, 0.3, 0.3), "metal", metres=0.3, gloss=0.6),
    )
    turn = build.uniform(-0.6, 0.6)
    s, c = math.sin(turn), math.cos(turn)

    def at(right: float, up: float, forward: float) -> tuple[float, float, float]:
        return x + right * c - forward * s, base + up, z + right * s + forward * c

    build.box(at(0, 0.04, 0), (0.07, 0.033, 0.022), dark, -turn)
    build.box(at(0, 0.078, 0), (0.068, 0.008, 0.02), steel, -turn, ball=0.0)
    build.rod(at(0.01, 0.04, -0.02), at(0.01, 0.04, -0.06), 0.029, steel, ball=1.0)
    build.rod(
        at(0.01, 0.04, -0.058), at(0.01, 0.04, -0.0615), 0.022, build.dyed((0.01, 0.012, 0.02), metres=0.1, gloss=0.9)
    )
    for place in (-0.048, 0.045):
        build.rod(at(place, 0.084, 0), at(place, 0.096, 0), 0.011, steel)
    build.box(at(-0.045, 0.066, -0.023), (0.01, 0.007, 0.002), glaze(build), -turn, ball=0.0)
    build.end_object()
    return 0.1, 0.08


def plant_pot(build: Builder, x: float, z: float, base: float) -> Extent:
    """A small pot with leaves on stalks."""
    build.new_object("plant")
    clay, green = glaze(build, 0.1), leaf_material(build, 0.25)
    tall, radius = build.uniform(0.06, 0.1), build.uniform(0.045, 0.07)
    build.cylinder((x, base + tall / 2, z), 0.75 * radius, tall / 2, clay, taper=-0.35)
    soil = build.dyed((0.03, 0.022, 0.015), "ground", metres=0.2)
    build.cylinder((x, base + tall, z), 0.88 * radius, 0.003, soil, ball=0.0)
    for number in range(build.random.randrange(6, 13)):
        angle, rise, reach = 2.4 * number, build.uniform(0.04, 0.16), build.uniform(0.02, 0.09)
        tip = (x + reach * math.sin(angle), base + tall + rise, z + reach * math.cos(angle))
        build.rod((x, base + tall, z), tip, 0.0028, green)
        long = build.uniform(0.025, 0.05)
        ahead = (tip[0] + 0.7 * long * math.sin(angle), tip[1], tip[2] + 0.7 * long * math.cos(angle))
        build.blob(
            ahead,
            (0.45 * long, 0.004, long),
            green,
            angle,
            build.uniform(-0.7, 0.5),
            build.uniform(-0.4, 0.4),
            occluder=0.5,
        )
    build.end_object()
    return tall + 0.15, 0.11
