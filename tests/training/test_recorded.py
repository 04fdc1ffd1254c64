"""Recorded calls give what launching the kernels gives, also after the weights have moved."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lyra.hub import load_model
from lyra.models.perceptual import SqueezePerceptual
from lyra.models.teacher import Teacher, TeacherConfig
from lyra.models.tokenizer import FrameDecoder, FrameDecoderConfig
from lyra.training import TrainOptions
from lyra.training.contest import Contest
from lyra.training.recorded import RecordedCalls, records_calls
from lyra.training.tasks.frames import Judgement
from lyra.training.tasks.teacher import Spread

RUN = TrainOptions("teacher", Path("run"), steps=1)


@pytest.mark.parametrize(
    "change", [{"eager": True}, {"compile": True}, {"accumulate": 2}, {"shard": True}, {"checkpoint_activations": True}]
)
def test_only_what_can_be_replayed_is_recorded(change):
    assert records_calls(RUN, torch.device("cuda"))
    assert not records_calls(RUN, torch.device("cpu"))
    assert not records_calls(replace(RUN, **change), torch.device("cuda"))


def _teacher() -> tuple[nn.Module, list[tuple[torch.Tensor | None, ...]]]:
    config = TeacherConfig(latent_channels=8, heads=2, head_dim=16, layers=2, text_dim=16, text_tokens=4, text=True)
    clips = [(torch.rand(2) + 0.1, torch.randn(2, 8, 1, 4, 6)) for _ in range(3)]
    calls: list[tuple[torch.Tensor | None, ...]] = []
    for sigma, source in clips:
        for first in (source, None):
            latents, mask = torch.randn(2, 2, 8, 3, 4, 6), torch.rand(2, 1, 8, 3, 4, 6)
            calls.append((latents[0], sigma, first, latents[1][:, None], mask, torch.randn(2, 4, 16)))
    return Spread(Teacher(config)), calls


def _frames() -> tuple[nn.Module, list[tuple[torch.Tensor | None, ...]]]:
    features = load_model("perceptual/squeeze", kind=SqueezePerceptual)
    decoder = FrameDecoder(FrameDecoderConfig(latent_channels=8, widths=(16, 32), blocks=(1, 1)))
    calls: list[tuple[torch.Tensor | None, ...]] = [
        (
            torch.randn(1, 8, 2, 8, 8), torch.rand(1, 9, 3, 64, 64), torch.rand(1, 9, 64, 64) < 0.5,
            torch.rand(1, 9, 3, 64, 64), torch.randperm(9)[:3], torch.tensor(0.1 * (i + 1)),
        )
        for i in range(3)
    ]  # fmt: skip
    module = Judgement(Contest(decoder, features), features)
    features.cuda()
    return module, calls


@pytest.mark.gpu
@pytest.mark.parametrize("make", [_teacher, _frames])
def test_replayed_steps_are_the_launched_ones(make):
    torch.manual_seed(0)
    module, calls = make()
    module = module.cuda()
    start = {name: value.clone() for name, value in module.state_dict().items()}

    def steps(call) -> list[list[torch.Tensor]]:
        module.load_state_dict(start)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
        seen = []
        for tensors in calls:
            with torch.autocast("cuda", torch.bfloat16):
                result = call(*(None if x is None else x.cuda() for x in tensors))
                loss = result[0] if isinstance(result, tuple) else result.float().square().mean()
            loss.backward()
            grads = [p.grad.clone() for p in module.parameters() if p.grad is not None]
            assert grads and any(float(g.abs().max()) > 0 for g in grads)
            seen.append([loss.detach().clone(), *grads])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return seen

    for launched, replayed in zip(steps(module), steps(RecordedCalls(module)), strict=True):
        for a, b in zip(launched, replayed, strict=True):
            torch.testing.assert_close(b, a, rtol=2e-2, atol=1e-2 * float(a.abs().max()) + 1e-7)
