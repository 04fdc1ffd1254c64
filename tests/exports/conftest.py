"""Small scenes that no flip, turn or exchange of axes leaves as they are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lyra.geometry import intrinsics_from_fov, plan_six
from lyra.io.scene_folder import SceneFolder, cameras_to_json, save_scene
from lyra.structures import Cameras, Gaussians, Scene

HEIGHT, WIDTH = 48, 80


def camera() -> Cameras:
    return Cameras(torch.eye(4)[None], intrinsics_from_fov(1.0, HEIGHT, WIDTH)[None], HEIGHT, WIDTH)


def blobs(count: int = 400, seed: int = 0) -> Gaussians:
    """Coloured blobs before the camera: large and red on the left, small and green above, blue where it is deep."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(count, 3, generator=generator)
    means = torch.stack([0.9 * share[:, 0] - 0.4, 0.5 * share[:, 1] - 0.3, 0.8 + 0.9 * share[:, 2]], dim=1)
    quats = torch.randn(count, 4, generator=generator)
    scales = torch.exp(0.5 * torch.randn(count, 3, generator=generator) - 3.6) * (1.6 - share[:, :1])
    colors = torch.stack([1 - share[:, 0], 1 - share[:, 1], share[:, 2]], dim=1)
    opacities = 0.4 + 0.6 * torch.rand(count, generator=generator)
    return Gaussians(means, quats / quats.norm(dim=1, keepdim=True), scales, opacities, colors)


@pytest.fixture
def still() -> Scene:
    return Scene((blobs(),), camera())


@pytest.fixture
def moving() -> Scene:
    """Four times a tenth of a second apart: a fifth of the blobs moves to the right, the others stay."""
    first = blobs()
    sets = []
    for step in range(4):
        means = first.means.clone()
        means[:80, 0] += 0.1 * step
        sets.append(replace(first, means=means))
    return Scene(tuple(sets), camera(), (2.0, 2.1, 2.2, 2.3))


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[Scene], Path]:
    """A scene folder as ``lyra generate`` leaves it, trajectories included."""

    def make(scene: Scene) -> Path:
        import json

        with SceneFolder(tmp_path / "photo") as folder:
            save_scene(folder, scene)
            file = folder.path / "cameras.json"
            record = json.loads(file.read_text())
            paths = plan_six(5, scene.source)[:3]
            record["trajectories"] = {p.name: {"strength": p.strength, **cameras_to_json(p.cameras)} for p in paths}
            file.write_text(json.dumps(record))
        return tmp_path / "photo"

    return make
