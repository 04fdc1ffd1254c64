"""How Gaussians are turned into pixels: one small set of choices, shared by every backend."""

from dataclasses import dataclass
from typing import Literal

from lyra.structures import InputError

ALPHA_CUT = 1.0 / 255.0
"""Contributions below this opacity are skipped."""
ALPHA_CLAMP = 0.999
"""Largest opacity of one Gaussian at one pixel (gsplat 1.5.3; later releases clamp at 0.99)."""
STOP_TRANSMITTANCE = 1e-4
"""A pixel stops before the Gaussian that would leave this transmittance or less."""
JACOBIAN_MARGIN = 0.15
"""The EWA Jacobian is evaluated inside the image widened by this fraction of its size on every side."""


@dataclass(frozen=True)
class RenderOptions:
    """Choices of the rasteriser; the defaults are what our own models train and render with.

    Attributes:
        response: ``"ewa"`` projects each Gaussian to a 2D Gaussian (what web viewers draw), ``"ray"`` evaluates it
            along every viewing ray (3DGUT; what official checkpoints were trained with). They are not
            interchangeable: sub-pixel Gaussians look fatter under ``"ewa"``.
        background: RGB behind the Gaussians; never enters depth.
        near, far: Gaussians whose camera z lies outside are dropped, in scene units.
        eps2d: added to the projected variances in pixels squared; under ``"ray"`` it only enters culling.
        antialiased: compensate the opacity for ``eps2d`` (Mip-Splatting); ``"ewa"`` only.
        backend: ``"auto"`` takes cuda for CUDA tensors when gsplat is installed, else cpu.
        ray_depth_gradient: under ``"ray"``, let the depth picture differentiate z itself. Off by default because gsplat
            treats z as a constant there: depth then only moves the blending weights. Under ``"ewa"`` z always
            has its gradient.
        depth: whether the depth picture is wanted. Without, it is zero everywhere, and the ray response on a GPU needs
            half the work.
        check_cameras: whether cameras are looked through for numbers that are not finite. On a GPU the host then waits
            for it; a loop over cameras that were checked before it need not.

    Raises:
        InputError: a value is outside its range.
    """

    response: Literal["ewa", "ray"] = "ewa"
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    near: float = 0.01
    far: float = 500.0
    eps2d: float = 0.3
    antialiased: bool = False
    backend: Literal["auto", "cpu", "cuda", "reference"] = "auto"
    ray_depth_gradient: bool = False
    depth: bool = True
    check_cameras: bool = True

    def __post_init__(self) -> None:
        if self.response not in ("ewa", "ray"):
            raise InputError(f"render response {self.response!r} is unknown: use 'ewa' or 'ray'")
        if self.backend not in ("auto", "cpu", "cuda", "reference"):
            raise InputError(f"render backend {self.backend!r} is unknown: use 'auto', 'cpu', 'cuda' or 'reference'")
        if not 0 < self.near < self.far:
            raise InputError(f"render near {self.near} and far {self.far} must satisfy 0 < near < far")
        if self.eps2d < 0:
            raise InputError(f"render eps2d {self.eps2d} must not be negative")
        if len(self.background) != 3:
            raise InputError(f"render background needs three numbers (RGB), got {len(self.background)}")
        if self.antialiased and self.response == "ray":
            raise InputError("antialiased rendering needs response='ewa': the ray response has no eps2d to compensate")
