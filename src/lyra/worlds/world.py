"""A procedural scene as tables of numbers, and a batch of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lyra.worlds.captions import plain_caption
from lyra.worlds.description import Description

# Shapes, in the order in which a world's primitives are sorted.
QUAD, CUTOUT, BOX, CYLINDER, ELLIPSOID, LEAVES = range(6)
SHAPES = 6
"""Quad, quad with a silhouette, box, (tapered) cylinder, ellipsoid, ellipsoid shell with a silhouette."""

# Columns of the primitive table. Every shape is a unit shape in local axes: local = rows · (p − centre) / half.
ROWS = slice(0, 9)  # local axes in world coordinates, row by row
CENTRE = slice(9, 12)
HALF = slice(12, 15)  # half sizes along the local axes
VELOCITY = slice(15, 18)  # metres per second
SPIN = 18  # radians per second around the vertical through PIVOT
PIVOT = slice(19, 22)
TILE = 22
UV_SCALE = slice(23, 26)  # tiles per local unit along x, y, z
UV_OFFSET = slice(26, 28)
MIRROR = 28  # 1: repeat the tile mirrored
MAPPING = 29  # 0: by face, 1: from above
TINT = slice(30, 33)
MACRO = 33  # strength of the large-scale brightness variation
GLOSS = 34
MASK = 35
MASK_REPEAT = slice(36, 38)
ONE_SIDED = 38  # 1: invisible to the camera from behind
TAPER = 39  # cylinder: radius at the top (local −y) is 1 − TAPER
OCCLUDER = 40  # radius of the ball that stands for this primitive in ambient occlusion, 0: none
PUFFY = 41  # 1: shade a cutout as if it bulged
GLOW = 42  # emitted light, in units of the texture colour
# Swings come before spin and velocity: SWING radians and SWAY metres, times sin(RATE t + PHASE) − sin(PHASE).
SWING_AXIS = slice(43, 46)  # unit, through SWING_PIVOT
SWING = 46
SWING_PIVOT = slice(47, 50)
RATE = 50  # radians per second
PHASE = 51
SWAY = slice(52, 55)
COLUMNS = 55

# Columns of the light row.
KEY = slice(0, 3)  # direction towards the sun, or position of the lamp
KEY_IS_POINT = 3
KEY_RGB = slice(4, 7)  # for a lamp: at one metre
UP_RGB = slice(7, 10)  # ambient light from above
DOWN_RGB = slice(10, 13)  # ambient light from below
HAZE_RGB = slice(13, 16)
HAZE = 16  # per metre
EXPOSURE = 17
WHITE = slice(18, 21)  # white balance gains
SKY = 21
SKY_YAW = 22  # radians added to the azimuth of a ray
SKY_GAIN = 23
ROOM = slice(24, 30)  # x0, x1, y0, y1, z0, z1 of the room whose corners are darkened
ROOM_SHADE = 30  # 0: no room
FILL = slice(31, 34)  # direction of the soft second light
FILL_STRENGTH = 34
GROUND_Y = 35
LIGHT_COLUMNS = 36


@dataclass(frozen=True)
class World:
    """One scene in metres; y points down, the ground is at y = 0.

    Attributes:
        seed, split: what it was made from.
        description: what it shows.
        primitives: [P, COLUMNS] float32, sorted by shape.
        counts: [SHAPES] int32, primitives of each shape.
        light: [LIGHT_COLUMNS] float32.
        source_c2w: [4, 4] float32 pose of the source camera.
        fov: radians, field of view along the longer side of the picture.
        moving: whether anything moves with time.
    """

    seed: int
    split: str
    description: Description
    primitives: np.ndarray
    counts: np.ndarray
    light: np.ndarray
    source_c2w: np.ndarray
    fov: float
    moving: bool

    @property
    def kind(self) -> str:
        """room, street, courtyard, landscape, tabletop, closeup or city."""
        return self.description.kind

    @property
    def caption(self) -> str:
        """The description as a sentence."""
        return plain_caption(self.description)


@dataclass(frozen=True)
class WorldBatch:
    """W worlds on one device.

    Attributes:
        primitives: [W, P, COLUMNS] float32, padded with zeros.
        starts: [W, SHAPES + 1] int32, first row of each shape.
        light: [W, LIGHT_COLUMNS] float32.
        source_c2w: [W, 4, 4] float32.
        fov: [W] float32 radians, along the longer side.
        descriptions: what each shows.
        moving: [W] bool; stays on the CPU, where it decides what is worth filming over time.
    """

    primitives: Tensor
    starts: Tensor
    light: Tensor
    source_c2w: Tensor
    fov: Tensor
    descriptions: tuple[Description, ...]
    moving: Tensor

    def __len__(self) -> int:
        return self.primitives.shape[0]

    @property
    def device(self) -> torch.device:
        return self.primitives.device

    def to(self, device: torch.device | str) -> "WorldBatch":
        return replace(
            self,
            primitives=self.primitives.to(device),
            starts=self.starts.to(device),
            light=self.light.to(device),
            source_c2w=self.source_c2w.to(device),
            fov=self.fov.to(device),
        )


def collate(worlds: Sequence[World], device: torch.device | str) -> WorldBatch:
    """Stack worlds, padding their primitive tables to the longest one.

    Raises:
        ValueError: no worlds.
    """
    if not worlds:
        raise ValueError("collate: expected at least one world, got none")
    longest = max(len(world.primitives) for world in worlds)
    primitives = np.zeros((len(worlds), longest, COLUMNS), np.float32)
    primitives[:, :, 0] = primitives[:, :, 4] = primitives[:, :, 8] = 1.0
    primitives[:, :, HALF] = 1.0
    for row, world in zip(primitives, worlds, strict=True):
        row[: len(world.primitives)] = world.primitives
    starts = np.zeros((len(worlds), SHAPES + 1), np.int32)
    starts[:, 1:] = np.cumsum(np.stack([world.counts for world in worlds]), axis=1)
    return WorldBatch(
        primitives=torch.from_numpy(primitives).to(device),
        starts=torch.from_numpy(starts).to(device),
        light=torch.from_numpy(np.stack([world.light for world in worlds])).to(device),
        source_c2w=torch.from_numpy(np.stack([world.source_c2w for world in worlds])).to(device),
        fov=torch.tensor([world.fov for world in worlds], dtype=torch.float32, device=device),
        descriptions=tuple(world.description for world in worlds),
        moving=torch.tensor([world.moving for world in worlds]),
    )
