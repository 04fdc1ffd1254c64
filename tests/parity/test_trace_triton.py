"""The Triton kernel against the torch tracer: in the interpreter on the CPU, and compiled on a GPU."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lyra.worlds import World, collate
from lyra.worlds.description import Description
from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.masks import make_masks
from lyra.worlds.store import TextureStore, build_store
from lyra.worlds.textures import Catalogue
from lyra.worlds.trace import trace
from lyra.worlds.world import WorldBatch


def scene(device: str) -> tuple[WorldBatch, TextureStore]:
    """One primitive of each shape on a floor in two lights: the sun and a lamp."""
    from lyra.worlds import world as columns

    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 255, (3, 512, 512, 3), dtype=np.uint8)
    skies = rng.integers(90, 200, (1, 64, 128, 3), dtype=np.uint8)
    masks = make_masks(0)
    store = build_store(tiles, skies, masks.masks, torch.device(device))
    kinds = {kind: tuple(masks.of(kind)) for kind in masks.kinds}
    catalogue = Catalogue(("wood",) * 3, np.ones((3, 3)), np.ones(3, bool), (), (0,), (), kinds, {"wood": (0, 1, 2)})
    build = Builder(random.Random(1), catalogue)
    matte, shiny = Material(0, 0.7, False, macro=0.5), Material(1, 1.3, True, gloss=0.5)
    build.floor(0, 4, 6, 6, matte, height=-1)
    build.upright((0, 0, 7), 4, 2, 3.3, shiny, one_sided=True)
    build.upright((-1.2, 0.1, 5), 0.8, 0.8, 3.0, matte, mask=masks.of("crown")[0], puffy=True)
    build.box((1.2, -0.5, 4), (0.4, 0.5, 0.3), shiny, 0.5, stretch=True)
    build.cylinder((0.1, -0.4, 3.5), 0.3, 0.5, matte, taper=0.4)
    build.ball((-0.8, -0.5, 3.3), (0.5, 0.4, 0.3), shiny, 0.7)
    build.leaves((0.6, 0.6, 4), (0.7, 0.5, 0.6), matte, masks.of("leaves")[1], 1.0, 0.4)
    build.move(3, (0.3, 0.0, 0.1), 0.8, (0.0, 0.0, 4.0))
    table = build.table()
    light = np.zeros(columns.LIGHT_COLUMNS, np.float32)
    light[columns.KEY_RGB], light[columns.UP_RGB], light[columns.DOWN_RGB] = (1.2, 1.1, 0.9), 0.4, 0.25
    light[columns.EXPOSURE], light[columns.SKY_GAIN], light[columns.WHITE] = 1.1, 0.9, (1.05, 1.0, 0.95)
    light[columns.HAZE], light[columns.HAZE_RGB] = 0.02, (0.6, 0.7, 0.8)
    light[columns.FILL], light[columns.FILL_STRENGTH] = (0.0, -0.6, -0.8), 0.3
    light[columns.ROOM], light[columns.ROOM_SHADE] = (-6, 6, -3, 1, -2, 10), 0.4
    sun, lamp = light.copy(), light.copy()
    sun[columns.KEY] = (0.48, -0.8, -0.36)
    lamp[columns.KEY], lamp[columns.KEY_IS_POINT], lamp[columns.KEY_RGB] = (1.0, -1.5, 2.0), 1.0, 5.0
    worlds = [
        World(0, "train", Description(), table.rows, table.counts, row, np.eye(4, dtype=np.float32), 1.0, True)
        for row in (sun, lamp)
    ]
    return collate(worlds, device), store


def differences(device: str, height: int, width: int) -> dict[str, float]:
    batch, store = scene(device)
    index = torch.tensor([0, 1], device=device)
    c2w = torch.eye(4, device=device).repeat(2, 1, 1)
    c2w[1, 0, 3] = 0.2
    K = torch.tensor([[0.8 * width, 0, width / 2], [0, 0.8 * width, height / 2], [0, 0, 1]], device=device).repeat(
        2, 1, 1
    )
    time = torch.tensor([0.0, 0.5], device=device)
    a = trace(batch, store, index, c2w, K, height, width, time, "torch")
    b = trace(batch, store, index, c2w, K, height, width, time, "triton")
    both = ~a.sky & ~b.sky
    close = (a.depth[both] - b.depth[both]).abs() < 1e-4 * a.depth[both]
    return {
        "rgb": float((a.rgb - b.rgb).abs().mean()),
        "depth_agrees": float(close.float().mean()),
        "sky_agrees": float((a.sky == b.sky).float().mean()),
        "normal": float((a.normal - b.normal).abs().mean()),
        "contrast": float(a.rgb.std()),
        "seen": float(both.float().mean()),
    }


def check(result: dict[str, float]) -> None:
    assert result["rgb"] < 2e-3
    assert result["depth_agrees"] > 0.995
    assert result["sky_agrees"] > 0.998
    assert result["normal"] < 2e-3
    assert result["contrast"] > 0.04 and result["seen"] > 0.5


def test_interpreted_kernel_matches_torch():
    pytest.importorskip("triton", reason="triton has no build for this platform")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__)), "7", "12"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    check(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.gpu
def test_compiled_kernel_matches_torch():
    check(differences("cuda", 96, 168))


if __name__ == "__main__":
    print(json.dumps(differences("cpu", int(sys.argv[1]), int(sys.argv[2]))))
