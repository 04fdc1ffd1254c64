"""What cameras do to light: neutral is nothing, colours follow their formulas, JPEG is JPEG."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from lyra.worlds.jpeg import jpeg
from lyra.worlds.photographic import NO_JPEG, CameraLook, degrade, develop, draw_looks, neutral_looks

CPU = torch.device("cpu")


def scene(height: int = 48, width: int = 72, count: int = 1, seed: int = 0) -> torch.Tensor:
    """[count, 3, H, W] soft shapes with edges, never coded as JPEG."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, height // 6, width // 6, generator=generator)
    return F.interpolate(small, size=(height, width), mode="bicubic").clamp(0.02, 0.98)


@pytest.mark.parametrize("quality", [15, 50, 77, 93])
def test_jpeg_is_that_of_pillow(quality):
    picture = (scene(64, 96) * 255).round() / 255
    pixels = (picture[0].permute(1, 2, 0) * 255).byte().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
    reference = torch.from_numpy(np.asarray(Image.open(buffer).convert("RGB")).copy()).permute(2, 0, 1) / 255
    ours = jpeg(picture, torch.tensor([float(quality)]))[0]
    lost = (reference - picture[0]).square().mean()
    assert (ours - reference).square().mean() < 0.12 * lost + (0.8 / 255) ** 2
    assert abs(float((ours - picture[0]).square().mean() / lost) - 1) < 0.1


def test_jpeg_keeps_any_size_and_loses_more_at_lower_quality():
    picture = scene(44, 70, 3)
    coded = jpeg(picture, torch.tensor([95.0, 60.0, 20.0]))
    assert coded.shape == picture.shape
    losses = (coded - picture).square().mean(dim=(1, 2, 3))
    assert losses[0] < losses[1] < losses[2]


def clips(count: int = 1, frames: int = 3) -> torch.Tensor:
    return scene(count=count * frames).unflatten(0, (count, frames))


def test_neutral_cameras_change_nothing():
    video, look = clips(2), neutral_looks(2)
    assert (develop(video, look, torch.ones(2, 3, 48, 72)) - video).abs().max() < 2e-3
    assert torch.equal(degrade(video, look), video)


def test_a_stop_doubles_the_light_and_white_balance_scales_channels():
    dim = torch.full((1, 1, 3, 8, 8), 0.2)
    look = neutral_looks(1)
    brighter = develop(dim, replace(look, exposure=torch.ones(1)))
    assert torch.allclose(brighter**2.2, 2 * dim**2.2, rtol=2e-3)
    gains = torch.tensor([[1.2, 1.0, 0.8]])
    balanced = develop(dim, replace(look, white=gains))
    assert torch.allclose(balanced[0, 0, :, 0, 0] ** 2.2, gains[0] * 0.2**2.2, rtol=2e-3)


def test_every_frame_of_a_clip_is_developed_alike():
    video = scene(count=2)[:, None].expand(-1, 4, -1, -1, -1)
    look = draw_looks(2, clean=0.0, generator=torch.Generator().manual_seed(5))
    shown = develop(video, look, torch.ones(2, 4, 48, 72) * 2)
    assert (shown - shown[:, :1]).abs().max() < 1e-6
    assert (shown[0] - shown[1]).abs().mean() > 0.01


def test_vignettes_darken_corners_and_can_be_left_out():
    look = replace(neutral_looks(1), vignette=torch.full((1,), 0.3))
    grey = torch.full((1, 1, 3, 33, 57), 0.3)
    shown = develop(grey, look)[0, 0, 0] ** 2.2
    assert shown[16, 28] == pytest.approx(0.3**2.2, rel=1e-3)
    assert shown[0, 0] == pytest.approx(0.3**2.2 / 1.3**2, rel=1e-2)
    assert (develop(grey, look.without_vignette()) - grey).abs().max() < 2e-3


def test_blur_keeps_light_and_spreads_a_point():
    point = torch.zeros(1, 1, 3, 21, 21)
    point[..., 10, 10] = 0.5
    look = replace(neutral_looks(1), blur=torch.full((1,), 0.6))
    shown = develop(point, look)[0, 0, 0] ** 2.2
    assert shown.sum() == pytest.approx(0.5**2.2, rel=1e-2) and shown[10, 10] < 0.6 * 0.5**2.2
    assert shown[10, 9] == pytest.approx(float(shown[10, 10]) * np.exp(-1 / (2 * 0.36)), rel=1e-2)


def test_a_wide_aperture_blurs_the_distance_and_not_the_subject():
    video = torch.rand(1, 1, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    depth = torch.full((1, 1, 64, 96), 0.5)
    depth[..., :16, :] = 8.0  # metres: the upper quarter is far behind
    look = replace(neutral_looks(1), aperture=torch.full((1,), 0.03))
    shown = develop(video, look, depth)
    assert (shown - video)[..., 20:, :].abs().max() < 0.01
    assert shown[..., :12, :].std() < 0.4 * video[..., :12, :].std()
    small = develop(video, look, depth, scale=torch.full((1,), 40.0))  # the same scene forty times as large
    assert (small - video).abs().mean() < 0.2 * (shown - video).abs().mean()


def test_noise_has_the_variance_it_was_asked_for():
    light = 0.18
    grey = torch.full((1, 4, 3, 96, 96), light ** (1 / 2.2))
    look = replace(neutral_looks(1), shot=torch.full((1,), 2e-4), read=torch.full((1,), 0.003))
    noisy = degrade(grey, look, torch.Generator().manual_seed(0)) ** 2.2 - light
    assert noisy.var() == pytest.approx(2e-4 * light + 0.003**2, rel=0.08)
    assert abs(float(noisy.mean())) < 3e-4
    frames = noisy.flatten(2)
    assert abs(float((frames[0, 0] * frames[0, 1]).mean() / noisy.var())) < 0.05  # every frame has its own


def test_seeds_repeat_and_a_share_stays_clean():
    first, again, other = (
        draw_looks(4000, clean=0.3, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first.exposure, again.exposure) and torch.equal(first.white, again.white)
    assert not torch.equal(first.exposure, other.exposure)
    plain = (first.exposure == 0) & (first.saturation == 1) & (first.quality == NO_JPEG) & (first.blur == 0)
    assert 0.26 < float(plain.float().mean()) < 0.34
    assert (first.quality >= 45).all() and first.exposure.abs().max() <= 1.5
    luma = (first.white * torch.tensor([0.2126, 0.7152, 0.0722])).sum(dim=1)
    assert torch.allclose(luma, torch.ones(4000), atol=1e-5)


def test_looks_are_picked_by_clip():
    look = draw_looks(6, generator=torch.Generator().manual_seed(0))
    picked = look.pick(torch.tensor([4, 4, 1]))
    assert isinstance(picked, CameraLook) and len(picked) == 3
    assert torch.equal(picked.exposure, look.exposure[[4, 4, 1]]) and torch.equal(picked.white[2], look.white[1])
