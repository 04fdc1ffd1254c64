"""A folder as ViPE writes it, at the size of a network."""

import shutil
from pathlib import Path

import pytest
import torch
from vipe_clip import H, T, W, write_clip

from lyra.data.published import write_depth_archive
from lyra.data.vipe import clip_files, read_vipe
from lyra.structures import InputError


def test_a_clip_is_stretched_cut_and_repeated(tmp_path: Path) -> None:
    depth, c2w, four = write_clip(tmp_path)
    views = read_vipe(tmp_path, 7, 88, 128)
    assert views.frames.rgb.shape == (7, 3, 88, 128) and bool(views.mask.all())
    for values in (views.frames.rgb, views.depth, views.cameras.c2w, views.cameras.K):
        assert torch.equal(values[5], values[4]) and torch.equal(values[6], values[4])
        assert not torch.equal(values[4], values[3]) or values is views.cameras.K or values is views.frames.rgb
    # 60 x 112 becomes 90 x 128, of which the rows 1 … 88 are kept
    assert views.depth[0].median() == pytest.approx(1.0)
    unit = float(depth[0].median())
    row, column = 40, 70
    there = (column + 0.5) * W / 128 - 0.5, (row + 1 + 0.5) * H / 90 - 0.5
    expected = 3 + 0.01 * there[1] + 0.02 * there[0] + 0.2
    assert float(views.depth[2, row, column]) * unit == pytest.approx(expected, abs=0.01)
    # a pixel looks the same way before and after
    fx, fy, cx, cy = four[0].tolist()
    before = ((there[0] + 0.5 - cx) / fx, (there[1] + 0.5 - cy) / fy)
    K = views.cameras.K[2]
    after = ((column + 0.5 - K[0, 2]) / K[0, 0], (row + 0.5 - K[1, 2]) / K[1, 1])
    assert [float(x) for x in after] == pytest.approx(before, abs=1e-5)
    # the first camera is the origin, and moves are measured in the same unit as depth
    assert torch.allclose(views.cameras.c2w[0], torch.eye(4), atol=1e-6)
    moved = torch.linalg.inv(c2w[0]) @ c2w[3]
    assert torch.allclose(views.cameras.c2w[3, :3, 3] * unit, moved[:3, 3], rtol=3e-3)  # medians of two sizes
    assert views.frames.rgb[0, 0, 80].mean() - views.frames.rgb[0, 0, 10].mean() > 0.5, "rows are still rows"


@pytest.mark.parametrize("part", ["rgb", "depth", "pose", "intrinsics"])
def test_missing_files_are_named(tmp_path: Path, part: str) -> None:
    write_clip(tmp_path)
    shutil.rmtree(tmp_path / part)
    with pytest.raises(InputError, match=part):
        clip_files(tmp_path)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path)
    shutil.copy(tmp_path / "rgb" / "walk.mp4", tmp_path / "rgb" / "run.mp4")
    with pytest.raises(InputError, match="2 clips in its rgb/; give a folder as ViPE writes it"):
        clip_files(tmp_path)
    (tmp_path / "rgb" / "run.mp4").unlink()
    write_depth_archive(tmp_path / "depth" / "walk.zip", torch.ones(T, 30, 56))
    with pytest.raises(InputError, match="depth is 30x56, pictures are 60x112"):
        read_vipe(tmp_path, 7, 88, 128)
    write_depth_archive(tmp_path / "depth" / "walk.zip", torch.zeros(T, H, W))
    with pytest.raises(InputError, match="the first frame has no depth"):
        read_vipe(tmp_path, 7, 88, 128)
    write_depth_archive(tmp_path / "depth" / "walk.zip", torch.ones(2, H, W))
    with pytest.raises(InputError, match="is damaged"):
        read_vipe(tmp_path, 7, 88, 128)
