"""The critic: it learns, it is fooled through its frozen form only, and weights say where it looks."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lyra.hub import load_model
from lyra.models.perceptual import SqueezePerceptual
from lyra.training.adversary import TAPS, Adversary, critic_loss, deception_loss


@pytest.fixture(scope="module")
def features() -> SqueezePerceptual:
    return load_model("perceptual/squeeze", kind=SqueezePerceptual)


def stripes(count: int, seed: int) -> Tensor:
    """[count, 3, 64, 64] sharp random stripes."""
    generator = torch.Generator().manual_seed(seed)
    rows = (torch.rand(count, 3, 1, 16, generator=generator) > 0.5).float().repeat_interleave(4, dim=3)
    return rows.expand(-1, -1, 64, -1).contiguous()


def blurred(pictures: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(pictures, (3, 3, 3, 3), mode="replicate"), 7, 1)


def test_the_critic_learns_to_tell_sharp_from_blurred(features: SqueezePerceptual) -> None:
    torch.manual_seed(0)
    critic = Adversary(features, width=16)
    optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3)
    everywhere = torch.ones(4, 64, 64)
    for step in range(25):
        true = stripes(4, step)
        loss = critic_loss(critic(true, everywhere), critic(blurred(true), everywhere), everywhere)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen = stripes(4, 999)
    with torch.no_grad():
        real, imagined = critic(unseen, everywhere), critic(blurred(unseen), everywhere)
    assert all(float(r.mean()) > float(i.mean()) + 0.5 for r, i in zip(real, imagined, strict=True))
    assert float(deception_loss(real, everywhere)) < float(deception_loss(imagined, everywhere)) - 0.5


def test_the_frozen_critic_moves_pictures_but_not_its_heads(features: SqueezePerceptual) -> None:
    critic = Adversary(features, width=8)
    frames = stripes(1, 0).requires_grad_()
    everywhere = torch.ones(1, 64, 64)
    deception_loss(critic.frozen(frames, everywhere), everywhere).backward()
    assert frames.grad is not None and float(frames.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in critic.parameters())
    for plain, frozen in zip(critic(frames, everywhere), critic.frozen(frames, everywhere), strict=True):
        torch.testing.assert_close(plain, frozen)


def test_pixels_without_weight_do_not_count() -> None:
    scores = [torch.zeros(1, 8, 8) for _ in TAPS]
    for map_ in scores:
        map_[..., :4] = -5.0
    right = torch.zeros(1, 64, 64)
    right[..., 32:] = 1
    assert float(deception_loss(scores, right)) == 0.0
    assert float(deception_loss(scores, 1 - right)) == 5.0


def test_the_features_are_not_saved_with_the_heads(features: SqueezePerceptual) -> None:
    critic = Adversary(features)
    assert all(name.startswith("heads.") for name in critic.state_dict())
    assert sum(parameter.numel() for parameter in critic.parameters()) < 250_000
