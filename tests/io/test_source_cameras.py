"""Cameras of a video from elsewhere: COLMAP's files as text and binary, ViPE's folders, our own path files."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from lyra.geometry import invert_rigid
from lyra.geometry.handheld import handheld_c2w
from lyra.io.colmap_model import read_colmap_model
from lyra.io.images import fit_photo
from lyra.io.source_cameras import read_source_cameras
from lyra.structures import Cameras, InputError

COUNT = 6
POSES = handheld_c2w(COUNT, 0.5, 40, torch.Generator().manual_seed(0)).double()
LENS = (500.0, 510.0, 322.0, 178.0)  # of pictures of 640 x 360
GRID = Cameras(torch.eye(4)[None], torch.tensor([[[448.0, 0, 224], [0, 448.0, 128], [0, 0, 1]]]), 256, 448)
FIT = fit_photo(torch.zeros(3, 360, 640), 256, 448)[1]


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """w, x, y, z: the eigenvector of Bar-Itzhack's matrix, another way than the reader's."""
    r = rotation
    matrix = np.array([
        [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
        [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
        [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
        [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
    ]) / 3  # fmt: skip
    x, y, z, w = np.linalg.eigh(matrix)[1][:, -1]
    return np.array([w, x, y, z])


def write_colmap(folder: Path, binary: bool, model: str = "PINHOLE", extra: tuple[float, ...] = ()) -> Path:
    folder.mkdir(parents=True)
    w2c = invert_rigid(POSES).numpy()
    values = (*LENS, *extra)
    number = {"PINHOLE": 1, "OPENCV": 4, "FISHEYE": 5}[model]
    if binary:
        (folder / "cameras.bin").write_bytes(
            struct.pack("<QiiQQ", 1, 7, number, 640, 360) + struct.pack(f"<{len(values)}d", *values)
        )
        data = struct.pack("<Q", COUNT)
        for index in reversed(range(COUNT)):
            data += struct.pack("<i7di", index + 1, *quaternion(w2c[index, :3, :3]), *w2c[index, :3, 3], 7)
            data += f"{index:05d}.png".encode() + b"\0" + struct.pack("<Q", 2) + struct.pack("<ddq", 1, 2, -1) * 2
        (folder / "images.bin").write_bytes(data)
        return folder
    (folder / "cameras.txt").write_text(f"# a comment\n7 {model} 640 360 {' '.join(map(str, values))}\n")
    lines = ["# images"]
    for index in reversed(range(COUNT)):
        pose = [*quaternion(w2c[index, :3, :3]), *w2c[index, :3, 3]]
        lines += [f"{index + 1} {' '.join(map(repr, map(float, pose)))} 7 {index:05d}.png", ""]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("binary", [True, False])
def test_colmap_models_come_back_in_the_order_of_their_names(tmp_path, binary):
    model = read_colmap_model(write_colmap(tmp_path / "sparse" / "0", binary).parents[1])
    assert model.names == tuple(f"{index:05d}.png" for index in range(COUNT))
    assert torch.allclose(model.c2w, POSES, atol=1e-6)
    assert model.sizes[0] == (360, 640) and model.K[0, 0, 0] == 500 and model.K[0, 1, 2] == 178


def test_cameras_of_a_model_are_those_of_the_fitted_pictures(tmp_path):
    folder = write_colmap(tmp_path / "model", True)
    given = read_source_cameras(folder, (0, 2, 4), GRID, FIT)
    assert not given.scaled and given.intrinsics and "COLMAP" in given.words
    wanted = torch.linalg.inv(POSES[0]) @ POSES
    # six poses, three frames: a pose for every frame of the video
    assert torch.allclose(given.cameras.c2w.double(), wanted[[0, 2, 4]], atol=1e-5)
    scale = 256 / 360  # the crop covers the height
    K = given.cameras.K[0]
    assert K[0, 0] == pytest.approx(500 * scale, rel=1e-3) and K[1, 1] == pytest.approx(510 * scale, rel=1e-3)
    assert K[0, 2] == pytest.approx(322 * scale - (640 * scale - 448) / 2, abs=0.6)


def test_damaged_and_unfit_models_are_refused(tmp_path):
    good = write_colmap(tmp_path / "good", True)
    images = (good / "images.bin").read_bytes()
    for name, data in {"cut": images[:-70], "none": images[:5], "noise": bytes(200), "huge": b"\xff" * 300}.items():
        folder = write_colmap(tmp_path / name, True)
        (folder / "images.bin").write_bytes(data)
        with pytest.raises(InputError, match="COLMAP file") as caught:
            read_colmap_model(folder)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="undistort"):
        read_colmap_model(write_colmap(tmp_path / "fish", True, "FISHEYE", (0.0,) * 4))
    with pytest.raises(InputError, match="distorts too much"):
        read_colmap_model(write_colmap(tmp_path / "bent", False, "OPENCV", (0.4, 0.0, 0.0, 0.0)))
    mild = read_colmap_model(write_colmap(tmp_path / "mild", False, "OPENCV", (0.05, 0.0, 0.0, 0.0)))
    assert mild.distortion == pytest.approx(0.05)
    folder = write_colmap(tmp_path / "words", False)
    (folder / "images.txt").write_text("1 a b c\n\n")
    with pytest.raises(InputError, match="damaged"):
        read_colmap_model(folder)
    with pytest.raises(InputError, match="holds no COLMAP model"):
        read_colmap_model(tmp_path)


def write_vipe(folder: Path, inds: list[int], lenses: bool = True) -> Path:
    (folder / "pose").mkdir(parents=True)
    np.savez(folder / "pose" / "clip.npz", data=POSES[: len(inds)].float().numpy(), inds=np.array(inds))
    if lenses:
        (folder / "intrinsics").mkdir()
        lens = np.tile([500.0, 500.0, 320.0, 180.0], (len(inds), 1))
        np.savez(folder / "intrinsics" / "clip.npz", data=lens, inds=np.array(inds))
    return folder


def test_folders_of_vipe_are_read_by_frame_number(tmp_path):
    folder = write_vipe(tmp_path / "vipe", [0, 3, 6, 9, 12, 15])
    given = read_source_cameras(folder, (3, 9, 15), GRID, FIT)
    wanted = torch.linalg.inv(POSES[1]) @ POSES
    assert torch.allclose(given.cameras.c2w.double(), wanted[[1, 3, 5]], atol=1e-5) and not given.scaled
    assert given.cameras.K[0, 0, 0] == pytest.approx(500 * 256 / 360, rel=1e-3)
    bare = read_source_cameras(write_vipe(tmp_path / "bare", list(range(6)), False), (0, 1), GRID, FIT)
    assert not bare.intrinsics and torch.equal(bare.cameras.K[0], GRID.K[0])
    with pytest.raises(InputError, match="has 6 poses, the clip has 2 frames, the last of them number 40"):
        read_source_cameras(folder, (3, 40), GRID, FIT)
    (folder / "pose" / "clip.npz").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_source_cameras(folder, (3,), GRID, FIT)
    with pytest.raises(InputError, match="neither a COLMAP model nor one ViPE result"):
        read_source_cameras(tmp_path, (0,), GRID, FIT)


def test_path_files_hold_a_pose_for_each_frame_of_the_clip_or_of_the_video(tmp_path):
    np.savez(tmp_path / "path.npz", c2w=POSES.numpy())
    given = read_source_cameras(tmp_path / "path.npz", (1, 3, 5), GRID, FIT)
    wanted = torch.linalg.inv(POSES[1]) @ POSES
    assert given.scaled and torch.allclose(given.cameras.c2w.double(), wanted[[1, 3, 5]], atol=1e-5)
    same = read_source_cameras(tmp_path / "path.npz", tuple(range(10, 16)), GRID, FIT)
    assert torch.allclose(same.cameras.c2w.double(), torch.linalg.inv(POSES[0]) @ POSES, atol=1e-5)
    with pytest.raises(InputError, match="has 6 poses, the clip has 7 frames"):
        read_source_cameras(tmp_path / "path.npz", tuple(range(7)), GRID, FIT)
