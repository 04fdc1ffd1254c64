"""The front door of the rasteriser: checks the input, picks a backend, composites the background."""

import importlib.util
import math
from collections.abc import Callable

import torch
from torch import Tensor

from lyra.raster.options import RenderOptions
from lyra.structures import Cameras, Gaussians, InputError, Rendering, check_shapes

_DEFAULTS = RenderOptions()


def available_backends() -> tuple[str, ...]:
    """Names of the backends that can run here: always ``cpu`` and ``reference``, ``cuda`` with a GPU and gsplat."""
    names = ["cpu", "reference"]
    if torch.cuda.is_available() and importlib.util.find_spec("gsplat") is not None:
        names.insert(0, "cuda")
    return tuple(names)


def render(gaussians: Gaussians, cameras: Cameras, options: RenderOptions = _DEFAULTS) -> Rendering:
    """Picture ``gaussians`` from every camera.

    Args:
        gaussians: activated Gaussians in world coordinates.
        cameras: T OpenCV cameras; picture size and intrinsics are taken from here.
        options: response model, background, near and far, backend.

    Returns:
        ``Rendering`` with rgb [T, 3, H, W] over the background, expected z [T, H, W] (0 where empty), alpha [T, H, W],
        on the device of the Gaussians.

    Raises:
        InputError: a camera is not finite, or the chosen backend is not installed.
    """
    rgb, depth, alpha = rasterize(
        gaussians.means,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        gaussians.colors,
        cameras.w2c,
        cameras.K,
        cameras.height,
        cameras.width,
        options,
    )
    return Rendering(rgb=rgb, depth=depth, alpha=alpha)


def rasterize(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    w2c: Tensor,
    K: Tensor,
    height: int,
    width: int,
    options: RenderOptions = _DEFAULTS,
) -> tuple[Tensor, Tensor, Tensor]:
    """Rasterise N Gaussians from V cameras; differentiable in the five Gaussian tensors, not in the cameras.

    Args:
        means: [N, 3] world coordinates.
        quats: [N, 4] w, x, y, z; normalised inside.
        scales: [N, 3] standard deviations.
        opacities: [N] 0…1.
        colors: [N, 3] RGB.
        w2c: [V, 4, 4] world-to-camera, OpenCV axes.
        K: [V, 3, 3] intrinsics in pixels, pixel centres at +0.5, no skew.
        height, width: picture size in pixels.
        options: see ``RenderOptions``; with ``response="ray"`` depth differentiates z only on request.

    Returns:
        rgb [V, 3, H, W] over the background, depth [V, H, W] (expected z: the blended z divided by alpha, 0 where
        empty), alpha [V, H, W]; on the device of ``means``. ``reference`` keeps the dtype of ``means``, the others
        give float32.

    Raises:
        InputError: wrong shapes, non-finite cameras, no pixels, or a backend that is not installed.
    """
    try:
        check_shapes(
            "rasterize",
            means=(means, "N 3"),
            quats=(quats, "N 4"),
            scales=(scales, "N 3"),
            opacities=(opacities, "N"),
            colors=(colors, "N 3"),
            w2c=(w2c, "V 4 4"),
            K=(K, "V 3 3"),
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    if height < 1 or width < 1:
        raise InputError(f"cannot render a picture of {width} x {height} pixels: both must be at least 1")
    if options.check_cameras:
        _check_cameras(w2c, K)
    accumulate = _backend(options, means)
    picture = accumulate(means, quats, scales, opacities, colors, w2c, K, height, width, options).to(means.device)
    rgb, summed, alpha = picture.split((3, 1, 1), dim=1)  # one split: its gradient is one concatenation
    if any(options.background):
        background = torch.tensor(options.background, dtype=rgb.dtype, device=rgb.device)
        rgb = rgb + (1 - alpha) * background[:, None, None]
    depth = summed / alpha.clamp_min(1e-10) if options.depth else torch.zeros_like(summed)
    return rgb, depth[:, 0], alpha[:, 0]


def _check_cameras(w2c: Tensor, K: Tensor) -> None:
    if not math.isfinite(float(w2c.detach().sum() + K.detach().sum())):
        raise InputError("a camera has NaN or infinite entries: check the camera path or the intrinsics")
    if len(K) and float(K.detach().diagonal(dim1=-2, dim2=-1)[:, :2].min()) <= 0:
        raise InputError("a camera has a focal length of zero or less: intrinsics must be in pixels and positive")


def _backend(options: RenderOptions, means: Tensor) -> Callable[..., Tensor]:
    name = options.backend
    if name == "auto":
        name = "cuda" if means.is_cuda and importlib.util.find_spec("gsplat") is not None else "cpu"
    # Each backend is imported when first used: numba and gsplat cost seconds that other commands should not pay.
    if name == "cuda":
        from lyra.raster import cuda

        return cuda.rasterize_accumulated
    if name == "reference":
        from lyra.raster import reference

        return reference.rasterize_accumulated
    from lyra.raster import cpu

    return cpu.rasterize_accumulated
