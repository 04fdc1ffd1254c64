"""One picture that shows the candidates for a first picture, numbered."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

CELL_WIDTH = 320
MARGIN = 18
COLUMNS = 4


def candidate_sheet(path: Path, candidates: Sequence[tuple[Tensor, str]], chosen: int) -> None:
    """Write the sheet; the chosen one has a frame.

    Args:
        path: PNG file.
        candidates: pictures [3, H, W] 0…1 of one size, with a few words each.
        chosen: index of the one that was taken.
    """
    _, height, width = candidates[0][0].shape
    size = (CELL_WIDTH, round(CELL_WIDTH * height / width))
    columns = min(COLUMNS, len(candidates))
    rows = -(-len(candidates) // columns)
    sheet = Image.new("RGB", (columns * size[0], rows * (size[1] + MARGIN)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (picture, label) in enumerate(candidates):
        left, top = number % columns * size[0], number // columns * (size[1] + MARGIN)
        pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        sheet.paste(Image.fromarray(np.ascontiguousarray(pixels)).resize(size), (left, top + MARGIN))
        words = f"{number + 1}: {label}" + (", chosen" if number == chosen else "")
        pen.text((left + 3, top + 3), words, fill="black")
        if number == chosen:
            box = (left, top + MARGIN, left + size[0] - 1, top + MARGIN + size[1] - 1)
            pen.rectangle(box, outline=(220, 60, 30), width=3)
    sheet.save(path)
