"""How much each latent channel matters to the eye: the teacher's errors are weighed by it."""

import torch
from torch import Tensor

from lyra.models.tokenizer import Tokenizer


@torch.no_grad()
def channel_importance(
    tokenizer: Tokenizer, device: torch.device, frames: int = 17, cells: int = 8, probe: float = 0.25
) -> Tensor:
    """[C] weights with mean 1: the square root of the change in pixels that a small change of one channel makes.

    Normalised latents give every channel the same size, although the coarse ones carry most of the picture. The
    square root lies between counting latents alike and counting pixels alike.

    Args:
        tokenizer: decoder to probe.
        device: where it lies.
        frames: pictures of the probe.
        cells: latent rows and columns of the probe.
        probe: size of the change, in normalised units.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (1, tokenizer.channels, tokenizer.latent_frames(frames), cells, cells)
    base = (torch.randn(shape, generator=generator) * 0.5).to(device)
    changed = base.repeat(tokenizer.channels, 1, 1, 1, 1)
    changed[torch.arange(tokenizer.channels), torch.arange(tokenizer.channels)] += probe
    plain = tokenizer.decode(tokenizer.denormalize(base))
    effect = torch.stack([(tokenizer.decode(tokenizer.denormalize(z[None])) - plain).square().mean() for z in changed])
    weight = effect.sqrt()
    return weight / weight.mean()
