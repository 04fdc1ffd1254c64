"""Which camera paths the teacher is asked to imagine."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from lyra.geometry import compose
from lyra.geometry.trajectories import OFFICIAL_TRAJECTORIES, plan_six
from lyra.structures import InputError, Trajectory, Views


def plan(
    views: Views,
    frames: int,
    names: Sequence[str] | None = None,
    factor: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Trajectory, ...]:
    """The published trajectories around the first view, which stands at frame 0 of each.

    Args:
        views: the source; its median depth (1) is the centre depth. With as many frames as the paths they are a video,
            and the paths move along with its camera.
        frames: length of each path.
        names: subset of the six names, in order; ``None`` for all.
        factor: multiplies every movement distance.
        generator: draws the distances from the published ranges; ``None`` takes the fixed ones.

    Raises:
        InputError: unknown or repeated name, or a factor that is not a positive number.
    """
    chosen = require_plannable(names, factor)
    source = views.cameras if len(views.cameras) == frames else views.cameras[0]
    paths = plan_six(frames, source, factor=factor, generator=generator)
    by_name = {path.name: path for path in paths}
    return tuple(by_name[name] for name in chosen)


def plan_moving(
    views: Views,
    names: Sequence[str] | None = None,
    factor: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Trajectory, ...]:
    """The published trajectories around a source that moves: camera i departs from the source's camera i.

    Args:
        views: T source pictures; their cameras are what the paths depart from.
        names, factor, generator: as in `plan`.

    Raises:
        InputError: as `plan`.
    """
    source = views.cameras
    home = replace(source[0], c2w=torch.eye(4, dtype=source.c2w.dtype, device=source.c2w.device)[None])
    still = replace(views, frames=views.frames[:1], depth=views.depth[:1], mask=views.mask[:1], cameras=home)
    paths = plan(still, len(source), names, factor, generator)
    return tuple(
        replace(path, cameras=replace(source, c2w=compose(source.c2w, path.cameras.c2w.to(source.c2w))))
        for path in paths
    )


def require_plannable(names: Sequence[str] | None, factor: float) -> list[str]:
    """The names of the paths that `plan` would make, in order.

    Raises:
        InputError: as `plan`.
    """
    known = [spec.name for spec in OFFICIAL_TRAJECTORIES]
    chosen = list(names) if names is not None else known
    for name in chosen:
        if name not in known:
            raise InputError(f"unknown trajectory '{name}'; choose from {', '.join(known)}")
    if not chosen or len(set(chosen)) != len(chosen):
        raise InputError(f"trajectories '{','.join(chosen)}' are none or repeat one; choose from {', '.join(known)}")
    if not 0 < factor <= 4:
        raise InputError(f"strength {factor:g} is outside 0…4; 1 is the published movement")
    return chosen
