import json
import math

import numpy as np
import pytest
import torch

from lyra.geometry import intrinsics_from_fov, invert_rigid, look_at, trajectory_c2w
from lyra.io import read_camera_path
from lyra.structures import Cameras, InputError

FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))


def source() -> Cameras:
    pose = look_at(torch.tensor([[0.3, -0.1, 0.2]]), torch.tensor([[0.0, 0.0, 3.0]]))
    return Cameras(pose, intrinsics_from_fov(1.0, 32, 56)[None], 32, 56)


def poses(frames: int = 5) -> torch.Tensor:
    """A path in a world of its own, far from the source."""
    world = look_at(torch.tensor([5.0, 6.0, 7.0]), torch.tensor([1.0, 0.0, 0.0]), (0.0, 0.0, 1.0))
    return world @ trajectory_c2w("clockwise", frames, 0.8, radius_factors=(1.0, 1.0), circles=0.4)


def write(tmp_path, name: str = "orbit.json", **content):
    path = tmp_path / name
    arrays = {k: v.tolist() if isinstance(v, torch.Tensor) else v for k, v in content.items()}
    if path.suffix == ".npz":
        np.savez(path, **{k: np.asarray(v) for k, v in arrays.items()})
    else:
        path.write_text(json.dumps(arrays))
    return path


CONVENTIONS = {
    "opencv c2w": lambda c2w: {"c2w": c2w},
    "opencv c2w, said": lambda c2w: {"c2w": c2w, "convention": "opencv"},
    "opencv w2c": lambda c2w: {"w2c": invert_rigid(c2w)},
    "colmap w2c": lambda c2w: {"w2c": invert_rigid(c2w), "convention": "colmap"},
    "opengl c2w": lambda c2w: {"c2w": c2w @ FLIP, "convention": "opengl"},
    "opengl w2c": lambda c2w: {"w2c": FLIP @ invert_rigid(c2w), "convention": "opengl"},
}


@pytest.mark.parametrize("suffix", ["json", "npz"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_gives_the_same_cameras(tmp_path, convention, suffix):
    path = write(tmp_path, f"orbit.{suffix}", **CONVENTIONS[convention](poses()))
    absolute = read_camera_path(path, source(), from_source=False)
    assert torch.allclose(absolute.cameras.c2w, poses(), atol=1e-5)
    attached = read_camera_path(path, source())
    expected = source().c2w @ torch.linalg.inv(poses()[:1]) @ poses()
    assert torch.allclose(attached.cameras.c2w, expected, atol=1e-5)
    assert torch.allclose(attached.cameras.c2w[0], source().c2w[0], atol=1e-6)
    assert (attached.name, attached.strength) == ("orbit", None)
    assert torch.equal(attached.cameras.K, source().K.expand(5, 3, 3))
    assert (attached.cameras.height, attached.cameras.width) == (32, 56)


def test_intrinsics_in_every_form_and_of_another_size(tmp_path):
    K = intrinsics_from_fov(torch.linspace(0.8, 1.2, 5), 64, 112)
    vectors = torch.stack([K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]], dim=1)
    expected = intrinsics_from_fov(torch.linspace(0.8, 1.2, 5), 32, 56)
    for given in (K, vectors):
        path = write(tmp_path, c2w=poses(), intrinsics=given, height=64, width=112)
        assert torch.allclose(read_camera_path(path, source()).cameras.K, expected, rtol=1e-5)
    for given in (K[2], vectors[2]):
        path = write(tmp_path, c2w=poses(), intrinsics=given, height=64, width=112)
        assert torch.allclose(read_camera_path(path, source()).cameras.K, expected[2].expand(5, 3, 3), rtol=1e-5)
    path = write(tmp_path, c2w=poses(), intrinsics=K)
    assert torch.allclose(read_camera_path(path, source()).cameras.K, K, rtol=1e-5)


def test_a_path_is_resampled_to_the_wanted_number_of_frames(tmp_path):
    angles = torch.linspace(0, 2.9, 4)
    steps = torch.eye(4).repeat(4, 1, 1)
    steps[:, 0, 0] = steps[:, 2, 2] = angles.cos()
    steps[:, 0, 2], steps[:, 2, 0] = angles.sin(), -angles.sin()
    steps[:, 0, 3] = torch.linspace(0, 3, 4)
    path = write(tmp_path, c2w=steps, intrinsics=torch.tensor([[50.0, 50.0, 28.0, 16.0]] * 3 + [[80.0, 50, 28, 16]]))
    found = read_camera_path(path, source(), frames=7, from_source=False).cameras
    assert torch.allclose(found.c2w[:, 0, 3], torch.linspace(0, 3, 7), atol=1e-6)
    turned = torch.atan2(found.c2w[:, 0, 2], found.c2w[:, 0, 0])
    assert torch.allclose(turned, torch.linspace(0, 2.9, 7), atol=1e-5)
    assert found.K[:, 0, 0].tolist() == pytest.approx([50, 50, 50, 50, 50, 65, 80])
    kept = read_camera_path(path, source(), frames=4, from_source=False).cameras
    assert torch.allclose(kept.c2w, steps, atol=1e-6)
    one = read_camera_path(write(tmp_path, c2w=steps[:1]), source(), frames=3, from_source=False).cameras
    assert torch.allclose(one.c2w, torch.eye(4).expand(3, 4, 4))


def test_half_a_turn_between_two_poses_stays_rigid(tmp_path):
    ends = torch.stack([torch.eye(4), torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))])
    found = read_camera_path(write(tmp_path, c2w=ends), source(), frames=3, from_source=False).cameras
    middle = found.c2w[1, :3, :3]
    assert torch.allclose(middle @ middle.T, torch.eye(3), atol=1e-5)
    assert middle[1, 1] == pytest.approx(1, abs=1e-5)
    assert abs(middle[0, 2].item()) == pytest.approx(1, abs=1e-5)


def test_rounded_poses_become_exact_rotations(tmp_path):
    rounded = (poses() * 1e3).round() / 1e3
    found = read_camera_path(write(tmp_path, c2w=rounded), source()).cameras.c2w[:, :3, :3].double()
    assert torch.allclose(found @ found.mT, torch.eye(3, dtype=torch.float64).expand(5, 3, 3), atol=1e-6)


def spoiled(**change) -> dict:
    content = {"c2w": poses().tolist()}
    content.update(change)
    return {key: value for key, value in content.items() if value is not None}


def changed(row: slice | int, column: slice | int, factor: float) -> list:
    c2w = poses()
    c2w[2, row, column] *= factor
    return c2w.tolist()


UP_TO_3 = slice(0, 3)
BAD_CONTENT = {
    "nan": (spoiled(c2w=changed(0, 3, math.nan)), "frame 2 has entries that are not finite"),
    "infinite": (spoiled(c2w=changed(1, 3, math.inf)), "frame 2 has entries that are not finite"),
    "null": (spoiled(c2w=[[[None] * 4] * 4]), "not finite"),
    "mirrored": (spoiled(c2w=changed(UP_TO_3, 0, -1)), "frame 2 is mirrored"),
    "singular": (spoiled(c2w=changed(UP_TO_3, 0, 0)), "frame 2 is singular"),
    "scaled": (spoiled(c2w=changed(UP_TO_3, UP_TO_3, 2)), "frame 2 is scaled by 2"),
    "sheared": (spoiled(c2w=changed(0, UP_TO_3, 1.3)), "frame 2 is sheared"),
    "transposed": (spoiled(c2w=poses().mT.tolist()), "last row"),
    "one_matrix": (spoiled(c2w=poses()[0].tolist()), r"shape \[4, 4\]; expected \[T, 4, 4\]"),
    "three_rows": (spoiled(c2w=poses()[:, :3].tolist()), r"shape \[5, 3, 4\]"),
    "no_frames": (spoiled(c2w=[]), "expected"),
    "ragged": (spoiled(c2w=[[[1.0, 2.0], [1.0]]]), "not a regular array"),
    "words": (spoiled(c2w="forward"), "not a regular array"),
    "neither": (spoiled(c2w=None), "neither 'c2w' nor 'w2c'"),
    "both": (spoiled(w2c=poses().tolist()), "both 'c2w' and 'w2c'"),
    "convention": (spoiled(convention="blender"), "'blender' is unknown; use opencv, colmap, opengl"),
    "no_object": ([1, 2, 3], "one JSON object"),
    "intrinsics_count": (spoiled(intrinsics=[[50, 50, 28, 16]] * 3), r"shape \[3, 4\] for 5 poses"),
    "intrinsics_nan": (spoiled(intrinsics=[math.nan, 50, 28, 16]), "not finite"),
    "intrinsics_negative": (spoiled(intrinsics=[-50, 50, 28, 16]), "fx and fy must be above 0"),
    "intrinsics_row": (spoiled(intrinsics=(2 * torch.eye(3)).tolist()), "last row 0 0 1"),
    "size": (spoiled(intrinsics=[50, 50, 28, 16], width=0), "'width' should be one number"),
}


@pytest.mark.parametrize("name", BAD_CONTENT)
def test_bad_content_is_refused_in_one_line(tmp_path, name):
    content, words = BAD_CONTENT[name]
    path = tmp_path / "path.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=words) as caught:
        read_camera_path(path, source())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_files_are_refused(tmp_path):
    (tmp_path / "broken.json").write_text('{"c2w": [[')
    (tmp_path / "binary.json").write_bytes(bytes(range(128, 256)))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 cut")
    (tmp_path / "path.txt").write_text("1 0 0")
    (tmp_path / "empty.json").write_text("")
    np.savez(tmp_path / "objects.npz", c2w=np.array([{}]))
    cases = {
        "broken.json": "cannot be parsed",
        "binary.json": "cannot be parsed",
        "deep.json": "cannot be parsed",
        "broken.npz": "cannot be parsed",
        "objects.npz": "cannot be parsed",
        "path.txt": "suffix '.txt'; use .json or .npz",
        "empty.json": "is empty",
        "nothing.json": "does not exist",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            read_camera_path(tmp_path / name, source())
    with pytest.raises(InputError, match="is a folder"):
        read_camera_path(tmp_path, source())
