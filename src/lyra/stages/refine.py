"""A scene is refined: its Gaussians take some steps towards what the teacher imagined, all of them at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from lyra.geometry.constants import SAME_POSE
from lyra.raster import RenderOptions
from lyra.raster.fitting import fitted, pictures_of
from lyra.structures import Conditioning, Gaussians, InputError, Scene, Views

MOST_STEPS = 100_000


@dataclass(frozen=True)
class RefineConfig:
    """How far a scene is refined.

    Attributes:
        steps: of Adam; 0 leaves the scene as it is.
        pictures: imagined frames in each step, beside the photograph.
    """

    steps: int = 16
    pictures: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= MOST_STEPS:
            raise InputError(
                f"{self.steps} steps of refinement are outside 0…{MOST_STEPS}; 0 leaves the scene as it is"
            )
        if self.pictures < 1:
            raise InputError(f"{self.pictures} pictures a step are too few; give 1 or more")


def refine(
    scene: Scene,
    views: Views,
    conditionings: Sequence[Conditioning],
    frames: Tensor,
    config: RefineConfig | None = None,
    seed: int = 0,
    on_step: Callable[[int], None] | None = None,
    unseen: Sequence[int] = (),
    options: RenderOptions | None = None,
) -> Scene:
    """Fit the first set of Gaussians to the photograph and the imagined clips for a few steps.

    The decoder says where Gaussians stand and how large they are to a fraction of a pixel, and neighbours overlap; a
    few steps over all of their numbers settle what that leaves: blurred edges, faint fringes, colours that add up to
    others. Each step draws the photograph and some frames, and moves along the gradient of their squared error (Adam,
    Kingma and Ba 2015). A position moves by parts of its Gaussian's own size, so that near and far things take steps
    of the same size in a picture. None is added or dropped.

    Args:
        scene: a static scene.
        views: the source view first.
        conditionings: whose cameras see ``frames``, in the frame of the scene.
        frames: [V, T, 3, H, W] the imagined clips, 0…1.
        config: how many steps of how many frames.
        seed: of the order in which frames are taken.
        on_step: told the number of each step that is done.
        unseen: frames of every clip that are never taken, for those who compare with them.
        options: how the Gaussians are drawn.

    Returns:
        The same scene with other Gaussians, as many as before.
    """
    config = config or RefineConfig()
    # frame 0 is the photograph
    taken = [(view, at) for view in range(len(frames)) for at in range(1, frames.shape[1]) if at not in set(unseen)]
    pictures = pictures_of(views, 0, conditionings, frames, taken)
    gaussians = fitted(scene.gaussians[0], pictures, config.steps, config.pictures, seed, on_step, options)
    return replace(scene, gaussians=(gaussians, *scene.gaussians[1:]))


def refine_moment(
    gaussians: Gaussians,
    views: Views,
    time: int,
    conditionings: Sequence[Conditioning],
    frames: Tensor,
    config: RefineConfig,
    seed: int = 0,
) -> Gaussians:
    """Fit what a moving scene shows at one moment, as `refine`: to that source picture, and to that frame of each clip.

    Each moment is seen from other cameras, and what stands still is fitted anew in each: it flickers more.

    Args:
        gaussians: the scene at that moment.
        views: T source pictures.
        time: which moment.
        conditionings, frames: the clips [V, T, 3, H, W], as in `refine`.
        config: how many steps of how many clips.
        seed: of the order in which clips are taken.

    Returns:
        As many Gaussians as before.
    """
    source = views.cameras.c2w[time]
    away = [told.trajectory.cameras.c2w[time] - source for told in conditionings]
    taken = [(view, time) for view, other in enumerate(away) if float(other.abs().max()) > SAME_POSE]
    return fitted(
        gaussians, pictures_of(views, time, conditionings, frames, taken), config.steps, config.pictures, seed
    )
