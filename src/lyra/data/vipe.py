"""Videos with geometry as ViPE writes them: pictures, depth, poses and intrinsics of a clip.

``<folder>/`` holds ``rgb/<clip>.mp4``, ``depth/<clip>.zip`` (``00000.exr`` …, channel Z, z along the axis),
``pose/<clip>.npz`` (``data`` [T, 4, 4] c2w, ``inds``) and ``intrinsics/<clip>.npz`` (``data`` [T, 4] fx, fy, cx, cy in
pixels of the pictures, ``inds``).
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.data.published import read_depth_archive, read_intrinsics, read_poses
from lyra.geometry.cameras import compose, invert_rigid
from lyra.io.files import require_file
from lyra.structures import Cameras, Frames, InputError, Views

PARTS = (("rgb", ".mp4"), ("depth", ".zip"), ("pose", ".npz"), ("intrinsics", ".npz"))
MARGIN = 44
"""The published programme resizes 704 rows to 720 and cuts the middle out: a 44th more."""


def clip_files(folder: Path) -> dict[str, Path]:
    """The four files of the only clip in a folder.

    Raises:
        InputError: no clip, several, or one of its files is missing.
    """
    clips = sorted((folder / "rgb").glob("*.mp4"))
    if len(clips) != 1:
        found = f"{len(clips)} clips in its rgb/" if clips else "no rgb/*.mp4"
        raise InputError(f"video folder {folder} has {found}; give a folder as ViPE writes it, with one clip")
    return {part: require_file(folder / part / f"{clips[0].stem}{end}", part) for part, end in PARTS}


def read_vipe(folder: Path, frames: int, height: int, width: int) -> Views:
    """The first frames of a clip at the size of a network; the last one is repeated where the clip is shorter.

    Pictures and depth are stretched to ``height`` + 1 / 44 by ``width``, as published, and cut to the middle rows. The
    world is that of the first camera, and its unit the median depth of the first frame.

    Raises:
        InputError: files that are missing or damaged, do not fit each other, or show no depth.
    """
    from lyra.io.video import read_video  # a store is read without a video library

    files = clip_files(folder)
    c2w, K = read_poses(files["pose"]), read_intrinsics(files["intrinsics"])
    there = min(len(c2w), len(K), frames)
    rgb = read_video(files["rgb"], frames=there).rgb
    depth = read_depth_archive(files["depth"], range(there))
    rows, columns = rgb.shape[2:]
    if depth.shape[1:] != rgb.shape[2:]:
        raise InputError(
            f"video folder {folder}: depth is {depth.shape[1]}x{depth.shape[2]}, pictures are {rows}x{columns}; "
            "run ViPE again"
        )
    stretched = height + round(height / MARGIN)
    cut = (stretched - height) // 2
    rgb, depth = (_fitted(values, stretched, width, cut, height) for values in (rgb, depth[:, None]))
    K = K[:there].clone()
    K[:, 0] *= width / columns
    K[:, 1] *= stretched / rows
    K[:, 1, 2] -= cut
    order = torch.arange(frames).clamp(max=there - 1)
    depth, c2w, K = depth[order, 0], c2w[order], K[order]
    valid = depth > 0
    if not bool(valid[0].any()):
        raise InputError(f"video folder {folder}: the first frame has no depth; run ViPE again")
    unit = depth[0][valid[0]].median()
    c2w = compose(invert_rigid(c2w[:1]), c2w)
    c2w[:, :3, 3] /= unit
    return Views(Frames(rgb[order]), depth / unit, valid, Cameras(c2w, K, height, width))


def _fitted(values: Tensor, stretched: int, width: int, cut: int, height: int) -> Tensor:
    resized = F.interpolate(values, (stretched, width), mode="bilinear", align_corners=False)
    return resized[:, :, cut : cut + height].contiguous()
