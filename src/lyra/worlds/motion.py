"""Where every primitive of every frame is: the world-to-local maps the tracer uses."""

import torch
from torch import Tensor

from lyra.worlds.world import CENTRE, HALF, OCCLUDER, PIVOT, ROWS, SPIN, VELOCITY, WorldBatch

FRAME_COLUMNS = 16
"""[0:9] the matrix M row by row, [9:12] b, so that local = M p + b; [12:15] centre, [15] occluder radius."""


def frame_tables(batch: WorldBatch, index: Tensor, time: Tensor | None) -> Tensor:
    """[F, P, 16] float32 world-to-local maps of the primitives seen by each frame.

    A moving primitive turns by SPIN · time around the vertical through PIVOT and is shifted by VELOCITY · time.

    Args:
        batch: the worlds.
        index: [F] int64, world of each frame.
        time: [F] seconds, ``None`` is zero.
    """
    table = batch.primitives if time is None else batch.primitives[index]
    rows = table[..., ROWS].unflatten(-1, (3, 3))
    centre = table[..., CENTRE]
    if time is not None:
        angle = table[..., SPIN] * time[:, None]
        cos, sin = torch.cos(angle), torch.sin(angle)
        centre = _turn(centre - table[..., PIVOT], cos, sin) + table[..., PIVOT]
        centre = centre + table[..., VELOCITY] * time[:, None, None]
        rows = _turn(rows, cos[..., None], sin[..., None])
    matrix = rows / table[..., HALF][..., None]
    offset = -(matrix * centre[..., None, :]).sum(-1)
    frames = torch.cat([matrix.flatten(-2), offset, centre, table[..., OCCLUDER, None]], dim=-1)
    return (frames[index] if time is None else frames).contiguous()


def _turn(vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate [..., 3] vectors around the y axis."""
    x, y, z = vectors.unbind(-1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], dim=-1)
