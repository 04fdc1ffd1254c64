import numpy as np
import pytest
import torch
from PIL import Image

from lyra.io import read_depth
from lyra.structures import InputError

DEPTH = np.random.default_rng(0).uniform(0.5, 8, (6, 9)).astype(np.float32)


def test_every_format_gives_the_same_depth(tmp_path):
    np.save(tmp_path / "a.npy", DEPTH.astype(np.float64))
    np.savez(tmp_path / "b.npz", other=np.zeros(3), depth=DEPTH)
    np.savez(tmp_path / "c.npz", anything=DEPTH[None])
    Image.fromarray((DEPTH * 1000).round().astype(np.uint16)).save(tmp_path / "d.png")
    for path in sorted(tmp_path.iterdir()):
        depth, mask = read_depth(path, 6, 9)
        assert depth.dtype == torch.float32
        assert mask.all()
        np.testing.assert_allclose(depth.numpy(), DEPTH, atol=6e-4 if path.suffix == ".png" else 1e-6)


def test_zero_negative_and_infinite_depth_is_invalid(tmp_path):
    spoiled = DEPTH.copy()
    spoiled[0, :3] = (0, -2, np.inf)
    np.save(tmp_path / "depth.npy", spoiled)
    depth, mask = read_depth(tmp_path / "depth.npy", 6, 9)
    assert mask.sum() == 51
    assert depth[0, :3].tolist() == [0, 0, 0]


def bad_arrays():
    nan = DEPTH.copy()
    nan[2, 2] = np.nan
    return {
        "nan": (nan, "contains NaN"),
        "invalid": (np.full((6, 9), -1.0), "no valid pixel"),
        "infinite": (np.full((6, 9), np.inf), "no valid pixel"),
        "size": (DEPTH.T, "is 9 x 6, not 6 x 9"),
        "rank": (np.zeros((6, 9, 3)), "6 x 9 x 3"),
        "words": (np.full((6, 9), "far"), "not numbers"),
    }


@pytest.mark.parametrize("name", list(bad_arrays()))
def test_bad_arrays_are_refused(tmp_path, name):
    array, words = bad_arrays()[name]
    np.save(tmp_path / "depth.npy", array)
    with pytest.raises(InputError, match=words):
        read_depth(tmp_path / "depth.npy", 6, 9)


def test_bad_files_are_refused(tmp_path):
    np.savez(tmp_path / "two.npz", a=DEPTH, b=DEPTH)
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    Image.fromarray(np.zeros((6, 9), np.uint8)).save(tmp_path / "eight_bit.png")
    for name in ("text.npy", "text.npz", "text.png", "text.exr"):
        (tmp_path / name).write_text("no depth in here")
    cases = {
        "two.npz": "name one array 'depth'",
        "objects.npy": "damaged",
        "eight_bit.png": "not 16-bit",
        "text.npy": "damaged",
        "text.npz": "damaged",
        "text.png": "damaged",
        "text.exr": "suffix",
        "nothing.npy": "does not exist",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            read_depth(tmp_path / name, 6, 9)
