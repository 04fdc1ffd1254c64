"""Laws of the camera paths of ``lyra render``."""

import pytest
import torch

from lyra.cli.camera_paths import FRAMES, cameras_along, video_size
from lyra.structures import Cameras, InputError

K = torch.tensor([[[100.0, 0.0, 80.0], [0.0, 100.0, 45.0], [0.0, 0.0, 1.0]]])


@pytest.fixture
def source() -> Cameras:
    """A camera that stands somewhere and looks along x."""
    c2w = torch.tensor([[0.0, 0, 1, 2], [0, 1, 0, -1], [-1, 0, 0, 0.5], [0, 0, 0, 1]])
    return Cameras(c2w[None], K, 90, 160)


@pytest.mark.parametrize("path", ["orbit", "spiral", "left,right,clockwise"])
def test_every_camera_is_rigid_and_keeps_the_centre_in_the_middle(source: Cameras, path: str) -> None:
    cameras = cameras_along(path, source, 12, 1.0)
    rotation = cameras.c2w[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5, rtol=0)
    assert (torch.linalg.det(rotation) > 0).all()
    centre = source.c2w[0] @ torch.tensor([0.0, 0.0, 1.0, 1.0])
    if path in ("orbit", "spiral"):
        seen = cameras.w2c @ centre
        torch.testing.assert_close(seen[:, :2], torch.zeros(12, 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("path", ["orbit", "spiral", "zoom_in"])
def test_paths_begin_at_the_source(source: Cameras, path: str) -> None:
    torch.testing.assert_close(cameras_along(path, source, 9, 1.0).c2w[0], source.c2w[0], atol=1e-5, rtol=0)


def test_strength_scales_the_distance(source: Cameras) -> None:
    def distances(strength: float) -> torch.Tensor:
        return (cameras_along("spiral", source, 9, strength).c2w[:, :3, 3] - source.c2w[0, :3, 3]).norm(dim=1)

    torch.testing.assert_close(distances(2.0), 2 * distances(1.0), atol=1e-5, rtol=0)
    assert distances(1.0)[-1] > 0.2


def test_named_trajectories_are_played_one_after_the_other(source: Cameras) -> None:
    both = cameras_along("left,up", source, 5, 1.0).c2w
    assert torch.equal(both[:5], cameras_along("left", source, 5, 1.0).c2w)
    assert torch.equal(both[5:], cameras_along("up", source, 5, 1.0).c2w)


def test_length_by_default(source: Cameras) -> None:
    assert len(cameras_along("orbit", source, None, 1.0)) == FRAMES


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(None, None, (90, 160)), (180, None, (180, 320)), (None, 80, (46, 80)), (100, 100, (100, 100))],
)
def test_video_size(source: Cameras, height: int | None, width: int | None, expected: tuple[int, int]) -> None:
    size = video_size(source, height, width)
    assert abs(size[0] - expected[0]) <= 2
    assert size[1] == expected[1]
    assert not size[0] % 2


@pytest.mark.parametrize(("height", "width"), [(91, None), (None, 8), (8192, 8192)])
def test_impossible_video_size(source: Cameras, height: int | None, width: int | None) -> None:
    with pytest.raises(InputError, match="even number"):
        video_size(source, height, width)
