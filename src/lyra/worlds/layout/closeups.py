"""One thing from close by, on a table, a wall or the ground, with the rest of the world far behind it."""

import math
from collections.abc import Callable

from lyra.worlds.layout import furniture, subjects
from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.layout.plants import bark_material, bush, grass_tuft, leaf_material, tree
from lyra.worlds.layout.stage import Stage
from lyra.worlds.layout.subjects import Extent
from lyra.worlds.layout.towers import village

_Maker = Callable[[Builder, float, float, float], Extent]


def _cup_on_saucer(build: Builder, x: float, z: float, base: float) -> Extent:
    return subjects.cup(build, x, z, base, saucer=True)


def _cup(build: Builder, x: float, z: float, base: float) -> Extent:
    return subjects.cup(build, x, z, base, saucer=False)


_ON_A_TABLE: tuple[_Maker, ...] = (
    _cup_on_saucer, _cup_on_saucer, subjects.plate, subjects.fruits, subjects.books, subjects.box_camera,
    subjects.plant_pot, _cup, subjects.bottle,
)  # fmt: skip
_ON_THE_GROUND: tuple[_Maker, ...] = (
    subjects.flower, subjects.flower, subjects.mushrooms, subjects.pebbles, subjects.pet, subjects.pet,
    subjects.fruits, subjects.plant_pot,
)  # fmt: skip
_BESIDE: tuple[_Maker, ...] = (
    _cup, subjects.books, subjects.fruits, subjects.bottle, subjects.plant_pot, subjects.plate, subjects.pebbles,
)  # fmt: skip


def closeup(build: Builder) -> Stage:
    """The subject fills a good part of the picture; the camera looks down on it or level across it."""
    outdoors = build.chance(0.5)
    on_table = not outdoors or build.chance(0.35)
    base = build.uniform(0.68, 0.8) if on_table else 0.0
    make = build.random.choice(_ON_A_TABLE if on_table else _ON_THE_GROUND)
    surface = _table(build, base, outdoors) if on_table else _ground(build)
    tall, radius = make(build, 0.0, 0.0, base)
    steep = on_table and build.chance(0.45)
    pitch = build.uniform(0.5, 1.05) if steep else build.uniform(0.02, 0.4)
    low, high = (38.0, 62.0) if build.chance(0.7) else (60.0, 78.0)
    extent = max(radius, 0.6 * tall)
    distance = extent / (math.tan(math.radians((low + high) / 4)) * build.uniform(0.28, 0.62)) + 0.5 * radius
    yaw = build.uniform(-0.5, 0.5)
    if on_table or make is subjects.fruits:
        _beside(build, base, radius, distance, yaw)
    if not on_table:
        _growth(build, radius, distance, make is subjects.flower)
    if outdoors:
        _outdoors(build, on_table, yaw)
    else:
        _indoors(build, yaw)
    aim = base + tall * build.uniform(0.35, 0.6)
    aside = build.uniform(-0.4, 0.4) * radius
    reach = distance * math.cos(pitch)
    eye = (aside - reach * math.sin(yaw), aim + distance * math.sin(pitch), -reach * math.cos(yaw))
    side = build.random.choice((-1.0, 1.0))
    return Stage(
        kind="closeup",
        surfaces=(("top" if on_table else "ground", surface),),
        eye=(eye[0], max(eye[1], base + 0.06), eye[2]),
        yaw=yaw,
        pitch=pitch,
        fov=(low, high),
        indoor=not outdoors,
        lamp=(side * build.uniform(0.5, 1.8), base + build.uniform(0.8, 1.6), build.uniform(-1.2, 0.8)),
        window=(-side, -0.5, build.uniform(-0.6, 0.6)),
        room=None if outdoors else (-3.4, 3.4, 0.0, 2.8, -3.0, 6.0),
        haze=0.001 if outdoors else 0.0,
        mover=(1.6 * radius + 0.05, base + 0.03, 0.6 * distance),
        mover_reach=0.12,
        mover_size=0.03,
        sun_turn=(-2.4, -1.7, 1.7, 2.4, 0.7, -0.7) if outdoors else (),
    )


def _table(build: Builder, base: float, outdoors: bool) -> Material:
    kinds = (
        ("wood", "wood", "wood", "marble", "fabric", "stone") if not outdoors else ("wood", "wood", "stone", "metal")
    )
    top = build.material(build.random.choice(kinds), metres=0.8, lightness=(0.05, 0.5), gloss=0.15)
    half_x, half_z = build.uniform(0.5, 1.0), build.uniform(0.4, 0.7)
    build.box(
        (build.uniform(-0.2, 0.2), base - 0.02, 0.1), (half_x, 0.02, half_z), top, build.uniform(-0.15, 0.15), ball=0.0
    )
    build.box((0, base / 2, 0.1), (0.06, base / 2 - 0.04, 0.06), top, ball=0.0)
    if build.chance(0.25):
        cloth = build.material("fabric", "paper", metres=0.35, lightness=(0.1, 0.6))
        build.box((0.02, base + 0.001, 0), (0.2, 0.0015, 0.15), cloth, build.uniform(-0.4, 0.4), ball=0.0)
    return top


def _ground(build: Builder) -> Material:
    kind = build.random.choice(("grass", "grass", "forest", "ground", "sand", "rock", "paving", "wood"))
    ground = build.material(kind, metres=build.uniform(0.7, 1.4), lightness=(0.06, 0.4), macro=0.5)
    build.floor(0, 40, 120, 80, ground)
    return ground


def _beside(build: Builder, base: float, radius: float, distance: float, yaw: float) -> None:
    """Other things, more behind the subject than beside it."""
    spots = [(0.0, 0.0)]
    for _ in range(build.random.choice((0, 1, 1, 2, 3, 4))):
        angle = yaw + build.uniform(-1.9, 1.9)
        reach = radius + build.uniform(0.13, 0.45)
        spot = (reach * math.sin(angle), reach * math.cos(angle))
        if all(math.dist(spot, other) > 0.2 for other in spots[1:]) and reach < 0.5 + distance:
            spots.append(spot)
            build.random.choice(_BESIDE)(build, *spot, base)


def _growth(build: Builder, radius: float, distance: float, among_flowers: bool) -> None:
    """Blades, leaves and stones around the subject."""
    blades = leaf_material(build, 0.3)
    for _ in range(build.random.randrange(5, 11)):
        z = build.uniform(-0.35, 2.5) * distance
        x = build.random.choice((-1, 1)) * (radius + build.uniform(0.05, 0.5) * (distance + abs(z)))
        grass_tuft(build, x, z, build.uniform(0.06, 0.22) * (0.6 + distance), blades)
    if among_flowers:
        for _ in range(build.random.randrange(0, 3)):
            z = build.uniform(0.25, 1.5)
            subjects.flower(build, build.uniform(-0.6, 0.6) * (1 + z), z, 0.0)
    rock = build.material("rock", metres=0.4, lightness=(0.06, 0.4))
    for _ in range(build.random.randrange(0, 4)):
        size, z = build.uniform(0.02, 0.07), build.uniform(-0.2, 1.5) * distance
        x = build.random.choice((-1, 1)) * (radius + build.uniform(0.05, 0.6))
        build.blob((x, 0.3 * size, z), (size, 0.6 * size, 0.8 * size), rock, build.uniform(0, 3), 0.2, occluder=1.0)


def _outdoors(build: Builder, on_table: bool, yaw: float) -> None:
    """A garden, a yard or open country behind the subject."""
    if on_table:
        build.floor(
            0, 40, 120, 80, build.material("grass", "paving", "ground", metres=2.0, lightness=(0.08, 0.4), macro=0.5)
        )
    s, c = math.sin(yaw), math.cos(yaw)
    leaves, bark = leaf_material(build, 1.4), bark_material(build)

    def beyond(distance: float, aside: float) -> tuple[float, float]:
        return distance * s + aside * c, distance * c - aside * s

    what = build.random.random()
    if what < 0.4:  # a hedge or foliage close behind
        for _ in range(build.random.randrange(3, 7)):
            x, z = beyond(build.uniform(1.6, 5), build.uniform(-3, 3))
            bush(build, x, z, build.uniform(0.5, 1.2), leaves if build.chance(0.5) else leaf_material(build, 1.0))
    elif what < 0.6:  # a wall
        wall = build.material("brick", "plaster", "stone", "wood", metres=1.6, lightness=(0.1, 0.5))
        x, z = beyond(build.uniform(1.4, 4), 0.0)
        build.box((x, 1.5, z), (9, 1.5, 0.15), wall, yaw, ball=0.0)
    for _ in range(build.random.randrange(1, 5)):
        x, z = beyond(build.uniform(6, 22), build.uniform(-9, 9))
        tree(build, x, z, build.uniform(3.5, 7), leaves, bark)
    if build.chance(0.35):
        village(build, (-16, 16), 24.0, 1.0, 3)
    x, z = beyond(45.0, 0.0)
    build.upright(
        (x, 4.0, z), 80, build.uniform(4, 8), math.pi + yaw, leaf_material(build, 3.0), mask=build.mask("treeline"),
        mask_repeat=(build.random.choice((3.0, 6.0)), 1.0), puffy=True,
    )  # fmt: skip


def _indoors(build: Builder, yaw: float) -> None:
    """A room around it, furnished on the far side."""
    far, half = 6.0, 3.4
    floor = build.material("wood", "tile", "fabric", "stone", metres=1.3, lightness=(0.06, 0.4))
    build.floor(0, 1.5, half, 4.5, floor)
    wall = (
        build.paint()
        if build.chance(0.7)
        else build.material("brick", "wood", "plaster", metres=1.6, lightness=(0.1, 0.6))
    )
    back = build.uniform(1.4, far)
    build.upright((0, 1.4, back), half, 1.4, math.pi, wall, one_sided=True)
    build.upright((0, 1.4, -3.0), half, 1.4, 0.0, wall, one_sided=True)
    for side in (-1, 1):
        build.upright((side * half, 1.4, 1.5), 4.5, 1.4, -side * math.pi / 2, wall, one_sided=True)
    build.ceiling(0, 1.5, half, 4.5, build.material("plaster", metres=2.5, lightness=(0.5, 0.75)), 2.8)
    wood = build.material("wood", metres=0.9, lightness=(0.05, 0.35))
    fabric = build.material("fabric", metres=0.7, lightness=(0.06, 0.5))
    for place in (-1.7, 0.0, 1.7):
        x = place + build.uniform(-0.4, 0.4) + 0.5 * back * math.tan(yaw)
        if abs(x) > half - 0.9:
            continue
        what = build.random.random()
        if what < 0.2:
            furniture.cabinet(build, x, back - 0.3, math.pi, wood)
        elif what < 0.35:
            furniture.shelf(build, x, back - 0.2, math.pi, wood)
        elif what < 0.5:
            furniture.sofa(build, x, back - 0.55, math.pi, fabric)
        elif what < 0.6:
            furniture.floor_lamp(build, x, back - 0.4)
        elif what < 0.8:
            furniture.wall_picture(build, x, build.uniform(1.2, 1.7), back, math.pi, 0.5)
        elif build.catalogue.by_category.get("view"):
            build.new_object("window")
            frame = build.dyed((0.6, 0.58, 0.54), "wood", metres=0.8)
            view = build.view()
            build.box((x, 1.45, back - 0.02), (0.66, 0.72, 0.03), frame, ball=0.0)
            build.upright((x, 1.45, back - 0.055), 0.6, 0.66, math.pi, view, stretch=True)
            build.box((x, 1.45, back - 0.06), (0.02, 0.66, 0.012), frame, ball=0.0)
            build.end_object()
