"""COLMAP on pictures of a wall with things before it, where it is installed."""

import importlib.util

import pytest
import torch
from torch.nn import functional as F

from lyra.geometry.bundle import camera_errors
from lyra.io import colmap_run
from lyra.structures import InputError


def test_without_the_package_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'lyra-scenes\[colmap\]'"):
        colmap_run.require_pycolmap()


@pytest.mark.skipif(importlib.util.find_spec("pycolmap") is None, reason="pycolmap is not installed")
def test_cameras_that_slide_are_found_and_blank_pictures_place_none():
    height, width, frames = 192, 256, 5
    K = torch.tensor([[220.0, 0, 128], [0, 220.0, 96], [0, 0, 1]])
    generator = torch.Generator().manual_seed(0)
    walls = [
        F.interpolate(torch.rand(1, 3, 50, 70, generator=generator), size=(500, 700), mode="bicubic").clamp(0, 1)
        for _ in range(2)
    ]
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    ways = torch.stack([(columns - 128) / 220, (rows - 96) / 220], dim=-1)
    truth = torch.eye(4).repeat(frames, 1, 1)
    truth[:, 0, 3] = torch.linspace(0, 0.4, frames)
    truth[:, 1, 3] = torch.linspace(0, 0.1, frames)
    pictures = []
    for pose in truth:
        far, near = (z * ways + pose[:2, 3] for z in (2.0, 1.0))
        shown = [
            F.grid_sample(wall, (hit / 1.5)[None], padding_mode="reflection", align_corners=False)[0]
            for wall, hit in zip(walls, (far, near), strict=True)
        ]
        pictures.append(torch.where(near[..., 0] < 0.1, shown[1], shown[0]))
    found = colmap_run.place_by_colmap(torch.stack(pictures), K)
    assert found is not None and torch.allclose(found.K[0], K)
    turn, way = camera_errors(found.c2w, truth)
    assert float(turn.max()) < 1 and float(way.max()) < 5
    assert colmap_run.place_by_colmap(torch.full((3, 3, height, width), 0.5), K) is None
