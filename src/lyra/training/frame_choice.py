"""Which frames of which views are rendered and compared."""

import torch
from torch import Tensor

from lyra.training.recipes import DecoderStage, FrameSampling

LATE_POWER = 0.6
GROWTH = 3.0
"""Published: the last frame is exp(3) times as likely as the first."""


def choose_frames(sampling: FrameSampling, count: int, frames: int, device: torch.device) -> Tensor:
    """[count] frame numbers below ``frames``; the rules are described at ``DecoderStage.sampling``.

    Raises:
        ValueError: more frames without repetition than there are.
    """
    if sampling == "late":
        late = torch.rand(count, device=device) ** LATE_POWER
        return (late * frames).long().clamp(max=frames - 1)
    if count > frames:
        raise ValueError(f"choose_frames: {count} different frames of {frames} cannot be drawn")
    if sampling == "uniform":
        return torch.randperm(frames, device=device)[:count]
    weight = torch.exp(GROWTH * torch.linspace(0, 1, frames, device=device))
    return torch.multinomial(weight, count)


def choose_targets(stage: DecoderStage, views: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """View and frame numbers, [N] each, of the pictures to render of one scene seen in ``views`` clips."""
    frame = choose_frames(stage.sampling, stage.targets, stage.frames, device)
    if stage.per_view:
        return torch.arange(views, device=device).repeat_interleave(len(frame)), frame.repeat(views)
    frame[: stage.source_targets] = 0
    return torch.randint(views, (len(frame),), device=device), frame


def choose_view_count(stage: DecoderStage, generator: torch.Generator) -> int:
    """How many clips a scene is shown in at this step; ``generator`` is the same in every process, so none waits."""
    low, high = stage.views
    if float(torch.rand((), generator=generator)) < stage.all_views:
        return high
    return int(torch.randint(low, high + 1, (), generator=generator))
