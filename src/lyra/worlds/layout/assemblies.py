"""Things without names in no order: what a depth network must see to judge by shape, not by what usually stands where.

Worlds with meaning teach how rooms and streets are; a photograph of something else then gets their shape. That even
scenes without meaning teach reconstruction is shown by Jiang et al., "MegaSynth" (CVPR 2025).
"""

import math

from lyra.worlds.layout.builder import Builder, Material, Point
from lyra.worlds.layout.stage import Stage

_SURFACES = (
    "photo", "photo", "view", "wood", "stone", "marble", "brick", "plaster", "metal", "fabric", "grass", "forest",
    "rock", "sand", "tile", "paper", "roof", "bark", "foliage", "facade", "other",
)  # fmt: skip
_HUES = (
    (0.55, 0.03, 0.02), (0.6, 0.25, 0.02), (0.5, 0.42, 0.04), (0.06, 0.3, 0.05), (0.03, 0.14, 0.45), (0.25, 0.05, 0.3),
    (0.7, 0.7, 0.7), (0.01, 0.01, 0.012), (0.02, 0.02, 0.02), (0.85, 0.85, 0.82), (0.5, 0.3, 0.2), (0.02, 0.1, 0.1),
)  # fmt: skip
NEAREST, FARTHEST = 0.5, 14.0
"""Where things stand, in metres in front of the camera."""


def assembly(build: Builder) -> Stage:
    """Boxes, balls, tubes, sheets and stacks of them, turned any way, on a ground, in a room or in the air."""
    indoor = build.chance(0.45)
    grounded = indoor or build.chance(0.75)
    height = build.uniform(0.3, 2.2)
    pitch = build.uniform(-0.25, 0.8) if build.chance(0.4) else build.uniform(-0.12, 0.2)
    fov = (25.0, 50.0) if build.chance(0.5) else (45.0, 85.0)
    ground = _coat(build, 1.5)
    if grounded:
        build.floor(0, 30, 90, 60, ground)
    room = None
    if indoor:
        room = (-build.uniform(1.5, 5), build.uniform(1.5, 5), 0.0, height + build.uniform(0.8, 3), -2.0, 0.0)
        room = (*room[:5], build.uniform(2.0, 9.0))
        _walls(build, room)
    for _ in range(build.random.randrange(6, 34)):
        build.new_object()
        _thing(build, height, pitch, fov[1], grounded)
    build.end_object()
    return Stage(
        kind="closeup",
        surfaces=(("ground", ground),),
        eye=(0.0, height, 0.0),
        yaw=0.0,
        pitch=pitch,
        fov=fov,
        indoor=indoor,
        lamp=(build.uniform(-1.2, 1.2), height + build.uniform(0.2, 0.7), build.uniform(-1.0, 1.5)),
        window=(build.uniform(-1, 1), -0.5, build.uniform(-0.6, 0.6)),
        room=room,
        haze=0.0 if indoor or build.chance(0.6) else build.uniform(0.002, 0.03),
    )


def _coat(build: Builder, metres: float) -> Material:
    """Any surface: a photograph, a material, or a plain colour, from nearly black to white."""
    metres = metres * math.exp(build.uniform(-1.2, 0.6))
    gloss = build.uniform(0.1, 0.6) if build.chance(0.3) else 0.0
    if build.chance(0.3):
        return build.dyed(build.random.choice(_HUES), "plaster", "paper", metres=metres, gloss=gloss)
    return build.material(
        build.random.choice(_SURFACES), metres=metres, macro=build.uniform(0, 0.5), gloss=gloss,
        lightness=(0.02, 0.75),
    )  # fmt: skip


def _walls(build: Builder, room: tuple[float, float, float, float, float, float]) -> None:
    """Four walls and a ceiling, each of a surface of its own in half of the rooms."""
    left, right, _, top, back, front = room
    same = _coat(build, 1.6) if build.chance(0.5) else None
    middle, half, long = (left + right) / 2, (right - left) / 2, (front - back) / 2
    build.upright((middle, top / 2, front), half, top / 2, math.pi, same or _coat(build, 1.6), one_sided=True)
    build.upright((middle, top / 2, back), half, top / 2, 0.0, same or _coat(build, 1.6), one_sided=True)
    for x, facing in ((left, math.pi / 2), (right, -math.pi / 2)):
        build.upright((x, top / 2, back + long), long, top / 2, facing, same or _coat(build, 1.6), one_sided=True)
    build.ceiling(middle, back + long, half, long, _coat(build, 2.0), top)


def _thing(build: Builder, height: float, pitch: float, fov: float, grounded: bool) -> None:
    """One object somewhere in view; its size follows its distance, so that all show."""
    standing = grounded and build.chance(0.75)
    near, far = NEAREST, FARTHEST
    if standing:  # where the ground is in view
        steepest, flattest = pitch + math.radians(fov) / 4, pitch - math.radians(fov) / 4
        near = max(near, height / math.tan(min(steepest, 1.5)) if steepest > 0 else far)
        far = min(far, height / math.tan(flattest)) if flattest > 0.05 else far
    near = min(near, 0.8 * far)
    distance = near * (far / near) ** build.random.random()
    aside = distance * math.tan(math.radians(fov / 2)) * build.uniform(-0.9, 0.9)
    rise = distance * math.tan(math.radians(fov / 2)) * build.uniform(-0.55, 0.55)
    along = distance * math.cos(pitch) - rise * math.sin(pitch)
    size = distance * math.exp(build.uniform(math.log(0.03), math.log(0.22)))
    place = (aside, height - distance * math.sin(pitch) + rise * math.cos(pitch), along)
    if standing:
        place = (aside, 0.0, distance)
        what = build.random.random()
        if what < 0.28:
            _column(build, place, size)
        elif what < 0.45:
            _stack(build, place, size)
        elif what < 0.55:
            _frame(build, place, size)
        else:
            _body(build, (place[0], 0.8 * size, place[2]), size, upright=build.chance(0.6))
    elif not grounded or place[1] > 1.2 * size:
        _body(build, place, size, upright=False)


def _proportions(build: Builder, size: float) -> Point:
    """Half sizes: compact, flat or long."""
    return (
        size * math.exp(build.uniform(-1.1, 0.3)),
        size * math.exp(build.uniform(-1.1, 0.3)),
        size * math.exp(build.uniform(-1.1, 0.3)),
    )


def _body(build: Builder, centre: Point, size: float, upright: bool) -> None:
    """A single shape."""
    coat, half = _coat(build, size), _proportions(build, size)
    yaw = build.uniform(-math.pi, math.pi)
    lean, roll = (0.0, 0.0) if upright else (build.uniform(-1.2, 1.2), build.uniform(-1.2, 1.2))
    what = build.random.random()
    if upright:
        centre = (centre[0], half[1], centre[2])
    if what < 0.34:
        build.block(centre, half, coat, yaw, lean, roll, stretch=build.chance(0.4), ball=0.8)
    elif what < 0.62:
        build.blob(centre, half, coat, yaw, lean, roll, occluder=0.8)
    elif what < 0.8:
        reach = 1.6 * size
        tip = (
            centre[0] + reach * math.sin(yaw) * math.cos(lean),
            centre[1] + reach * math.sin(lean),
            centre[2] + reach * math.cos(yaw) * math.cos(lean),
        )
        radius = size * math.exp(build.uniform(-2.6, -0.3))
        if upright:
            tip = (centre[0], reach, centre[2])
            centre = (centre[0], 0.0, centre[2])
        build.rod(centre, tip, radius, coat, build.uniform(0, 0.7) if build.chance(0.4) else 0.0, ball=0.5)
    elif what < 0.92:
        facing = math.pi + build.uniform(-1.1, 1.1)
        if build.chance(0.5):
            kind = build.random.choice(tuple(build.catalogue.mask_kinds))
            build.upright(centre, half[0], half[1], facing, coat, mask=build.mask(kind), puffy=build.chance(0.5))
        else:
            build.upright(
                centre, half[0], half[1], facing, coat, stretch=build.chance(0.5), lean=build.uniform(-0.5, 0.5)
            )
    else:
        build.cylinder(centre, half[0], half[1], coat, taper=build.uniform(-0.2, 0.8), radius_z=half[2], yaw=yaw)


def _column(build: Builder, foot: Point, size: float) -> None:
    """Something tall and upright, which keeps its distance all the way up, however its surface changes."""
    tall = size * build.uniform(2.0, 9.0)
    width = size * math.exp(build.uniform(-1.6, 0.2))
    coat, level = _coat(build, width), 0.0
    parts = build.random.choice((1, 1, 2, 3, 4))
    round_one, yaw = build.chance(0.4), build.uniform(-0.8, 0.8)
    for _ in range(parts):
        half = tall / (2 * parts) * build.uniform(0.6, 1.3)
        centre = (foot[0], level + half, foot[2])
        if round_one:
            build.cylinder(centre, width, half, coat, taper=build.uniform(0.0, 0.5) if build.chance(0.4) else 0.0)
        else:
            build.box(centre, (width, half, width * build.uniform(0.7, 1.3)), coat, yaw, stretch=build.chance(0.3))
        level += 2 * half
        width *= build.uniform(0.45, 1.15)
        if build.chance(0.5):
            coat = _coat(build, width)
    if build.chance(0.3):
        build.blob((foot[0], level, foot[2]), (width, width, width), _coat(build, width))


def _stack(build: Builder, foot: Point, size: float) -> None:
    """Boxes and balls upon each other, each turned a little."""
    level = 0.0
    for _ in range(build.random.randrange(2, 6)):
        half = _proportions(build, 0.7 * size)
        shift = build.uniform(-0.3, 0.3) * half[0]
        centre = (foot[0] + shift, level + half[1], foot[2] + build.uniform(-0.3, 0.3) * half[2])
        if build.chance(0.7):
            build.box(centre, half, _coat(build, size), build.uniform(-0.7, 0.7), stretch=build.chance(0.4))
        else:
            build.blob(centre, half, _coat(build, size), build.uniform(-1, 1), occluder=0.8)
        level += 2 * half[1]


def _frame(build: Builder, foot: Point, size: float) -> None:
    """A lattice of rods: what lies behind shows between them."""
    coat, radius = _coat(build, size), size * math.exp(build.uniform(-4.2, -2.4))
    half, tall, yaw = size * build.uniform(0.4, 1.3), size * build.uniform(1.0, 4.0), build.uniform(-0.9, 0.9)
    across = (half * math.cos(yaw), -half * math.sin(yaw))
    bars = build.random.randrange(2, 6)
    for number in range(bars):
        share = 2 * number / (bars - 1) - 1
        x, z = foot[0] + share * across[0], foot[2] + share * across[1]
        build.rod((x, 0.0, z), (x, tall, z), radius, coat)
    for number in range(build.random.randrange(1, 5)):
        level = tall * build.uniform(0.2, 1.0)
        rise = tall * build.uniform(-0.2, 0.2) if number % 2 else 0.0
        build.rod(
            (foot[0] - across[0], level, foot[2] - across[1]),
            (foot[0] + across[0], max(level + rise, 0.02), foot[2] + across[1]), radius, coat,
        )  # fmt: skip
