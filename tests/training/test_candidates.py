"""Latents of other forms than the embedded ones: tokenizers learn them, teachers and frame decoders follow."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lyra.hub import list_models, load_model, save_model
from lyra.models.depth import DepthNet
from lyra.models.teacher import Teacher
from lyra.models.text import TextEncoder
from lyra.models.tokenizer import FrameDecoder, NanoTokenizer, NanoTokenizerConfig
from lyra.structures import InputError
from lyra.training import networks
from lyra.training.loop import _groups as parameter_groups
from lyra.training.loop import run_loop
from lyra.training.recipes import find_recipe
from lyra.training.tasks import teacher as teacher_task
from lyra.training.train import make_task

CPU = torch.device("cpu")
FOUR = NanoTokenizerConfig(latent_channels=6, widths=(16, 32), blocks=(1, 1), temporal_merge=1)


def quiet(line: str) -> None:
    """Take a log line and say nothing."""


@pytest.fixture
def four(tiny_models: Path, tmp_path: Path) -> Path:
    """A folder like that of a candidate's run: a tokenizer of 4x8x8, and depth and text as in ``tiny_models``."""
    torch.manual_seed(0)
    folder = tmp_path / "four"
    coder = NanoTokenizer(FOUR)
    save_model(coder, "tokenizer/nano", FOUR, storage="fp32", weights_dir=folder)
    for name, kind in (("depth/nano", DepthNet), ("text/nano", TextEncoder)):
        network = load_model(name, weights_dir=tiny_models, kind=kind)
        save_model(network, name, network.config, storage="fp32", weights_dir=folder)
    return folder


@pytest.mark.parametrize(("recipe", "temporal"), [("8x8x8-32", 8), ("4x8x8-32", 4)])
def test_a_tokenizer_of_another_code_trains_packs_and_goes_on(recipe, temporal, tiny):
    options = tiny("tokenizer", steps=2, recipe=recipe)
    task = make_task(options, CPU)
    assert task.model.config.latent_channels == 32 and task.model.temporal == temporal
    run_loop(task, options, quiet)
    (card,) = list_models(options.out)
    assert card.config["temporal_merge"] == temporal // 4 and card.recipe["options"]["recipe"] == recipe
    assert {"psnr_worlds", "psnr_photos", "psnr_stills"} <= set(card.scores)
    packed = load_model("tokenizer/nano", weights_dir=options.out, kind=NanoTokenizer)
    assert packed.config == task.model.config and bool((packed.latent_std != 1).all())
    # what has another code is refused; plain recipes go on with any
    start = str(options.out)
    with pytest.raises(InputError, match=r"latent_channels 32, .* has 8; leave --init out"):
        make_task(tiny("tokenizer", steps=1, recipe=recipe, init=str(options.models)), CPU)
    for known in (recipe, "nano", "decode"):
        again = make_task(tiny("tokenizer", steps=1, recipe=known, init=start), CPU)
        assert again.model.config == packed.config


def test_a_teacher_learns_one_clip_of_five_latent_frames_by_heart(tiny, four, monkeypatch):
    task = make_task(tiny("teacher", steps=1, models=four), CPU)
    monkeypatch.setattr(teacher_task, "HIGH_LEVELS", 0.2)
    config = task.model.config
    assert (config.latent_channels, config.mask_channels) == (6, 4)
    clean, source, warped, mask, _ = task.pool.store
    assert clean.shape[1:] == (6, 5, 4, 8) and source.shape[1:] == (6, 1, 4, 8)
    assert warped.shape[1:] == (1, 6, 5, 4, 8) and mask.shape[1:] == (1, 4, 5, 4, 8)
    task._refresh = lambda *_: None  # the pool stays as it is

    @torch.no_grad()
    def examine() -> float:
        marks = []
        for question in range(1, 9):
            torch.manual_seed(question)
            marks.append(float(task.loss(question, 0.5)[0]))
        return sum(marks) / len(marks)

    before = examine()
    task.learning_rate = 1e-2
    groups = parameter_groups(task)
    for group in groups:
        group["lr"] = group["base_lr"]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99))
    for step in range(120):
        optimizer.zero_grad()
        task.loss(step, 0.5)[0].backward()
        torch.nn.utils.clip_grad_norm_(task.network.parameters(), 1.0)
        optimizer.step()
    assert examine() < 0.7 * before


@torch.no_grad()
def test_the_masks_of_a_latent_frame_are_those_of_its_four_pictures(tiny, four):
    task = make_task(tiny("teacher", steps=1, models=four), CPU)
    mask = torch.zeros(1, 17, 32, 64, dtype=torch.bool)
    mask[:, 7] = True  # the third of the pictures 5 to 8, which latent frame 2 holds
    inputs = teacher_task.teacher_inputs(task.tokenizer, None, torch.rand(1, 17, 3, 32, 64), mask)
    shown = (inputs.mask[0, 0] > 0).flatten(2).all(dim=2).nonzero().tolist()
    assert inputs.mask.shape == (1, 1, 4, 5, 4, 8) and shown == [[2, 2]]
    share = task._holes(inputs)[0, 0].flatten(1).mean(dim=1)
    assert share.tolist() == pytest.approx([1, 0.75, 1, 1])


def test_scores_compare_a_teacher_with_the_warp_and_with_its_own_code(tiny, four):
    """An untrained teacher shows the cache as the tokenizer codes it; the true clips as coded stand beside it."""
    options = tiny("teacher", steps=1, models=four)
    task = make_task(options, CPU)
    scores = task.scores()
    names = {"psnr_warp", "psnr_steps1", "psnr_coded", "seconds_per_clip"}
    assert names <= set(scores) and all(math.isfinite(value) for value in scores.values())
    assert scores["seconds_per_clip"] > 0
    assert scores["psnr_coded"] > scores["psnr_steps1"]  # known are the true frames
    run_loop(task, options, quiet)
    (card,) = list_models(options.out)
    assert names <= set(card.scores) and card.config["mask_channels"] == 4


def test_a_recipe_makes_a_larger_teacher(tiny, monkeypatch):
    large = find_recipe("teacher", "large")
    small = replace(large, shape={"layers": 3})  # the recipe at toy size
    monkeypatch.setattr(teacher_task, "find_recipe", lambda *_: small)
    task = make_task(tiny("teacher", steps=1, recipe="large"), CPU)
    assert task.model.config.layers == 3 and len(task.model.backbone.transformer_blocks) == 3
    assert math.isfinite(float(task.loss(0, 0.0)[0].detach()))


def test_a_start_of_another_size_than_the_recipes_is_refused(tiny, tiny_models, tmp_path):
    own = load_model("teacher/nano", weights_dir=tiny_models, kind=Teacher)
    save_model(own, "teacher/nano", own.config, storage="fp32", folder=tmp_path / "own")
    with pytest.raises(InputError, match=r"the recipe large has heads 8, .* has 2; leave --init out"):
        make_task(tiny("teacher", steps=1, recipe="large", init=str(tmp_path / "own")), CPU)


def test_networks_of_another_tokenizer_are_refused_with_a_remedy(tiny, tiny_models, four, tmp_path, monkeypatch):
    monkeypatch.setenv("LYRA_WEIGHTS_DIR", str(tiny_models))
    teacher = load_model("teacher/nano", weights_dir=tiny_models, kind=Teacher)
    save_model(teacher, "teacher/nano", teacher.config, storage="fp32", folder=tmp_path / "teacher")
    words = r"teacher knows latents of 8 channels for 8 pictures, .* makes 6 channels for 4; give a teacher"
    with pytest.raises(InputError, match=words):
        make_task(tiny("teacher", steps=1, models=four, init=str(tmp_path / "teacher")), CPU)
    with pytest.raises(InputError, match=words):
        make_task(tiny("frames", steps=1, models=four), CPU)
    with pytest.raises(InputError, match=r"8 channels for 8 pictures, .* 6 channels for 4, for which no recipe makes"):
        make_task(tiny("decoder", steps=1, models=four), CPU)
    with pytest.raises(InputError, match="frame decoder knows latents of 8 channels for 8 pictures"):
        networks.load_frame_decoder(NanoTokenizer(FOUR), tiny("decoder", steps=1), CPU)


def test_frames_are_learned_of_five_latent_frames(tiny, four):
    teacher = Teacher(replace(make_task(tiny("teacher", steps=1, models=four), CPU).model.config, layers=1))
    teacher.start_as_identity()
    save_model(teacher, "teacher/nano", teacher.config, storage="fp32", weights_dir=four)
    options = tiny("frames", steps=2, models=four)
    run_loop(make_task(options, CPU), options, quiet)
    made = load_model("frames/nano", weights_dir=options.out, kind=FrameDecoder)
    assert made.config.temporal_merge == 1 and made.config.latent_channels == 6
    (card,) = list_models(options.out)
    assert {"psnr_warp", "psnr_plain", "psnr_told"} <= set(card.scores)
