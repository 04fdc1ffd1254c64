"""What the front door refuses, and what it offers."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from lyra.raster import RenderOptions, available_backends, rasterize
from lyra.structures import InputError


def test_cpu_and_reference_are_always_there():
    assert {"cpu", "reference"} <= set(available_backends())


def test_importing_the_room_loads_neither_numba_nor_gsplat():
    code = "import sys, lyra.raster; sys.exit(any(name in sys.modules for name in ('numba', 'gsplat')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"response": "splat"}, "ewa"),
        ({"backend": "metal"}, "reference"),
        ({"near": 2.0, "far": 1.0}, "near"),
        ({"near": 0.0}, "near"),
        ({"eps2d": -0.1}, "eps2d"),
        ({"background": (0.0, 1.0)}, "three"),
        ({"antialiased": True, "response": "ray"}, "ewa"),
    ],
)
def test_options_out_of_range_are_refused(options, word):
    with pytest.raises(InputError, match=word):
        RenderOptions(**options)


@pytest.mark.parametrize("response", ["ewa", "ray"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_depth_can_be_left_out(random_scene, two_cameras, backend, response):
    scene, cameras = random_scene(60), two_cameras(20, 28)
    how = RenderOptions(response=response, backend=backend, background=(1.0, 0.5, 0.0))
    rgb, depth, alpha = rasterize(*scene, *cameras, 20, 28, how)
    same, none, as_well = rasterize(*scene, *cameras, 20, 28, replace(how, depth=False))
    assert torch.equal(rgb, same) and torch.equal(alpha, as_well) and depth.max() > 1
    assert none.shape == depth.shape and not none.any()


def test_wrong_shapes_are_named(random_scene, two_cameras):
    means, quats, scales, opacities, colors = random_scene(5)
    with pytest.raises(InputError, match="quats"):
        rasterize(means, quats[:, :3], scales, opacities, colors, *two_cameras(8, 8), 8, 8)
    with pytest.raises(InputError, match="opacities"):
        rasterize(means, quats, scales, opacities[:4], colors, *two_cameras(8, 8), 8, 8)
    with pytest.raises(InputError, match="pixels"):
        rasterize(means, quats, scales, opacities, colors, *two_cameras(8, 8), 0, 8)


def test_broken_cameras_are_refused(random_scene, two_cameras):
    w2c, K = two_cameras(8, 8)
    w2c[0, 0, 3] = math.nan
    with pytest.raises(InputError, match="camera"):
        rasterize(*random_scene(5), w2c, K, 8, 8)
    w2c, K = two_cameras(8, 8)
    K[1, 1, 1] = 0
    with pytest.raises(InputError, match="focal"):
        rasterize(*random_scene(5), w2c, K, 8, 8)


def test_a_caller_may_vouch_for_its_cameras(random_scene, two_cameras):
    """No number of them is read then: on a GPU that would make the host wait."""
    w2c, K = two_cameras(8, 8)
    scene, trusting = random_scene(5), RenderOptions(check_cameras=False)
    assert torch.equal(rasterize(*scene, w2c, K, 8, 8)[0], rasterize(*scene, w2c, K, 8, 8, trusting)[0])
    w2c[0, 0, 3] = math.nan
    assert rasterize(*scene, w2c, K, 8, 8, trusting)[0].shape == (2, 3, 8, 8)


@pytest.mark.skipif(torch.cuda.is_available(), reason="checks the message on a machine without CUDA")
def test_cuda_without_a_device_says_what_to_do(random_scene, two_cameras):
    with pytest.raises(InputError, match="backend='cpu'"):
        rasterize(*random_scene(5), *two_cameras(8, 8), 8, 8, RenderOptions(backend="cuda"))


def test_cuda_without_gsplat_gives_the_install_line(random_scene, two_cameras, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "gsplat", None)
    assert "cuda" not in available_backends()
    with pytest.raises(InputError, match=r"pip install 'lyra-scenes\[cuda\]'"):
        rasterize(*random_scene(5), *two_cameras(8, 8), 8, 8, RenderOptions(backend="cuda"))
