"""What a layout tells about its scene beside the primitives."""

from dataclasses import dataclass, field

from lyra.worlds.layout.builder import Material, Point


@dataclass
class Stage:
    """Camera, light and words of a scene under construction; heights upwards.

    Attributes:
        kind: room, street, courtyard, landscape, tabletop, closeup or city.
        eye: camera position x, height, z.
        yaw: radians, 0 looks along +z, positive to the right.
        pitch: radians, positive looks down.
        fov: degrees, lowest and highest.
        indoor: lit by a lamp and a window instead of the open sky.
        lamp: position of the lamp (indoor).
        window: direction towards the window (indoor), unit, y down.
        sunny: the sun shines in through the windows (indoor).
        room: x0, x1, floor height, ceiling height, z0, z1 (indoor).
        haze: per metre.
        mover: where something may begin to move; ``None`` for nowhere.
        movers: what it may be: ball, box, person, dog or car.
        mover_reach: speed that fits the place, in metres per second.
        mover_size: half size of a ball or box.
        moving: noun of what the layout itself has set in motion.
        sun_turn: azimuths of the sun to choose from (outdoor), empty for any.
        style: for captions, such as ``old_town`` or ``desert``.
        surfaces: (wall, floor, ground or top; its material), the most telling one first.
    """

    kind: str
    eye: Point
    yaw: float
    pitch: float
    fov: tuple[float, float] = (50.0, 75.0)
    indoor: bool = False
    lamp: Point = (0.0, 2.3, 2.0)
    window: Point = (0.0, -0.5, 1.0)
    sunny: bool = False
    room: tuple[float, float, float, float, float, float] | None = None
    haze: float = 0.0
    mover: Point | None = None
    movers: tuple[str, ...] = ("ball", "box")
    mover_reach: float = 0.0
    mover_size: float = 0.3
    sun_turn: tuple[float, ...] = field(default=())
    moving: str = ""
    style: str = ""
    surfaces: tuple[tuple[str, Material], ...] = ()
