"""Colours are settled: on what the teacher imagined, and at last on the photograph at its own camera."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from lyra.raster import settled
from lyra.structures import Conditioning, InputError, Scene, Views

_PHOTO = 3.0
"""How often the photograph counts among imagined frames, of which each counts once."""


@dataclass(frozen=True)
class RecolorConfig:
    """How far the colours follow the photograph.

    Attributes:
        rounds: steps of the solver towards the photograph; 0 leaves the decoder's colours.
        shared: steps before these, towards the photograph and the imagined frames together, if there are any rounds.
    """

    rounds: int = 2
    shared: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rounds <= 100:
            raise InputError(f"{self.rounds} rounds of recolouring are outside 0…100; 0 keeps the colours")
        if not 0 <= self.shared <= 100:
            raise InputError(f"{self.shared} shared rounds of recolouring are outside 0…100; 0 takes the photo alone")


def recolor(
    scene: Scene,
    views: Views,
    config: RecolorConfig | None = None,
    conditionings: Sequence[Conditioning] = (),
    frames: Tensor | None = None,
) -> Scene:
    """Move the colours of the first set of Gaussians towards the source picture, seen from the source camera.

    A render is linear in the colours, ``r = W c`` with W >= 0, so this is non-negative least squares. Each round takes
    the step ``W'(photo - r) / (W'W 1)``: for W >= 0 that diagonal lies above W'W (De Pierro, IEEE Trans. Medical
    Imaging 1995, on separable surrogates), so no round makes the picture worse. W is never formed; its products are
    gradients of the renderer. Gaussians that the pictures do not show keep their colour.

    Given imagined clips, the first rounds take the middle and the last frame of each as well, so that a Gaussian seen
    in several clips has the colour that suits them all; the rows of W are then those of all these pictures.

    Args:
        scene: a static scene.
        views: the source view first.
        config: numbers of rounds.
        conditionings: whose cameras see ``frames``, in the frame of the scene.
        frames: [V, T, 3, H, W] the imagined clips, 0…1.

    Returns:
        The same scene with other colours, within 0…1.
    """
    config = config or RecolorConfig()
    gaussians, photo = scene.gaussians[0], (views.cameras[0], views.frames.rgb[:1], _PHOTO)
    if config.rounds and frames is not None:
        imagined = [
            (told.trajectory.cameras[frame], clip[frame : frame + 1], 1.0)
            for told, clip in zip(conditionings, frames, strict=True)
            for frame in told.trajectory.middle_and_last
        ]
        gaussians = settled(gaussians, [photo, *imagined], config.shared)
    gaussians = settled(gaussians, [photo], config.rounds)
    return replace(scene, gaussians=(gaussians, *scene.gaussians[1:]))
