"""Where every primitive of every frame is: the world-to-local maps the tracer uses."""

import torch
from torch import Tensor

from lyra.worlds.world import (
    CENTRE,
    HALF,
    OCCLUDER,
    PHASE,
    PIVOT,
    RATE,
    ROWS,
    SPIN,
    SWAY,
    SWING,
    SWING_AXIS,
    SWING_PIVOT,
    VELOCITY,
    WorldBatch,
)

FRAME_COLUMNS = 16
"""[0:9] the matrix M row by row, [9:12] b, so that local = M p + b; [12:15] centre, [15] occluder radius."""


def frame_tables(batch: WorldBatch, index: Tensor, time: Tensor | None) -> Tensor:
    """[F, P, 16] float32 world-to-local maps of the primitives seen by each frame.

    A moving primitive first swings to and fro: with w = sin(RATE · time + PHASE) − sin(PHASE) it turns by SWING · w
    around SWING_AXIS through SWING_PIVOT and is shifted by SWAY · w. The whole then turns by SPIN · time around the
    vertical through PIVOT and is shifted by VELOCITY · time. At time 0 everything is where the table says.

    Args:
        batch: the worlds.
        index: [F] int64, world of each frame.
        time: [F] seconds, ``None`` is zero.
    """
    table = batch.primitives if time is None else batch.primitives[index]
    rows = table[..., ROWS].unflatten(-1, (3, 3))
    centre = table[..., CENTRE]
    if time is not None:
        seconds = time[:, None]
        phase = table[..., PHASE]
        wave = torch.sin(table[..., RATE] * seconds + phase) - torch.sin(phase)
        axis, swing = table[..., SWING_AXIS], table[..., SWING] * wave
        hinge = table[..., SWING_PIVOT]
        centre = _turn_about(centre - hinge, axis, swing) + hinge + table[..., SWAY] * wave[..., None]
        rows = _turn_about(rows, axis[..., None, :], swing[..., None])
        angle = table[..., SPIN] * seconds
        cos, sin = torch.cos(angle), torch.sin(angle)
        centre = _turn(centre - table[..., PIVOT], cos, sin) + table[..., PIVOT]
        centre = centre + table[..., VELOCITY] * time[:, None, None]
        rows = _turn(rows, cos[..., None], sin[..., None])
    matrix = rows / table[..., HALF][..., None]
    offset = -(matrix * centre[..., None, :]).sum(-1)
    frames = torch.cat([matrix.flatten(-2), offset, centre, table[..., OCCLUDER, None]], dim=-1)
    return (frames[index] if time is None else frames).contiguous()


def _turn_about(vectors: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Rotate [..., 3] vectors by [...] radians around unit axes [..., 3] (Rodrigues); angle 0 needs no axis."""
    axis = axis.expand_as(vectors)
    along = (axis * vectors).sum(-1, keepdim=True)
    cos, sin = torch.cos(angle)[..., None], torch.sin(angle)[..., None]
    return vectors * cos + torch.linalg.cross(axis, vectors) * sin + axis * along * (1 - cos)


def _turn(vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate [..., 3] vectors around the y axis."""
    x, y, z = vectors.unbind(-1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], dim=-1)
