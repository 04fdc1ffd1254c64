"""A small video with geometry, in the layout that ViPE writes."""

from pathlib import Path

import numpy as np
import torch

from lyra.data.published import write_depth_archive
from lyra.geometry import trajectory_c2w
from lyra.io.video import write_video

H, W, T = 60, 112, 5


def write_clip(folder: Path, name: str = "walk") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Depth [T, H, W], c2w [T, 4, 4] and intrinsics [T, 4] of a clip that is written there."""
    for part in ("rgb", "depth", "pose", "intrinsics"):
        (folder / part).mkdir(parents=True)
    rows, columns = torch.meshgrid(torch.arange(float(H)), torch.arange(float(W)), indexing="ij")
    depth = (3 + 0.01 * rows + 0.02 * columns + 0.1 * torch.arange(float(T))[:, None, None]).half().float()
    rgb = torch.stack([rows / H, columns / W, 0 * rows]).expand(T, 3, H, W)
    c2w = trajectory_c2w("right", T, 0.8) @ torch.eye(4)
    c2w[:, :3, 3] += torch.tensor([5.0, -2.0, 1.0])
    four = torch.tensor([90.0, 95.0, 55.0, 31.0]).repeat(T, 1)
    write_video(folder / "rgb" / f"{name}.mp4", rgb, 24.0)
    write_depth_archive(folder / "depth" / f"{name}.zip", depth)
    np.savez(folder / "pose" / f"{name}.npz", data=c2w.numpy(), inds=np.arange(T))
    np.savez(folder / "intrinsics" / f"{name}.npz", data=four.numpy(), inds=np.arange(T))
    return depth, c2w, four
