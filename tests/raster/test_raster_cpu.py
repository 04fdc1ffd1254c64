"""Corners of the Numba backend: nothing to draw, too much to draw, extreme values."""

import pytest
import torch

from lyra.raster import RenderOptions, rasterize

RESPONSES = ("ewa", "ray")


@pytest.mark.parametrize("response", RESPONSES)
def test_empty_scene_is_background(response, random_scene, two_cameras):
    leaves = [t[:0].requires_grad_() for t in random_scene(3)]
    options = RenderOptions(response=response, background=(0.1, 0.2, 0.3))
    rgb, depth, alpha = rasterize(*leaves, *two_cameras(9, 20), 9, 20, options)
    assert torch.equal(rgb[1, :, 4, 4], torch.tensor([0.1, 0.2, 0.3]))
    assert depth.abs().max() == alpha.abs().max() == 0
    (rgb.sum() + depth.sum()).backward()
    assert leaves[0].grad.shape == (0, 3)


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("reason", ["behind", "too near", "too far", "outside", "faint", "not finite", "no rotation"])
def test_culled_gaussians_leave_no_trace(response, reason, random_scene, two_cameras):
    means, quats, scales, opacities, colors = random_scene(20)
    if reason == "behind":
        means[:, 2] *= -1
    elif reason == "too near":
        means *= 0.009 / means[:, 2:]
    elif reason == "too far":
        means *= 501 / means[:, 2:]
    elif reason == "outside":
        means[:, 0] += 100
    elif reason == "faint":
        opacities[:] = 0.003
    elif reason == "not finite":
        means[:] = torch.nan
    else:
        quats[:] = 0
    leaves = [t.requires_grad_() for t in (means, quats, scales, opacities, colors)]
    w2c, K = two_cameras(17, 20)
    rgb, depth, alpha = rasterize(*leaves, w2c[:1], K[:1], 17, 20, RenderOptions(response=response))
    assert rgb.abs().max() == depth.abs().max() == alpha.abs().max() == 0
    (rgb.sum() + depth.sum() + alpha.sum()).backward()
    assert all(leaf.grad.abs().max() == 0 for leaf in leaves)


@pytest.mark.parametrize("response", RESPONSES)
def test_one_behind_the_camera_does_not_disturb_the_others(response, random_scene, two_cameras):
    scene = random_scene(50)
    extra = tuple(torch.cat([t, t[:1]]) for t in scene)
    extra[0][-1, 2] = -1.0
    options = RenderOptions(response=response)
    w2c, K = two_cameras(17, 20)
    alone = rasterize(*scene, w2c[:1], K[:1], 17, 20, options)
    together = rasterize(*extra, w2c[:1], K[:1], 17, 20, options)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("response", RESPONSES)
def test_full_opacity_is_clamped_and_its_gradient_is_zero(response):
    leaves = [
        torch.tensor([[0.0, 0.0, 2.0]]),
        torch.tensor([[1.0, 0, 0, 0]]),
        torch.full((1, 3), 50.0),
        torch.ones(1),
        torch.tensor([[0.2, 0.4, 0.8]]),
    ]
    leaves = [t.requires_grad_() for t in leaves]
    K = torch.tensor([[[100.0, 0, 8.5], [0, 100.0, 8.5], [0, 0, 1]]])
    rgb, _, alpha = rasterize(*leaves, torch.eye(4)[None], K, 17, 17, RenderOptions(response=response))
    assert alpha.min().item() == alpha.max().item() == pytest.approx(0.999, abs=1e-6)
    rgb.sum().backward()
    assert leaves[3].grad.item() == 0
    assert leaves[0].grad.abs().max() == 0
    assert leaves[4].grad[0, 0] == pytest.approx(0.999 * 17 * 17, rel=1e-5)


@pytest.mark.parametrize("response", RESPONSES)
def test_pixels_stop_within_1500_layers(response):
    count = 1500
    z = torch.linspace(1, 4, count)
    leaves = [
        torch.stack([torch.zeros(count), torch.zeros(count), z], dim=1),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        torch.full((count, 3), 50.0),
        torch.full((count,), 0.05),
        torch.ones(count, 3),
    ]
    leaves = [t.requires_grad_() for t in leaves]
    K = torch.tensor([[[100.0, 0, 8], [0, 100.0, 8], [0, 0, 1]]])
    rgb, _, alpha = rasterize(*leaves, torch.eye(4)[None], K, 16, 16, RenderOptions(response=response))
    # 0.95^179 is the last power above the limit of 1e-4.
    assert alpha.min().item() == pytest.approx(1 - 0.95**179, abs=2e-6)
    assert alpha.max().item() == pytest.approx(1 - 0.95**179, abs=2e-6)
    rgb.sum().backward()
    seen = leaves[4].grad[:, 0] > 0
    assert seen[:179].all()
    assert not seen[179:].any()


def test_equal_depths_are_drawn_in_the_order_given():
    means = torch.tensor([[0.0, 0.0, 2.0]]).repeat(2, 1)
    K = torch.tensor([[[30.0, 0, 4.5], [0, 30.0, 4.5], [0, 0, 1]]])
    colors = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(2, 1)
    rgb, _, _ = rasterize(
        means, quats, torch.full((2, 3), 0.1), torch.full((2,), 0.8), colors, torch.eye(4)[None], K, 9, 9
    )
    assert rgb[0, :2, 4, 4].tolist() == pytest.approx([0.8, 0.16], abs=1e-6)


def test_gradients_flow_only_where_asked(random_scene, two_cameras):
    scene = list(random_scene(30))
    scene[4].requires_grad_()
    rgb, _, _ = rasterize(*scene, *two_cameras(17, 20), 17, 20)
    rgb.sum().backward()
    assert scene[4].grad.abs().sum() > 0
    assert scene[0].grad is None


def test_float64_input_gets_float64_gradients(random_scene, two_cameras):
    scene = [t.double().requires_grad_() for t in random_scene(30)]
    rgb, _, _ = rasterize(*scene, *two_cameras(17, 20), 17, 20)
    assert rgb.dtype == torch.float32
    rgb.sum().backward()
    assert scene[0].grad.dtype == torch.float64
