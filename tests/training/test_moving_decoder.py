"""One decoder for still and moving scenes: material of both ways, times that matter, and a loss that falls."""

from dataclasses import replace

import pytest
import torch

from lyra.models.decoder import GaussianDecoder
from lyra.structures import InputError
from lyra.training import recipes
from lyra.training.tasks import decoder, moving_decoder
from lyra.training.tasks.decoder import told_times
from lyra.training.tasks.moving_decoder import MovingDecoderTask
from lyra.training.train import make_task
from lyra.worlds import sample_world

from .conftest import DECODER, tiny_decoder_recipe

CPU = torch.device("cpu")
TIMED = replace(DECODER, pooled_time=True)


@pytest.fixture
def task(tiny, monkeypatch, few_textures) -> MovingDecoderTask:
    def recipe(name: str, from_stage: str | None = None):
        assert name == recipes.DYNAMIC
        return replace(tiny_decoder_recipe(name, from_stage), network=lambda: TIMED)

    monkeypatch.setattr(decoder, "decoder_recipe", recipe)
    monkeypatch.setattr(moving_decoder, "load_textures", lambda path, split: few_textures[split])
    monkeypatch.setattr(moving_decoder, "CANDIDATES", 6)
    torch.manual_seed(0)
    made = make_task(tiny("decoder", recipe="dynamic", batch=1, steps=4), CPU)
    assert isinstance(made, MovingDecoderTask)
    return made


def scenes_of(task: MovingDecoderTask):
    return moving_decoder.MovingScenes(*task.moving_pool.store)


def check_material(task, few_textures):
    """Every moment is seen from near and from far."""
    scenes = scenes_of(task)
    assert scenes.latents.shape[:2] == (2, 2) and scenes.frames.shape[:3] == (2, 4, 17)
    away = scenes.c2w[..., :3, 3].norm(dim=-1)
    assert (away[:, :2, 0] < 1e-5).all() and (away[:, 2:, -1] < 1e-5).all(), "from the source, and to it"
    assert torch.allclose(scenes.c2w[:, :2].flip(2), scenes.c2w[:, 2:])
    # the teacher returns the cache, so a backward clip must show the first moment where its camera is the source's
    for item in range(2):
        source = scenes.source[item].float() / 255
        last = scenes.frames[item, 2:, -1].float() / 255
        first = scenes.frames[item, :2, 0].float() / 255
        for clip, moment in ((first, 0), (last, -1)):
            own, other = (clip - source[moment]).abs().mean(), (clip - source[moment].roll(16, -1)).abs().mean()
            assert own < 0.9 * other
    seeds = range(task.options.seed + 1_700_000_003, task.options.seed + 1_700_000_009)
    moving = [sample_world(seed, "train", few_textures["train"]).moving for seed in seeds]
    if any(moving):
        assert (scenes.source[:, 0].float() - scenes.source[:, -1].float()).abs().amax() > 20


def check_learning(task):
    """A few steps on one scene make it better, and times are learned from."""
    scenes = scenes_of(task).pick(torch.tensor([0]))
    optimiser = torch.optim.Adam(task.network.parameters(), lr=3e-3)
    errors = []
    for step in range(15):
        torch.manual_seed(step % 3)
        moment = (0, 8, 16)[step % 3]
        images, targets, _ = task._moving_pairs(task.network, scenes, moment, None)
        loss = (images - targets).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(loss.detach()))
    assert sum(errors[-3:]) < 0.8 * sum(errors[:3])
    times = task.network.times
    assert times is not None and float(times.target.weight.detach().abs().max()) > 0, (
        "the target's time has been learned from"
    )
    assert float(times.frames.weight.detach().abs().max()) > 0
    with torch.no_grad():
        _, early = task._moving_gaussians(task.network, scenes, 0)
        _, late = task._moving_gaussians(task.network, scenes, 16)
    assert not torch.equal(early.opacities, late.opacities)


def check_turns(task):
    """Still and moving steps take turns, and there are scores."""
    loss, numbers = task.loss(0, 0.0)
    assert "psnr" in numbers and loss.requires_grad
    loss, numbers = task.loss(1, 0.25)
    assert set(numbers) == {"psnr_moving", "perceptual_moving", "opacity_moving"} and bool(torch.isfinite(loss))
    values = task._moving_psnr("val", 1)
    assert values.shape == (1, 3) and bool(torch.isfinite(values).all()) and float(values.min()) > 3


def test_one_scene_is_imagined_both_ways_and_learned_from(task, few_textures):
    check_material(task, few_textures)
    check_turns(task)
    check_learning(task)


def test_a_decoder_without_times_goes_on_as_it_was():
    torch.manual_seed(1)
    still = GaussianDecoder(DECODER)
    timed = told_times(still)
    assert timed.config.pooled_time and set(timed.state_dict()) - set(still.state_dict()) == {
        f"times.{part}.{kind}" for part in ("frames", "target") for kind in ("weight", "bias")
    }
    for name, value in still.state_dict().items():
        assert torch.equal(timed.state_dict()[name], value)


def test_stores_are_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="leave --store out"):
        MovingDecoderTask(tiny("decoder", recipe="dynamic", steps=1, store=tmp_path), CPU)
