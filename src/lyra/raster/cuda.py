"""The fast rasteriser of CUDA machines: gsplat 1.5.3, one call for all views.

gsplat is an optional package, imported here and nowhere else, when the first picture is asked for. Its kernels are
compiled at their first use (nvcc and ninja needed), unless a built extension is already importable as ``gsplat.csrc``.

Two points where gsplat needs care:

- The background is composited by us, so that both backends do it alike, and views are never packed (``packed=True``
  with a background fails an assertion in this release).
- The ray response (``with_ut`` and ``with_eval3d``) aborts unless colours come in threes, so its own depth mode is
  unusable. We compute z in torch and append it as a second triple (z, 0, 0) that gsplat blends in the same call
  (``channel_chunk=3``). gsplat's unscented projection has no gradient, so z is detached there unless
  ``ray_depth_gradient`` asks for the true depth gradient.
"""

from types import ModuleType

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from lyra.raster.options import RenderOptions
from lyra.structures import InputError

GSPLAT_VERSION = "1.5.3"
"""The release whose clamp (0.999), culling and signature ours are matched to."""


def rasterize_accumulated(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    w2c: Tensor,
    K: Tensor,
    height: int,
    width: int,
    options: RenderOptions,
) -> Tensor:
    """[V, 5, H, W] float32: premultiplied RGB, accumulated z, alpha. Differentiable in the first five arguments.

    Raises:
        InputError: gsplat is missing, of another release or without compiled kernels, or there is no CUDA device.
    """
    gsplat = _gsplat()
    device = means.device if means.is_cuda else torch.device("cuda")
    means, quats, scales, opacities, colors, w2c, K = (
        t.to(device, torch.float32).contiguous()
        for t in (means, quats, scales, opacities, colors, w2c.detach(), K.detach())
    )
    views = len(w2c)
    if not len(means) or not views:
        return means.new_zeros(views, 5, height, width) + 0 * (means.sum() + colors.sum())
    ray = options.response == "ray"
    if ray and options.depth:
        z = means @ w2c[:, 2, :3].mT + w2c[:, 2, 3]
        z = z.mT if options.ray_depth_gradient else z.mT.detach()
        colors = torch.cat([colors.expand(views, -1, -1), pad(z[..., None], (0, 2))], dim=-1)
    planes, alpha, _ = gsplat.rasterization(
        means,
        normalize(quats, dim=-1),
        scales,
        opacities,
        colors,
        w2c,
        K,
        width,
        height,
        near_plane=options.near,
        far_plane=options.far,
        eps2d=options.eps2d,
        packed=False,
        render_mode="RGB+D" if options.depth and not ray else "RGB",
        rasterize_mode="antialiased" if options.antialiased else "classic",
        channel_chunk=3 if ray else 32,
        with_ut=ray,
        with_eval3d=ray,
    )
    if planes.shape[-1] == 3:
        planes = pad(planes, (0, 1))
    return torch.cat([planes[..., :4], alpha], dim=-1).permute(0, 3, 1, 2)


def _gsplat() -> ModuleType:
    if not torch.cuda.is_available():
        raise InputError("render backend 'cuda' needs a CUDA device and torch with CUDA: use backend='cpu' here")
    try:
        import gsplat
        from gsplat.cuda import _backend
    except ImportError as error:
        raise InputError(
            f"render backend 'cuda' cannot import gsplat ({error}): "
            "pip install 'lyra-scenes[cuda]', or use backend='cpu'"
        ) from error
    if gsplat.__version__ != GSPLAT_VERSION:
        raise InputError(
            f"render backend 'cuda' is tested with gsplat {GSPLAT_VERSION}, found {gsplat.__version__}: "
            f"pip install gsplat=={GSPLAT_VERSION}, or use backend='cpu'"
        )
    if _backend._C is None:
        raise InputError(
            "gsplat has no compiled kernels and found no nvcc: install the CUDA toolkit, or use backend='cpu'"
        )
    return gsplat
