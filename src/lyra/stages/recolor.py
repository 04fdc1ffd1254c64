"""Colours are settled so that the scene shows the photograph again at the photograph's own camera."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lyra.raster import render
from lyra.structures import Cameras, Gaussians, InputError, Scene, Views

_FAINTEST = 1e-3
"""Added to the weights, in pixels: what the photograph hardly shows keeps its colour."""


@dataclass(frozen=True)
class RecolorConfig:
    """How far the colours follow the photograph.

    Attributes:
        rounds: steps of the solver; 0 leaves the decoder's colours.
    """

    rounds: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.rounds <= 100:
            raise InputError(f"{self.rounds} rounds of recolouring are outside 0…100; 0 keeps the colours")


def recolor(scene: Scene, views: Views, config: RecolorConfig | None = None) -> Scene:
    """Move the colours of the first set of Gaussians towards the source picture, seen from the source camera.

    A render is linear in the colours, ``r = W c`` with W >= 0, so this is non-negative least squares. Each round takes
    the step ``W'(photo - r) / (W'W 1)``: for W >= 0 that diagonal lies above W'W (De Pierro, IEEE Trans. Medical
    Imaging 1995, on separable surrogates), so no round makes the picture worse. W is never formed; its products are
    gradients of the renderer. Gaussians that the photograph does not show keep their colour.

    Args:
        scene: a static scene.
        views: the source view first.
        config: number of rounds.

    Returns:
        The same scene with other colours, within 0…1.
    """
    config = config or RecolorConfig()
    gaussians, photo = scene.gaussians[0], views.frames.rgb[:1]
    for _ in range(config.rounds):
        towards, weight = _backproject(gaussians, views.cameras[0], photo)
        colors = gaussians.colors + towards / (weight + _FAINTEST)
        gaussians = replace(gaussians, colors=colors.clamp(0, 1))
    return replace(scene, gaussians=(gaussians, *scene.gaussians[1:]))


def _backproject(gaussians: Gaussians, camera: Cameras, photo: Tensor) -> tuple[Tensor, Tensor]:
    """Per Gaussian W'(photo - render) [N, 3] and W'W 1 [N, 1]; the alpha of the render is W 1."""
    with torch.enable_grad():
        colors = gaussians.colors.detach().requires_grad_()
        rendering = render(replace(gaussians, colors=colors), camera)
        shown, alpha = rendering.rgb.detach(), rendering.alpha.detach()
        (towards,) = torch.autograd.grad(rendering.rgb, colors, photo - shown, retain_graph=True)
        (weight,) = torch.autograd.grad(rendering.rgb, colors, alpha[:, None].expand_as(shown))
    return towards, weight[:, :1]
