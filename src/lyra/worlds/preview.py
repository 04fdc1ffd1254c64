"""Contact sheets of worlds, for eyes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lyra.worlds.film import film_source
from lyra.worlds.layout import sample_world
from lyra.worlds.store import TextureStore
from lyra.worlds.textures import Split, TextureSet, load_textures
from lyra.worlds.world import collate


def preview(
    seed: int,
    out_path: Path,
    split: Split = "train",
    count: int = 12,
    kind: str | None = None,
    height: int = 256,
    width: int = 448,
    columns: int = 4,
    textures: TextureSet | None = None,
    store: TextureStore | None = None,
) -> list[str]:
    """Write a PNG with the source views of ``count`` worlds from ``seed`` on; returns their captions."""
    textures = textures or load_textures(None, split)
    store = store or textures.to("cuda" if torch.cuda.is_available() else "cpu")
    worlds = [sample_world(seed + number, split, textures, kind) for number in range(count)]
    pictures = film_source(collate(worlds, store.device), store, height, width).rgb
    rows = -(-count // columns)
    sheet = np.zeros((rows * (height + 4), columns * (width + 4), 3), np.uint8)
    for number, picture in enumerate(pictures.mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()):
        row, column = divmod(number, columns)
        top, left = row * (height + 4), column * (width + 4)
        sheet[top : top + height, left : left + width] = picture
    Image.fromarray(sheet).save(out_path)
    return [world.caption for world in worlds]
