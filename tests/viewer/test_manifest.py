"""Where the page opens, what it turns around, and what it is told about paths."""

import json

import pytest
import torch

from lyra.structures import Cameras, Gaussians, Scene, Trajectory
from lyra.viewer.manifest import focus_depth, manifest, opening_camera


def cloud(centre: tuple[float, float, float], spread: float, count: int = 300) -> Gaussians:
    means = torch.tensor(centre) + spread * (torch.rand(count, 3, generator=torch.Generator().manual_seed(0)) - 0.5)
    upright = torch.tensor([[1.0, 0, 0, 0]]).expand(count, 4)
    return Gaussians(means, upright, torch.full((count, 3), 0.01), torch.ones(count), torch.rand(count, 3))


def ahead() -> Cameras:
    K = torch.tensor([[[100.0, 0, 60], [0, 100.0, 40], [0, 0, 1]]])
    return Cameras(torch.eye(4)[None], K, 80, 120)


def test_the_source_camera_opens_the_page(scene: Scene, trajectories: tuple[Trajectory, ...]) -> None:
    record = json.loads(json.dumps(manifest(scene, trajectories, "name", own_camera=True)))
    assert record["camera"]["pose"] == pytest.approx(scene.source.c2w[0, :3].flatten().tolist(), abs=1e-5)
    assert record["camera"]["intrinsics"] == pytest.approx([230.4, 217.6, 133.12, 75.2], abs=1e-3)
    assert (record["camera"]["height"], record["camera"]["width"]) == (160, 256)
    assert record["blur"] == {"variance": 0.3, "of": "camera"}
    assert [path["name"] for path in record["trajectories"]] == ["left", "zoom_in"]
    last = trajectories[1].cameras.c2w[-1, :3].flatten().tolist()
    assert record["trajectories"][1]["poses"][-1] == pytest.approx(last, abs=1e-5)


def test_intrinsics_of_paths_refer_to_the_opening_picture(scene: Scene, trajectories: tuple[Trajectory, ...]) -> None:
    large = Trajectory("left", trajectories[0].cameras.resized(320, 512))
    record = manifest(scene, (large,), "name", own_camera=True)
    assert record["trajectories"][0]["intrinsics"][2] == pytest.approx(record["camera"]["intrinsics"], abs=1e-3)


def test_gaussians_from_elsewhere_are_blurred_by_pixels_of_the_screen(scene: Scene) -> None:
    assert manifest(scene, (), "name", own_camera=False)["blur"] == {"variance": 0.3, "of": "screen"}


def test_one_turns_around_what_lies_ahead() -> None:
    near_edge = cloud((-0.55, 0.0, 1.0), 0.05)
    middle = cloud((0.0, 0.0, 3.0), 0.2)
    behind = cloud((0.0, 0.0, -9.0), 0.2, count=2000)
    columns = zip(*(vars(part).values() for part in (near_edge, middle, behind)), strict=True)
    assert focus_depth(Gaussians(*map(torch.cat, columns)), ahead()) == pytest.approx(3.0, abs=0.05)
    assert focus_depth(behind, ahead()) == 1.0


def test_a_scene_out_of_sight_is_looked_at_from_outside() -> None:
    hidden = cloud((5.0, -2.0, -30.0), 4.0)
    opened = opening_camera(hidden, ahead())
    assert torch.equal(opened.c2w[0, :3, :3], torch.eye(3))
    x, y, z = (hidden.means @ opened.w2c[0, :3, :3].T + opened.w2c[0, :3, 3]).unbind(1)
    assert (z > 0).all()
    inside = ((100 * x / z).abs() < 60) & ((100 * y / z).abs() < 40)
    assert inside.float().mean() > 0.95
    assert (100 * x / z).abs().max() > 10  # and not from so far that it is a dot


def test_a_scene_in_sight_is_looked_at_from_its_camera() -> None:
    source = ahead()
    assert opening_camera(cloud((0.0, 0.0, 2.0), 1.0), source) is source
