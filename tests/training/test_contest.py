"""Frames pulled towards the truth and towards what a critic takes for true, in a fixed proportion."""

import pytest
import torch

from lyra.hub import load_model
from lyra.models.tokenizer import FrameDecoder, FrameDecoderConfig
from lyra.training.adversary import critic_loss, deception_loss
from lyra.training.contest import Contest, blended_direction


def test_the_second_pull_has_the_wanted_length_and_its_own_direction():
    torch.manual_seed(0)
    frames = torch.randn(2, 3, 4, 4, requires_grad=True)
    first, second = torch.randn_like(frames), 1e4 * torch.randn_like(frames)
    direction = blended_direction((frames * first).sum(), (frames * second).sum(), frames, 0.35)
    rest = direction - first
    assert float(rest.norm() / first.norm()) == pytest.approx(0.35, rel=1e-5)
    assert float(torch.cosine_similarity(rest.flatten(), second.flatten(), dim=0)) == pytest.approx(1.0, abs=1e-5)
    none = blended_direction((frames * first).sum(), (frames * 0).sum(), frames, 0.35)
    torch.testing.assert_close(none, first)


def test_the_critic_learns_from_its_own_loss_and_the_decoder_only_from_being_judged():
    torch.manual_seed(0)
    decoder = FrameDecoder(FrameDecoderConfig(latent_channels=8, widths=(16, 32), blocks=(1, 1)))
    contest = Contest(decoder, load_model("perceptual/squeeze"))
    z, warped, truth = torch.randn(1, 8, 2, 4, 4), torch.rand(1, 9, 3, 32, 32), torch.rand(1, 9, 3, 32, 32)
    mask = torch.rand(1, 9, 32, 32) < 0.5
    verdict = contest(z, warped, mask, truth, torch.tensor([1, 4]))
    weights = torch.ones(2, 32, 32)

    def moved(loss: torch.Tensor) -> set[str]:
        contest.zero_grad(set_to_none=True)
        loss.backward(retain_graph=True)
        return {name.split(".")[0] for name, p in contest.named_parameters() if p.grad is not None and p.grad.any()}

    assert moved(critic_loss(verdict.real, verdict.imagined, weights)) == {"adversary"}
    assert moved(deception_loss(verdict.judged, weights)) == {"decoder"}
    for judged, imagined in zip(verdict.judged, verdict.imagined, strict=True):
        assert torch.equal(judged, imagined)
