"""Folders of small photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lyra.structures import Conditioning, Trajectory, Views


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos, one of them in a subfolder and one upright, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, (name, size) in enumerate({"a.jpg": (60, 96), "tall.png": (96, 60), "more/a.jpg": (60, 96)}.items()):
        pixels = np.linspace(0, 150, size[0] * size[1] * 3).reshape(*size, 3) + 20 * number
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("not a photo")
    return folder


@pytest.fixture
def quick_road(quick_networks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The road up to latents without networks and without the work of warping."""
    from lyra import pipeline

    def warp(views: Views, path: Trajectory) -> Conditioning:
        frames, (height, width) = len(path.cameras), views.frames.rgb.shape[2:]
        nothing = torch.zeros(1, 1, 1).expand(frames, height, width)
        source = views.frames.rgb[0]
        return Conditioning(path, source, source.expand(frames, 3, height, width), nothing, nothing > 0)

    monkeypatch.setattr(pipeline, "warp", warp)
