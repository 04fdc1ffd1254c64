"""A scene is thinned to so many Gaussians: those that show least are dropped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lyra.raster import RenderOptions
from lyra.raster.showing import shown_of
from lyra.structures import Cameras, Gaussians, InputError, Scene, Trajectory

_PHOTO = 3.0
"""How often the source picture counts, a frame of a trajectory once: the photo is what people compare with."""


@dataclass(frozen=True)
class ThinConfig:
    """How much of a scene may stay.

    Attributes:
        most: Gaussians of each set that stay; 0 keeps all.
    """

    most: int = 200_000

    def __post_init__(self) -> None:
        if self.most < 0:
            raise InputError(
                f"a scene cannot be thinned to {self.most} Gaussians; give a number above 0, or 0 to keep all"
            )


def thin(
    scene: Scene,
    trajectories: Sequence[Trajectory],
    config: ThinConfig | None = None,
    options: RenderOptions | None = None,
    moment: int | None = None,
) -> Scene:
    """Drop the Gaussians that show least wherever there are too many.

    What a Gaussian shows is the light that reaches the cameras from it: its blending weight ``opacity x transmittance``
    summed over the pixels of the source picture (three times) and of the middle and the last frame of each trajectory,
    of moving scenes also of the frame of that time.
    So what is small, faint, or hidden behind others goes first, and what looks like all its neighbours does not.

    Args:
        scene: each of its sets is thinned for itself; the order of what stays is kept.
        trajectories: where it will be looked at from, beside its source camera.
        config: how many may stay.
        options: how the Gaussians are drawn.
        moment: of a moving scene, the frame of each trajectory that shows the time of the set; it counts, too.

    Returns:
        The scene itself where nothing has to go.
    """
    config = config or ThinConfig()
    if config.most == 0 or all(len(each) <= config.most for each in scene.gaussians):
        return scene
    drawn = replace(options or RenderOptions(), depth=False)
    each = [scene.source, *(path.cameras[frame] for path in trajectories for frame in _looked_at(path, moment))]
    c2w, K = (torch.cat([getattr(camera, name) for camera in each]) for name in ("c2w", "K"))
    cameras = replace(scene.source, c2w=c2w, K=K)
    weights = torch.tensor([_PHOTO] + [1.0] * (len(each) - 1), device=c2w.device)
    return replace(
        scene, gaussians=tuple(_thinned(each, cameras, weights, config.most, drawn) for each in scene.gaussians)
    )


def _looked_at(path: Trajectory, moment: int | None) -> list[int]:
    """The middle and the last frame of a path, and that of a moment."""
    return sorted({*path.middle_and_last} if moment is None else {*path.middle_and_last, moment})


def _thinned(gaussians: Gaussians, cameras: Cameras, weights: Tensor, most: int, options: RenderOptions) -> Gaussians:
    if len(gaussians) <= most:
        return gaussians
    shown = shown_of(gaussians, cameras, options, weights)
    # a stable order, so that equal ones go from the end: the last to join were the least certain
    return gaussians[shown.sort(descending=True, stable=True).indices[:most].sort().values]
