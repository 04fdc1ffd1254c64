"""Filming worlds: which pixels see which surface, how far away and in which colour."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from lyra.worlds.motion import frame_tables
from lyra.worlds.store import TextureStore
from lyra.worlds.trace_torch import trace_frame
from lyra.worlds.world import SHAPES, WorldBatch

Backend = Literal["auto", "torch", "triton"]


@dataclass(frozen=True)
class WorldFrames:
    """F traced frames.

    Attributes:
        rgb: [F, 3, H, W] float 0…1.
        depth: [F, H, W] float, z in metres, inf in the sky.
        sky: [F, H, W] bool.
        normal: [F, 3, H, W] float, unit, camera axes, facing the camera; 0 in the sky; ``None`` if not asked for.
    """

    rgb: Tensor
    depth: Tensor
    sky: Tensor
    normal: Tensor | None


def trace(
    batch: WorldBatch,
    textures: TextureStore,
    index: Tensor,
    c2w: Tensor,
    K: Tensor,
    height: int,
    width: int,
    time: Tensor | None = None,
    backend: Backend = "auto",
    smooth_edges: bool = True,
    normals: bool = True,
) -> WorldFrames:
    """Trace F frames.

    Args:
        batch: worlds.
        textures: store on the same device.
        index: [F] integer, the world of each frame.
        c2w: [F, 4, 4] poses in the world's metres.
        K: [F, 3, 3] intrinsics in pixels.
        height, width: size in pixels.
        time: [F] seconds, ``None`` is zero.
        backend: ``triton`` needs CUDA (or TRITON_INTERPRET=1); ``auto`` takes it where it can.
        smooth_edges: five samples instead of one for the colour of pixels on edges; depth stays that of the centre.
        normals: whether to return normals; without them a third of the memory is saved.

    Raises:
        ValueError: unknown backend.
    """
    if backend not in ("auto", "torch", "triton"):
        raise ValueError(f"trace: backend {backend!r} is not auto, torch or triton")
    index = index.to(batch.device, torch.int64)
    c2w, K = c2w.to(batch.device, torch.float32), K.to(batch.device, torch.float32)
    tables = frame_tables(batch, index, None if time is None else time.to(batch.device, torch.float32))
    if backend == "auto":
        backend = "triton" if batch.device.type == "cuda" and find_spec("triton") else "torch"
    if backend == "triton":
        from lyra.worlds.trace_triton import trace_frames

        rgb, depth, normal = trace_frames(batch, textures, index, tables, c2w, K, height, width, smooth_edges, normals)
    else:
        rgb, depth, normal = _trace_torch(batch, textures, index, tables, c2w, K, height, width, smooth_edges, normals)
    return WorldFrames(rgb=rgb, depth=depth, sky=torch.isinf(depth), normal=normal)


@torch.no_grad()
def _trace_torch(
    batch: WorldBatch,
    textures: TextureStore,
    index: Tensor,
    tables: Tensor,
    c2w: Tensor,
    K: Tensor,
    height: int,
    width: int,
    smooth_edges: bool,
    normals: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    frames = len(index)
    rgb = torch.empty(frames, 3, height, width, device=batch.device)
    depth = torch.empty(frames, height, width, device=batch.device)
    normal = torch.empty(frames, 3, height, width, device=batch.device) if normals else None
    starts = batch.starts.tolist()
    for frame, world in enumerate(index.tolist()):
        colour, z, n = trace_frame(
            tables[frame],
            batch.primitives[world],
            starts[world][: SHAPES + 1],
            batch.light[world],
            textures,
            c2w[frame],
            K[frame],
            height,
            width,
            smooth_edges,
        )
        rgb[frame], depth[frame] = colour.permute(2, 0, 1), z
        if normal is not None:
            normal[frame] = n.permute(2, 0, 1)
    return rgb, depth, normal
