"""Where exports are looked at from, before and after."""

from collections.abc import Iterable

import torch

from lyra.geometry import intrinsics_from_fov, look_at, plan_six
from lyra.raster import render
from lyra.structures import Cameras, Gaussians, InputError, Scene, Trajectory

_FRAMES = 17
_FAINT = 0.01
"""Mean alpha below which a camera is said to see nothing."""
_ROUND_FOV, _ROUND_SIZE = 1.0, 256
_ROUND_DISTANCE = 2.5


def paths_of(scene: Scene, trajectories: Iterable[Trajectory]) -> tuple[Trajectory, ...]:
    """The trajectories of the scene, or where it names none the six published ones around its source camera."""
    return tuple(trajectories) or plan_six(_FRAMES, scene.source)


def cameras_to_compare(scene: Scene, trajectories: Iterable[Trajectory]) -> Cameras:
    """The source camera, and two of each trajectory: after a third of it and at its end.

    Cameras that see nothing are left out. If all are, as with a foreign scene whose origin is nowhere in particular,
    six cameras around the middle of the Gaussians take their place.

    Raises:
        InputError: those see nothing either.
    """
    source = scene.source
    chosen = [source]
    for trajectory in paths_of(scene, trajectories):
        length = len(trajectory.cameras)
        picked = trajectory.cameras[torch.tensor([length // 3, length - 1])]
        chosen.append(picked.resized(source.height, source.width))
    gaussians = scene.gaussians[0]
    cameras = Cameras(
        torch.cat([each.c2w for each in chosen]), torch.cat([each.K for each in chosen]), source.height, source.width
    )
    for candidates in (cameras, _around(gaussians)):
        seeing = torch.tensor([_sees(gaussians, candidates[index]) for index in range(len(candidates))])
        if seeing.any():
            return candidates[seeing]
    raise InputError("the scene shows nothing from any side; check that its Gaussians are not all transparent")


def _sees(gaussians: Gaussians, camera: Cameras) -> bool:
    return float(render(gaussians, camera).alpha.mean()) >= _FAINT


def _around(gaussians: Gaussians) -> Cameras:
    """Cameras in front, behind, left, right, above and below, that look at the middle of the Gaussians."""
    middle = gaussians.means.median(dim=0).values
    spread = (gaussians.means - middle).norm(dim=1).median().clamp_min(1e-3) + gaussians.scales.amax(dim=1).median()
    directions = torch.cat([torch.eye(3), -torch.eye(3)])
    eye = middle + _ROUND_DISTANCE * spread * directions
    K = intrinsics_from_fov(_ROUND_FOV, _ROUND_SIZE, _ROUND_SIZE)
    return Cameras(look_at(eye, middle.expand_as(eye)), K.expand(6, 3, 3).contiguous(), _ROUND_SIZE, _ROUND_SIZE)
