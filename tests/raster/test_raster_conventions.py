"""Both our backends against closed forms for one Gaussian: where it lands, how wide, how deep, over what background."""

import math

import pytest
import torch

from lyra.raster import RenderOptions, rasterize, render
from lyra.structures import Cameras, Gaussians

BACKENDS = ("cpu", "reference")
FOCAL, HEIGHT, WIDTH, Z = 50.0, 21, 27, 2.0
K = torch.tensor([[[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]]])


def one_gaussian(column: int, row: int, sigma: float, opacity: float, color: tuple[float, float, float], z: float = Z):
    """An isotropic Gaussian whose centre projects to the centre of pixel (row, column)."""
    x = (column + 0.5 - WIDTH / 2) * z / FOCAL
    y = (row + 0.5 - HEIGHT / 2) * z / FOCAL
    return (
        torch.tensor([[x, y, z]]),
        torch.tensor([[1.0, 0, 0, 0]]),
        torch.full((1, 3), sigma),
        torch.tensor([opacity]),
        torch.tensor([color]),
    )


def draw(gaussians, **options):
    return rasterize(*gaussians, torch.eye(4)[None], K, HEIGHT, WIDTH, RenderOptions(**options))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("response", ["ewa", "ray"])
def test_pixel_centres_lie_at_half(backend, response):
    rgb, depth, alpha = draw(one_gaussian(5, 8, 0.06, 0.6, (1, 0.5, 0.25)), backend=backend, response=response)
    assert alpha[0, 8, 5] == pytest.approx(0.6, abs=1e-5)
    assert alpha[0].argmax() == 8 * WIDTH + 5
    assert rgb[0, :, 8, 5].tolist() == pytest.approx([0.6, 0.3, 0.15], abs=1e-5)
    assert depth[0, 8, 5] == pytest.approx(Z, abs=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ewa_width_is_projected_width_plus_blur(backend):
    sigma, eps2d = 0.06, 0.3
    _, _, alpha = draw(one_gaussian(13, 10, sigma, 0.9, (1, 1, 1)), backend=backend, eps2d=eps2d)
    variance = (sigma * FOCAL / Z) ** 2 + eps2d
    for step in (1, 2, 3):
        expected = 0.9 * math.exp(-0.5 * step**2 / variance)
        assert alpha[0, 10, 13 + step] == pytest.approx(expected, abs=1e-5)
        assert alpha[0, 10 + step, 13] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_antialiased_keeps_the_area(backend):
    sigma = 0.02
    _, _, alpha = draw(one_gaussian(13, 10, sigma, 0.9, (1, 1, 1)), backend=backend, antialiased=True)
    variance = (sigma * FOCAL / Z) ** 2
    assert alpha[0, 10, 13] == pytest.approx(0.9 * variance / (variance + 0.3), rel=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ray_response_is_distance_from_the_ray(backend):
    sigma = 0.06
    gaussians = one_gaussian(20, 4, sigma, 0.9, (1, 1, 1))
    _, _, alpha = draw(gaussians, backend=backend, response="ray")
    centre = gaussians[0][0]
    for row, column in ((4, 21), (5, 19), (6, 20)):
        ray = torch.tensor([(column + 0.5 - WIDTH / 2) / FOCAL, (row + 0.5 - HEIGHT / 2) / FOCAL, 1.0])
        distance = (centre - ray * (centre @ ray) / (ray @ ray)).norm() / sigma
        assert alpha[0, row, column] == pytest.approx(0.9 * math.exp(-0.5 * distance**2), abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_near_covers_far_and_background_fills_the_rest(backend):
    far = one_gaussian(13, 10, 0.1, 0.5, (0, 1, 0), z=4.0)
    near = one_gaussian(13, 10, 0.1, 0.5, (1, 0, 0), z=2.0)
    both = tuple(torch.cat(pair) for pair in zip(far, near, strict=True))
    rgb, depth, alpha = draw(both, backend=backend, background=(0, 0, 1))
    assert rgb[0, :, 10, 13].tolist() == pytest.approx([0.5, 0.25, 0.25], abs=1e-5)
    assert alpha[0, 10, 13] == pytest.approx(0.75, abs=1e-5)
    assert depth[0, 10, 13] == pytest.approx((0.5 * 2 + 0.25 * 4) / 0.75, abs=1e-4)
    assert rgb[0, :, 0, 0].tolist() == [0, 0, 1]
    assert depth[0, 0, 0] == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("response", ["ewa", "ray"])
def test_quaternions_are_w_x_y_z(backend, response):
    means, _, _, opacities, colors = one_gaussian(13, 10, 0.05, 0.9, (1, 1, 1))
    quarter_turn_about_z = torch.tensor([[math.sqrt(0.5), 0, 0, math.sqrt(0.5)]]) * 3  # any length
    scales = torch.tensor([[0.2, 0.02, 0.02]])  # long along x before the turn, along y after it
    _, _, alpha = draw((means, quarter_turn_about_z, scales, opacities, colors), backend=backend, response=response)
    assert alpha[0, 14, 13] > 0.2
    assert alpha[0, 10, 17] == 0


def test_render_takes_values_and_returns_values():
    means, quats, scales, opacities, colors = one_gaussian(13, 10, 0.05, 0.9, (1, 1, 1))
    c2w = torch.eye(4).repeat(2, 1, 1)
    c2w[1, 0, 3] = 2 * Z / FOCAL  # two pixels to the right: the Gaussian moves two pixels to the left
    cameras = Cameras(c2w, K.repeat(2, 1, 1), HEIGHT, WIDTH)
    picture = render(Gaussians(means, quats, scales, opacities, colors), cameras)
    assert picture.rgb.shape == (2, 3, HEIGHT, WIDTH)
    assert picture.alpha[0].argmax() == 10 * WIDTH + 13
    assert picture.alpha[1].argmax() == 10 * WIDTH + 11
