"""Fitting a probe to pictures of which everything is known."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lyra.evaluation.probe.facts import UNKNOWN, shown_facts
from lyra.evaluation.probe.network import Probe
from lyra.evaluation.probe.recipe import ProbeRecipe
from lyra.worlds.description import Description

_PRESENT = 2.0
"""Weight of a thing that is there; most are not."""
_THINGS = 0.25
"""Weight of all things together, beside kind, light and each material."""
_LINES = 10
"""Lines of progress."""


@torch.enable_grad()
def train_probe(
    pictures: Tensor, descriptions: Sequence[Description], recipe: ProbeRecipe, progress: Callable[[str], None]
) -> Probe:
    """The running mean of a probe fitted to pictures [N, 3, height, width] uint8, on their device."""
    device = pictures.device
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.manual_seed(recipe.seed)  # for the start, and dropout
        layout = torch.channels_last if cuda else torch.contiguous_format
        probe = Probe(recipe).to(device)
        probe.to(memory_format=layout)  # type: ignore[call-overload]
        mean = AveragedModel(probe, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=True)
        truth = {name: labels.to(device) for name, labels in shown_facts(descriptions).items()}
        optimizer = torch.optim.AdamW(probe.parameters(), lr=recipe.rate, weight_decay=recipe.decay, fused=cuda)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, recipe.steps, pct_start=0.1)
        generator = torch.Generator(device).manual_seed(recipe.seed)
        began = time.perf_counter()
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            for step, index in enumerate(_batches(len(pictures), recipe, generator), 1):
                rgb = changed(pictures[index].float() / 255, generator).contiguous(memory_format=layout)
                with torch.autocast("cuda", torch.bfloat16) if cuda else nullcontext():
                    answers = probe(rgb)
                loss = probe_loss(answers, {name: labels[index] for name, labels in truth.items()}, recipe.smoothing)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(probe.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                mean.update_parameters(probe)
                if step % max(1, recipe.steps // _LINES) == 0:
                    value, speed = float(loss.detach()), step * recipe.batch / (time.perf_counter() - began)
                    progress(f"probe: step {step}/{recipe.steps}, loss {value:.3f}, {speed:.0f} pictures/s")
    fitted = mean.module
    assert isinstance(fitted, Probe)
    fitted.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return fitted.eval().requires_grad_(False)


def _batches(count: int, recipe: ProbeRecipe, generator: torch.Generator) -> Iterator[Tensor]:
    """``steps`` times [batch] numbers below ``count``; each number comes once before any comes again."""
    order = torch.empty(0, dtype=torch.int64, device=generator.device)
    for _ in range(recipe.steps):
        while len(order) < recipe.batch:
            order = torch.cat([order, torch.randperm(count, generator=generator, device=generator.device)])
        yield order[: recipe.batch]
        order = order[recipe.batch :]


def changed(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures [N, 3, H, W] mirrored, brighter or darker, softer, noisier: what is drawn is no render."""
    count, device = len(rgb), rgb.device

    def even() -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator, device=device)

    def spread(amount: float, channels: int = 1) -> Tensor:
        return torch.randn(count, channels, 1, 1, generator=generator, device=device) * amount

    rgb = torch.where(even() < 0.5, rgb.flip(-1), rgb)
    rgb = rgb.clamp(1e-3, 1) ** torch.exp(spread(0.15)) * torch.exp(spread(0.1) + spread(0.04, 3))
    soft = F.avg_pool2d(F.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, 1)
    rgb = rgb + even() * (soft - rgb)
    noise = torch.randn(rgb.shape, generator=generator, device=device)
    return (rgb + 0.02 * noise).clamp(0, 1)


def probe_loss(answers: dict[str, Tensor], truth: dict[str, Tensor], smoothing: float) -> Tensor:
    """Mean cross-entropies of what is known: kind, light, the material of each part; and those of all things, summed.

    Things are not weighted to be seen more often than they are there beyond a little: how sure is sure enough is
    settled afterwards, on validation worlds.
    """
    total = _known(answers["kind"], truth["kind"], smoothing) + _known(answers["light"], truth["light"], smoothing)
    for part in range(truth["material"].shape[1]):
        total = total + _known(answers["material"][:, part], truth["material"][:, part], smoothing)
    counts = truth["things"]
    losses = F.cross_entropy(answers["things"].flatten(0, 1), counts.flatten(), reduction="none").view_as(counts)
    weights = 1 + (_PRESENT - 1) * (counts > 0)
    return total + _THINGS * (losses * weights).sum(dim=1).mean()


def _known(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    known = (labels != UNKNOWN).sum().clamp(min=1)
    return F.cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="sum", label_smoothing=smoothing) / known
