"""One picture that shows a whole run: input and depth, then warped cache, teacher and render of every trajectory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lyra.structures import Views

CELL = 224
MARGIN = 18


def shade_depth(depth: Tensor) -> Tensor:
    """[H, W] z depth to [3, H, W] 0…1: near is warm and bright, far is dark blue; linear in inverse depth."""
    inverse = 1 / depth.clamp(min=1e-3)
    low, high = torch.quantile(inverse, 0.02), torch.quantile(inverse, 0.98)
    x = ((inverse - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    stops = torch.tensor([[0.05, 0.03, 0.2], [0.35, 0.1, 0.55], [0.85, 0.3, 0.35], [1.0, 0.7, 0.25], [1.0, 1.0, 0.8]])
    place = x * (len(stops) - 1)
    index = place.long().clamp(max=len(stops) - 2)
    part = (place - index)[..., None]
    return (stops[index] * (1 - part) + stops[index + 1] * part).permute(2, 0, 1)


def contact_sheet(
    path: Path,
    views: Views,
    names: Sequence[str],
    warped: Sequence[Tensor],
    teacher: Sequence[Tensor],
    renders: Sequence[Tensor],
    numbers: Sequence[int],
    rerender: Tensor | None = None,
) -> None:
    """Write the sheet: top row input, depth and re-rendered input, then a row for each trajectory.

    Args:
        path: PNG file.
        views: the input with its depth.
        names: V trajectory names.
        warped, teacher, renders: of V clips the frames that are shown, [S, 3, H, W] 0…1.
        numbers: S numbers of these frames, counted from 0.
        rerender: [3, H, W] the scene at the input's own camera.
    """
    scale = CELL / max(views.frames.height, views.frames.width)
    size = (round(views.frames.width * scale), round(views.frames.height * scale))
    top = [("input", views.frames.rgb[0]), ("depth (near is bright)", shade_depth(views.depth[0]))]
    if rerender is not None:
        top.append(("3D scene at the input's camera", rerender))
    rows = [top]
    for name, *clips in zip(names, warped, teacher, renders, strict=True):
        row = []
        for label, clip in zip(("3D cache", "teacher", "3D scene"), clips, strict=True):
            pictures = zip(numbers, clip, strict=True)
            row += [(f"{name}: {label}, {number + 1}", picture) for number, picture in pictures]
        rows.append(row)
    columns = max(len(row) for row in rows)
    sheet = Image.new("RGB", (columns * size[0], len(rows) * (size[1] + MARGIN)), "white")
    pen = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        for x, (label, picture) in enumerate(row):
            pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
            corner = (x * size[0], y * (size[1] + MARGIN))
            pen.text((corner[0] + 3, corner[1] + 3), label, fill="black")
            sheet.paste(Image.fromarray(np.ascontiguousarray(pixels)).resize(size), (corner[0], corner[1] + MARGIN))
    sheet.save(path)
