"""A photograph's clips: the frames and holes that are scored, and that they never change."""

import pytest
import torch
from PIL import Image

from lyra.hub import load_model
from lyra.studies.unseen_photos import Photograph, read_photographs, unseen_photo
from lyra.studies.unseen_scenes import Networks

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def networks(tiny_weights) -> Networks:
    names = ("tokenizer/nano", "depth/nano", "teacher/nano", "frames/nano")
    return Networks(*(load_model(name, weights_dir=tiny_weights).eval() for name in names))


def test_clips_follow_from_the_number_and_the_seed(networks):
    photo = Photograph(torch.rand(3, 32, 64, generator=torch.Generator().manual_seed(0)), 50.0)

    def made(index: int, seed: int):
        return unseen_photo(index, photo, networks, CPU, 17, 8, seed, (0, 16))

    first, again, other, seeded = made(0, 0), made(0, 0), made(1, 0), made(0, 1)
    assert torch.equal(first.scenes.frames, again.scenes.frames) and torch.equal(first.c2w, again.c2w)
    assert not torch.equal(first.c2w, other.c2w) and not torch.equal(first.c2w, seeded.c2w)
    assert first.scenes.frames.shape == (1, 6, 17, 3, 32, 64)
    assert set(first.frame.tolist()) == {8, 16} and len(first.frame) == 10  # a circle is back at its start twice
    assert torch.equal(first.scenes.source[0], (photo.rgb * 255).round().byte())
    angle = 2 * torch.atan(32 / first.K[:, 0, 0])
    assert torch.allclose(torch.rad2deg(angle), torch.tensor(50.0), atol=1e-3)
    depth = first.scenes.cache_depth[0, first.view, first.frame]
    assert torch.equal(first.holes, depth == 0) and bool(first.holes.any()) and not bool(first.holes.all())


def test_pictures_are_cut_and_know_their_lens(tmp_path):
    file = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 30  # the focal length that a 36 x 24 mm film would need
    Image.new("RGB", (300, 300), (200, 10, 10)).save(file, exif=exif)
    (photo,) = read_photographs([file], (32, 64))
    assert photo.rgb.shape == (3, 32, 64) and photo.fov is not None
    # the diagonals agree: half the width of a square picture is 43.27 / 2 / sqrt(2) mm, all of which is kept
    assert photo.fov == pytest.approx(2 * torch.rad2deg(torch.atan(torch.tensor(15.297 / 30))).item(), abs=0.1)
    Image.new("RGB", (300, 300)).save(tmp_path / "plain.png")
    assert read_photographs([tmp_path / "plain.png"], (32, 64))[0].fov is None
