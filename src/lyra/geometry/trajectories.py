"""The published camera paths: straight moves and circles around the source camera, looking at the scene's centre."""

from dataclasses import dataclass
from math import pi
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.cameras import compose, invert_rigid, rigid
from lyra.structures import Cameras, Trajectory

Rotation = Literal["center_facing", "no_rotation", "trajectory_aligned"]

_AXES: dict[str, tuple[float, float, float]] = {
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "up": (0.0, -1.0, 0.0),
    "down": (0.0, 1.0, 0.0),
    "zoom_out": (0.0, 0.0, -1.0),
    "zoom_in": (0.0, 0.0, 1.0),
}
_TURNS: dict[str, float] = {"clockwise": 1.0, "counterclockwise": -1.0}

TRAJECTORY_NAMES: tuple[str, ...] = (*_AXES, *_TURNS)
"""Every name that `trajectory_c2w` knows."""

_LYRA_RADIUS_FACTORS = (0.15, 0.10)
_LYRA_CIRCLES = 2.0


@dataclass(frozen=True)
class TrajectorySpec:
    """One of the six views of a scene.

    Attributes:
        name: the path.
        low, high: interval that the strength is drawn from, in units of the centre depth.
        fixed: strength used when nothing is drawn.
    """

    name: str
    low: float
    high: float
    fixed: float


# Drawn with the published default seed, every path but the first gets the same fraction of its interval: the first
# number of Python's generator seeded with 1.
_SEED_FRACTION = 0.13436424411240122

OFFICIAL_TRAJECTORIES: tuple[TrajectorySpec, ...] = (
    TrajectorySpec("left", 0.2, 0.3, 0.25),
    TrajectorySpec("right", 0.2, 0.3, 0.2 + 0.1 * _SEED_FRACTION),
    TrajectorySpec("up", 0.1, 0.2, 0.1 + 0.1 * _SEED_FRACTION),
    TrajectorySpec("zoom_out", 0.3, 0.4, 0.3 + 0.1 * _SEED_FRACTION),
    TrajectorySpec("zoom_in", 0.3, 0.4, 0.3 + 0.1 * _SEED_FRACTION),
    TrajectorySpec("clockwise", 0.4, 0.6, 0.4 + 0.2 * _SEED_FRACTION),
)
"""The six paths of a scene, in the order of their view index."""


def trajectory_c2w(
    name: str,
    frames: int,
    strength: float | Tensor,
    centre_depth: float | Tensor = 1.0,
    source_c2w: Tensor | None = None,
    rotation: Rotation = "center_facing",
    radius_factors: tuple[float, float] | None = None,
    circles: float | None = None,
) -> Tensor:
    """Camera-to-world poses along one published path (GEN3C / Lyra-1).

    With p_i the offset of frame i in the source camera's axes, z_c the centre depth and R_i the rotation that looks
    at the target point, the published world-to-camera matrix relative to the source is [R_i | -p_i]: the translation
    is -p and not -R p, so the true camera centre is Rᵀp. Straight moves divide by ``frames``, so that the last frame
    reaches (frames - 1) / frames of strength · z_c; circles divide by ``frames - 1`` and close.

    Args:
        name: one of `TRAJECTORY_NAMES`.
        frames: T.
        strength: [...] movement distance in units of the centre depth.
        centre_depth: [...] z_c in scene units.
        source_c2w: [..., 4, 4] pose of the source camera, or [..., T, 4, 4] for a moving one (give it as many axes as
            the result then has); None is the identity.
        rotation: where the cameras look: ``center_facing`` (0, 0, z_c), ``no_rotation`` (0, 0, z_c) + p,
            ``trajectory_aligned`` (0, 0, z_c) + 2 p.
        radius_factors: radii of a circle in x and y as fractions of ``strength`` · z_c; None is (0.15, 0.10) as in
            Lyra-1's six views (GEN3C itself has (1, 1)).
        circles: turns of a circle; None is 2 as in Lyra-1's six views (GEN3C itself has 1).

    Returns:
        [..., T, 4, 4] c2w, float32; the leading axes are those of ``strength`` and ``centre_depth``.

    Raises:
        ValueError: unknown name or rotation, or no frames.
    """
    if frames < 1:
        raise ValueError(f"trajectory_c2w: frames should be at least 1, got {frames}")
    device = next((value.device for value in (source_c2w, strength, centre_depth) if isinstance(value, Tensor)), None)
    strength, centre = torch.broadcast_tensors(
        torch.as_tensor(strength, dtype=torch.float32, device=device),
        torch.as_tensor(centre_depth, dtype=torch.float32, device=device),
    )
    reach = (strength * centre)[..., None, None]
    index = torch.arange(frames, dtype=torch.float32, device=device)
    offset = reach * _unit_offsets(name, index, frames, radius_factors or _LYRA_RADIUS_FACTORS, circles)
    target = torch.zeros_like(offset)
    target[..., 2] = centre[..., None]
    match rotation:
        case "center_facing":
            pass
        case "no_rotation":
            target = target + offset
        case "trajectory_aligned":
            target = target + 2 * offset
        case _:
            raise ValueError(
                f"trajectory_c2w: rotation {rotation!r} is not center_facing, no_rotation or trajectory_aligned"
            )
    forward = F.normalize(target - offset, dim=-1)
    down = torch.tensor([0.0, 1.0, 0.0], device=device).expand_as(forward)
    right = F.normalize(torch.linalg.cross(down, forward), dim=-1)
    rows = torch.stack([right, torch.linalg.cross(forward, right), forward], dim=-2)
    c2w = invert_rigid(rigid(rows, -offset))
    if source_c2w is None:
        return c2w
    source = source_c2w.float()
    return compose(source if source.dim() == c2w.dim() else source[..., None, :, :], c2w)


def _unit_offsets(
    name: str, index: Tensor, frames: int, radius_factors: tuple[float, float], circles: float | None
) -> Tensor:
    """[T, 3] camera offsets for strength · z_c = 1."""
    if name in _AXES:
        return (index / frames)[:, None] * torch.tensor(_AXES[name], device=index.device)
    if name not in _TURNS:
        raise ValueError(f"trajectory_c2w: unknown path {name!r}; known are {', '.join(TRAJECTORY_NAMES)}")
    turns = _LYRA_CIRCLES if circles is None else circles
    angle = 2 * pi * turns * index / max(frames - 1, 1)
    x = _TURNS[name] * radius_factors[0] * (torch.cos(angle) - 1)
    y = radius_factors[1] * torch.sin(angle)
    return torch.stack([x, y, torch.zeros_like(x)], dim=-1)


def plan_six(
    frames: int,
    source: Cameras,
    centre_depth: float = 1.0,
    factor: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Trajectory, ...]:
    """The six camera paths of a scene, in the published order.

    Args:
        frames: T, poses per path.
        source: the source camera (one frame); every path starts there and shares its intrinsics and size. For a video
            T of them, which every path moves along with.
        centre_depth: z_c in scene units.
        factor: multiplies every strength; 2.0 gives more motion.
        generator: a CPU generator draws each strength uniformly from its published interval; None gives the published
            fixed strengths (left 0.25, right 0.2134, up 0.1134, zoom_out and zoom_in 0.3134, clockwise 0.4269).

    Raises:
        ValueError: ``source`` has neither one frame nor T.
    """
    if len(source) not in (1, frames):
        raise ValueError(f"plan_six: the source should be one camera or {frames}, got {len(source)}")
    start = source.c2w[0] if len(source) == 1 else source.c2w
    planned = []
    for spec in OFFICIAL_TRAJECTORIES:
        strength = spec.fixed
        if generator is not None:
            strength = spec.low + (spec.high - spec.low) * torch.rand((), generator=generator).item()
        strength *= factor
        c2w = trajectory_c2w(spec.name, frames, strength, centre_depth, start)
        cameras = Cameras(c2w, source.K.expand(frames, 3, 3).contiguous(), source.height, source.width)
        planned.append(Trajectory(spec.name, cameras, strength))
    return tuple(planned)
