"""Rooms with furniture, pictures and windows."""

import math
from dataclasses import replace

from lyra.worlds.layout import furniture, subjects
from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.layout.plants import potted_plant
from lyra.worlds.layout.stage import Stage

# facing of the wall's front, by name
_FACING = {"left": math.pi / 2, "right": -math.pi / 2, "far": math.pi}


GLAZED = 0.65
"""Share of rooms whose windows are panes that show a picture, where nothing stands outside.

The depth of a window is then that of its wall. Behind bars and curtains a few pixels wide no network finds the true
depth of what is outside, and a scene whose panes lie behind its bars tears there when the camera moves.
"""

_NEIGHBOURS = ((0.5, 0.48, 0.44), (0.4, 0.2, 0.13), (0.6, 0.52, 0.4))


def room(build: Builder) -> Stage:
    """A furnished room seen from one end; x is −w…w, z is −1…depth."""
    half_x, depth, height = build.uniform(2.0, 3.6), build.uniform(4.6, 8.0), build.uniform(2.5, 3.4)
    near = -1.6
    style = build.random.random()
    if style < 0.6:
        wall = build.paint()
        build.random.randrange(4)  # drew a word once; every seed keeps its world
    elif style < 0.75:
        wall = build.material("brick", metres=1.8, lightness=(0.12, 0.6))
    elif style < 0.88:
        wall = build.material("wood", metres=1.4, lightness=(0.1, 0.5))
    else:
        wall = build.material("stone", "marble", metres=1.8, lightness=(0.15, 0.6))
    floor_kind = build.random.choice((("wood",), ("wood",), ("tile", "marble"), ("fabric",), ("stone", "paving")))
    floor = build.material(*floor_kind, metres=1.3, lightness=(0.08, 0.45), macro=0.2, gloss=0.06)
    top = (
        build.material("wood", metres=1.5, lightness=(0.1, 0.5))
        if build.chance(0.12)
        else build.material("plaster", metres=2.5, lightness=(0.55, 0.75))
    )
    middle, half_z = (near + depth) / 2, (depth - near) / 2
    build.floor(0, middle, half_x, half_z, floor)
    build.ceiling(0, middle, half_x, half_z, top, height)
    window_wall = build.random.choice(("left", "right", "far", "far"))
    accent = build.paint() if build.chance(0.3) else wall
    mural = build.picture() if build.chance(0.02) else None
    glazed = build.chance(GLAZED)
    for name in ("left", "right", "far"):
        material = accent if name == "far" else wall
        _wall(
            build,
            name,
            half_x,
            near,
            depth,
            height,
            material,
            name == window_wall,
            mural if name != window_wall else None,
            glazed,
        )
        if name == window_wall:
            mural = mural if name != "far" else None
    build.upright((0, height / 2, near), half_x, height / 2, 0.0, wall, one_sided=True)
    if not glazed:
        _outside(build, depth)

    skirting = build.material("wood", "wall", metres=1.0, lightness=(0.3, 0.7))
    build.box((0, 0.05, depth - 0.01), (half_x, 0.05, 0.012), skirting, ball=0.0)
    build.box((-half_x + 0.01, 0.05, middle), (0.012, 0.05, half_z), skirting, ball=0.0)
    build.box((half_x - 0.01, 0.05, middle), (0.012, 0.05, half_z), skirting, ball=0.0)

    wood = build.material("wood", metres=0.9, lightness=(0.06, 0.4), gloss=0.06)
    fabric = build.material("fabric", metres=0.7, lightness=(0.06, 0.5))
    _furnish(build, half_x, depth, height, wood, fabric, window_wall)

    eye_x = build.uniform(-0.35, 0.35) * half_x
    eye_z = build.uniform(-0.7, 0.2)
    aim_x = build.uniform(-0.5, 0.5) * half_x
    lamp = (build.uniform(-0.4, 0.4) * half_x, height - 0.25, build.uniform(0.35, 0.65) * depth)
    toward = {"left": (-1.0, -0.35, 0.0), "right": (1.0, -0.35, 0.0), "far": (0.0, -0.35, 1.0)}[window_wall]
    return Stage(
        kind="room",
        surfaces=(("wall", wall), ("floor", floor)),
        eye=(eye_x, build.uniform(1.15, 1.65), eye_z),
        yaw=math.atan2(aim_x - eye_x, depth - eye_z),
        pitch=build.uniform(0.02, 0.18),
        fov=(44.0, 88.0),
        indoor=True,
        lamp=lamp,
        window=toward,
        sunny=build.chance(0.45) and not glazed,
        room=(-half_x, half_x, 0.0, height, near, depth),
        mover=(0.2 * half_x, build.uniform(0.3, 1.6) if build.chance(0.4) else 0.0, 0.6 * depth),
        movers=("ball", "box", "person"),
        mover_reach=0.5 * half_x,
        mover_size=0.14,
    )


def _wall(
    build: Builder,
    name: str,
    half_x: float,
    near: float,
    depth: float,
    height: float,
    material: Material,
    has_window: bool,
    mural: Material | None,
    glazed: bool,
) -> None:
    """One wall; with a window it is a silhouette with a hole and a frame in front, and a pane where it is glazed."""
    facing = _FACING[name]
    half = half_x if name == "far" else (depth - near) / 2
    centre = (
        (0.0, height / 2, depth)
        if name == "far"
        else (half_x if name == "right" else -half_x, height / 2, (near + depth) / 2)
    )
    if not has_window:
        if mural is not None:
            build.new_feature("mural")
            build.upright(centre, half, height / 2, facing, mural, stretch=True, one_sided=True)
            build.end_object()
        else:
            build.upright(centre, half, height / 2, facing, material, one_sided=True)
        return
    repeat = max(1.0, round(2 * half / build.uniform(2.4, 3.6)))
    kind = 0 if build.chance(0.5) else 1
    build.new_feature("window", int(repeat))
    build.upright(
        centre,
        half,
        height / 2,
        facing,
        material,
        one_sided=True,
        mask=build.catalogue.mask_kinds["hole"][kind],
        mask_repeat=(repeat, 1.0),
    )
    build.end_object()
    frame = build.material("wood", "wall", metres=0.8, lightness=(0.3, 0.75))
    inward = (-math.sin(facing) * -0.02, -math.cos(facing) * -0.02)
    top, bottom = ((0.2, 0.68), (0.15, 0.75))[kind]
    sill_y = height * (1 - bottom)
    if name == "far":
        build.box((centre[0], sill_y, centre[2] - 0.06), (half, 0.02, 0.09), frame, ball=0.0)
    else:
        build.box((centre[0] + 3 * inward[0], sill_y, centre[2]), (0.09, 0.02, half), frame, ball=0.0)
    for line in (top, bottom, (top + bottom) / 2):
        y = height * (1 - line)
        if name == "far":
            build.box((0, y, centre[2] + 0.03), (half, 0.02, 0.02), frame, ball=0.0)
        else:
            build.box((centre[0] - inward[0], y, centre[2]), (0.02, 0.02, half), frame, ball=0.0)
    build.upright(
        (centre[0] - 2 * inward[0], centre[1], centre[2] - 2 * inward[1]), half, height / 2, facing, frame,
        mask=build.catalogue.mask_kinds["rail"][0], mask_repeat=(max(1.0, round(repeat * 0.4)), 1.0),
    )  # fmt: skip
    if glazed:
        pane = (centre[0] - 4 * inward[0], centre[1], centre[2] - 4 * inward[1])
        build.upright(pane, half, height / 2, facing, _glass(build), stretch=True)
    if repeat <= 3 and build.chance(0.5):
        _curtains(build, centre, half, repeat, facing)


def _glass(build: Builder) -> Material:
    """What shows in a pane: the view, thin bright cloth before it, or nothing but light."""
    if build.catalogue.by_category.get("view") and build.chance(0.6):
        return build.view()
    shade = build.uniform(0.6, 0.95)
    cloth = build.dyed((shade, shade, 0.97 * shade), "fabric", "plaster", metres=1.0)
    return replace(cloth, glow=build.uniform(0.3, 1.2))


def _on_top(build: Builder, x: float, z: float, yaw: float, top: float) -> None:
    """A vase, or what people leave on tables."""
    if build.chance(0.4):
        furniture.vase(build, x + 0.1, z, top)
    things = (subjects.books, subjects.fruits, subjects.plant_pot, subjects.bottle, subjects.pebbles)
    for right in (-0.3, 0.32):
        if build.chance(0.6):
            px, pz = furniture._place(x, z, yaw, right, build.uniform(-0.1, 0.1))
            build.random.choice(things)(build, px, pz, top)


def _outside(build: Builder, depth: float) -> None:
    """What a window shows below the sky: a photograph of a place, or trees and houses."""
    garden = build.meadow("grass", metres=4.0)
    build.floor(0, depth / 2, 150, 150, garden, height=-build.uniform(0.3, 3.5))
    seen = build.random.random()
    for side in (-1, 0, 1):
        away = build.uniform(12, 30)
        x, z = (side * away, depth / 2) if side else (0.0, depth + away)
        facing = -side * math.pi / 2 if side else math.pi
        if seen < 0.4:
            build.upright((x, 3.0, z), 1.1 * away, 0.7 * away, facing, build.view(), stretch=True)
            continue
        if seen < 0.6:
            wall = build.dyed(build.random.choice(_NEIGHBOURS), "plaster", "brick")
            build.upright((x, 3.0, z), 40, build.uniform(4, 8), facing, replace(wall, metres=2.2, glow=0.5))
        kind = build.random.choice(("treeline", "crown", "leaves", "bush"))
        repeat = {"treeline": 2.0, "crown": 7.0, "leaves": 6.0, "bush": 9.0}[kind]
        leaves = replace(build.leaf(3.0), glow=build.uniform(0.2, 0.8))
        build.upright(
            (0.95 * x, 2.0, z - 1.0 if not side else z), 40, build.uniform(3, 7), facing, leaves, mask=build.mask(kind),
            mask_repeat=(repeat, 1.0), puffy=True,
        )  # fmt: skip


def _curtains(build: Builder, centre: tuple[float, float, float], half: float, repeat: float, facing: float) -> None:
    """Cloth at both sides of each window of a wall."""
    cloth = build.material("fabric", "plaster", metres=0.8, lightness=(0.15, 0.7))
    cloth = replace(cloth, glow=0.15)
    bay, high = 2 * half / repeat, centre[1]
    for window in range(int(repeat)):
        for edge in (0.21, 0.79):
            along = (window + edge) * bay - half
            x, z = centre[0] + math.cos(facing) * along, centre[2] - math.sin(facing) * along
            place = (x + 0.07 * math.sin(facing), 0.98 * high, z + 0.07 * math.cos(facing))
            build.box(place, (0.07 * bay, 0.94 * high, 0.03), cloth, facing, ball=0.0)


def _furnish(
    build: Builder, half_x: float, depth: float, height: float, wood: Material, fabric: Material, window_wall: str
) -> None:
    # left and right walls: two places each, beyond the camera; far wall: two places
    for side in ("left", "right"):
        sign = -1.0 if side == "left" else 1.0
        yaw = _FACING[side]
        z = build.uniform(1.9, 2.5)
        while z < depth - 0.9:
            item = build.random.random()
            x = sign * (half_x - 0.32)
            if item < 0.22:
                furniture.cabinet(build, x, z, yaw, wood)
                z += 1.9
            elif item < 0.36:
                furniture.shelf(build, sign * (half_x - 0.2), z, yaw, wood)
                z += 1.7
            elif item < 0.52:
                furniture.sofa(build, sign * (half_x - 0.52), z + 0.3, yaw, fabric)
                z += 2.7
            elif item < 0.66:
                potted_plant(build, sign * (half_x - 0.4), z, build.uniform(0.7, 1.4))
                z += 1.1
            elif item < 0.76:
                furniture.floor_lamp(build, sign * (half_x - 0.35), z)
                z += 1.1
            elif item < 0.86:
                furniture.chair(build, sign * (half_x - 0.4), z, yaw, wood, fabric)
                z += 1.2
            else:
                z += 1.5
        if side != window_wall:
            z = build.uniform(1.6, 2.6)
            for _ in range(2):
                if z < depth - 0.7:
                    furniture.wall_picture(build, sign * half_x, min(1.65, height - 0.9), z, yaw, 0.6)
                z += build.uniform(1.6, 2.6)
    if window_wall != "far":
        if build.chance(0.4):
            door = build.material("door", "wood", metres=1.0, lightness=(0.08, 0.5))
            x = build.uniform(-0.6, 0.6) * half_x
            build.new_object("door")
            build.box((x, 1.02, depth - 0.03), (0.47, 1.02, 0.02), door.tinted((1.1, 1.1, 1.1)), stretch=True, ball=0.0)
            if build.chance(0.2):  # it opens and closes
                leaf = range(len(build) - 1, len(build))
                hinge = (x - 0.47, 0.0, depth - 0.05)
                wide, rate = build.uniform(0.3, 0.6), build.uniform(0.8, 1.6)
                build.swing(leaf, (0.0, 1.0, 0.0), wide, rate, -math.pi / 2, hinge)
            build.end_object()
        else:
            furniture.wall_picture(
                build, build.uniform(-0.5, 0.5) * half_x, min(1.65, height - 0.9), depth, math.pi, 0.9
            )
    centre = build.random.random()
    x, z = build.uniform(-0.3, 0.3) * half_x, build.uniform(0.55, 0.72) * depth
    if centre < 0.5:
        yaw = build.uniform(-0.3, 0.3)
        if build.chance(0.6):
            rug = build.material("fabric", metres=1.0, lightness=(0.08, 0.4))
            build.new_object("rug")
            build.box((x, 0.006, z), (1.3, 0.006, 0.95), rug, yaw, ball=0.0)
        top = furniture.table(build, x, z, yaw, wood)
        _on_top(build, x, z, yaw, top)
        for right, forward, turn in ((0.0, 0.75, math.pi), (0.95, 0.0, -math.pi / 2), (-0.95, 0.0, math.pi / 2)):
            if build.chance(0.6):
                cx, cz = furniture._place(x, z, yaw, right, forward)
                furniture.chair(build, cx, cz, yaw + turn, wood, fabric)
    elif centre < 0.75:
        furniture.bed(build, x, depth - 1.15, math.pi, wood)
    elif centre < 0.9:
        furniture.sofa(build, x, depth - 0.6, math.pi, fabric)
        build.new_object("table")
        build.box((x, 0.33, depth - 1.6), (0.5, 0.02, 0.3), wood, ball=0.8)
        build.box((x, 0.16, depth - 1.6), (0.3, 0.16, 0.18), wood, ball=0.0)
        furniture.vase(build, x, depth - 1.6, 0.35)
        build.end_object()
    build.end_object()
    for _ in range(build.random.choice((0, 0, 1, 2))):
        px, pz = build.uniform(-0.6, 0.6) * half_x, build.uniform(0.3, 0.8) * depth
        what = build.random.random()
        if what < 0.3:
            subjects.pet(build, px, pz, 0.0)
        elif what < 0.6:
            build.new_object("box")
            size = build.uniform(0.12, 0.25)
            skin = build.material("paper", "wood", "fabric", metres=0.5, lightness=(0.08, 0.5))
            build.box((px, size, pz), (size * build.uniform(1, 1.6), size, size), skin, build.uniform(0, 3))
            build.end_object()
        else:
            furniture.chair(build, px, pz, build.uniform(-3, 3), wood, fabric)
