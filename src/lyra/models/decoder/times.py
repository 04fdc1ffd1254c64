"""When each frame was, and for when Gaussians are wanted, as numbers beside the tokens."""

import torch
from torch import Tensor, nn

from lyra.models.decoder.config import DecoderConfig
from lyra.models.decoder.inputs import DecoderInputs

_NUMBERS = 3
_REASON = "this decoder needs the times of its frames and of its target"


def time_numbers(time: Tensor) -> Tensor:
    """[..., 3] of times [...] 0…1: the time itself, its cosine and its sine, as published (one frequency of 1)."""
    return torch.stack([time, torch.cos(time), torch.sin(time)], dim=-1)


def clip_times(
    config: DecoderConfig, batch: int, frames: int, target: float | None, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """``frame_times`` [B, T] and ``target_time`` [B] of clips that run from 0 to 1; nothing for decoders without times.

    Args:
        config: the decoder's.
        batch, frames: B and T.
        target: the time that is wanted; None for what stands still, or is one moment: all times are 0.
        device: of the result.
    """
    if not config.pooled_time:
        return None, None
    times = torch.zeros(frames, device=device) if target is None else torch.linspace(0, 1, frames, device=device)
    return times.expand(batch, -1), torch.full((batch,), target or 0.0, device=device)


class PooledTimes(nn.Module):
    """Adds times to tokens; starts as nothing, so that weights without it go on as they were.

    The published decoder spreads these three numbers over pictures and encodes them as a video. A tokenizer adds
    nothing to numbers that are the same everywhere, so here they go through a linear map: the frames of a latent frame
    side by side, the first frame ``temporal`` times, as for pooled rays. The target's map also sees how far it is from
    the frames.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.temporal = config.temporal
        self.frames = nn.Linear(_NUMBERS * config.temporal, config.width)
        self.target = nn.Linear(_NUMBERS + config.temporal, config.width)

    def zero_init(self) -> None:
        """Make both maps zero."""
        for layer in (self.frames, self.target):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def for_frames(self, tokens: Tensor, inputs: DecoderInputs) -> Tensor:
        """Tokens [B, V, N, D] with the times of the frames they stand for.

        Raises:
            InputError: the times are missing.
        """
        (times,) = inputs.require("frame_times", reason=_REASON)
        added = self.frames(time_numbers(self._grouped(times)).flatten(2).to(tokens.dtype))  # [B, t, D]
        return tokens + added.repeat_interleave(tokens.shape[2] // added.shape[1], dim=1)[:, None]

    def for_target(self, tokens: Tensor, inputs: DecoderInputs) -> Tensor:
        """Tokens [B, V, t, rows, columns, D] with the time that is wanted.

        Raises:
            InputError: the times are missing.
        """
        times, target = inputs.require("frame_times", "target_time", reason=_REASON)
        away = self._grouped(times) - target[:, None, None]
        wanted = time_numbers(target)[:, None].expand(-1, away.shape[1], -1)
        added = self.target(torch.cat([wanted, away], dim=-1).to(tokens.dtype))
        return tokens + added[:, None, :, None, None]

    def _grouped(self, times: Tensor) -> Tensor:
        """[B, t, temporal] of [B, T]: the first frame alone, then groups."""
        first = times[:, :1].expand(-1, self.temporal - 1)
        return torch.cat([first, times], dim=1).unflatten(1, (-1, self.temporal))
