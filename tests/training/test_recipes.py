"""Recipes: the published numbers, where a stage begins and ends, and which frames and views are drawn."""

from dataclasses import replace

import pytest
import torch

from lyra.cli import main
from lyra.models.teacher import SwiftTeacher, TeacherConfig
from lyra.models.tokenizer import NanoTokenizer, NanoTokenizerConfig
from lyra.structures import InputError
from lyra.training.frame_choice import choose_frames, choose_targets, choose_view_count
from lyra.training.networks import shaped
from lyra.training.recipes import DecoderStage, decoder_recipe, describe, find_recipe

CPU = torch.device("cpu")


def test_official_stages_are_the_published_ones():
    """Steps, pixels, frames, targets, views, batch and pruning of the seven static stages; AdamW without average."""
    recipe = decoder_recipe("official")
    rows = [
        (s.steps, recipe.size[0] // s.reduce, s.frames, s.targets, s.views, s.batch, s.prune_ratio, s.opacity_weight)
        for s in recipe.stages
    ]
    assert rows == [
        (10_000, 176, 17, 17, (1, 1), 4, 0.0, 0.0),
        (2_500, 176, 49, 49, (1, 1), 4, 0.0, 0.0),
        (2_500, 352, 49, 49, (1, 1), 2, 0.0, 0.0),
        (2_500, 704, 49, 49, (1, 1), 1, 0.0, 0.0),
        (57_500, 704, 121, 9, (1, 1), 1, 0.0, 0.0),
        (7_000, 704, 121, 9, (1, 6), 1, 0.0, 0.0),
        (1_000, 704, 121, 9, (1, 6), 1, 0.8, 0.1),
    ]
    assert [s.sampling for s in recipe.stages] == ["uniform"] * 5 + ["exponential"] * 2
    assert (recipe.learning_rate, recipe.betas, recipe.weight_decay) == (1e-4, (0.9, 0.999), 0.01)
    assert recipe.schedule == "constant" and recipe.ema_decay == 0 and recipe.decay_vectors
    assert (recipe.perceptual, recipe.depth, recipe.gradient) == (0.5, 0.05, 0.0)


def test_a_stage_covers_its_share_of_any_budget():
    recipe = decoder_recipe("official")
    assert sum(stage.steps for stage in recipe.stages) == 83_000
    for step, name in [
        (0, "17-frames-176"), (9_999, "17-frames-176"), (10_000, "49-frames-176"), (17_500, "121-frames"),
        (74_999, "121-frames"), (75_000, "views"), (82_000, "pruned"), (83_000, "pruned"),
    ]:  # fmt: skip
        assert recipe.at(step / 83_000).name == name
    late = decoder_recipe("official", from_stage="views")
    assert [stage.name for stage in late.stages] == ["views", "pruned"]
    assert late.at(0.0).name == "views" and late.at(7 / 8).name == "pruned" and late.at(6.99 / 8).name == "views"


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match="no recipe 'huge'; choose from nano, progressive, official"):
        decoder_recipe("huge")
    with pytest.raises(InputError, match="no stage 'last'; its stages are small, large, views, pruned"):
        decoder_recipe("progressive", "last")
    with pytest.raises(InputError, match="teacher has no recipe 'official'"):
        find_recipe("teacher", "official")
    with pytest.raises(InputError, match="leave --from-stage out"):
        find_recipe("depth", "nano", "late")


def test_the_command_prints_the_list_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "decoder", "--recipe", "progressive", "--from-stage", "views", "--show"]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == describe(decoder_recipe("progressive", "views"))
    titles, views, pruned = (line.split() for line in printed.splitlines()[2:])
    assert titles[:4] == ["stage", "steps", "share", "pixels"] and views[:5] == ["views", "900", "75", "%", "256x448"]
    assert pruned[0] == "pruned" and "57" in pruned and not list(tmp_path.iterdir())
    assert main(["train", "depth", "--show"]) == 0
    assert "AdamW 0.0006" in capsys.readouterr().out
    assert main(["train", "depth", "--steps", "1"]) == 2
    assert "give one with --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "temporal", "channels"), [("nano", 8, 64), ("decode", 8, 64), ("8x8x8-32", 8, 32), ("4x8x8-32", 4, 32)]
)
def test_a_tokenizer_recipe_has_the_code_that_its_name_says(name, temporal, channels, capsys):
    recipe = find_recipe("tokenizer", name)
    made = NanoTokenizer(shaped(NanoTokenizerConfig(), recipe))
    assert (made.temporal, made.spatial, made.channels) == (temporal, 8, channels)
    assert made.latent_frames(17) == 1 + 16 // temporal
    assert main(["train", "tokenizer", "--recipe", name, "--show"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"recipe {name}: AdamW") and (f"latent_channels {channels}" in printed) == (channels < 64)
    # all candidates learn alike: what differs in their scores comes of the code
    plain = find_recipe("tokenizer", "nano")
    assert replace(recipe, name="nano", shape={}, pool=plain.pool) == plain


def test_the_large_teacher_has_two_to_three_times_the_parameters():
    counts = []
    for name in ("nano", "large"):
        with torch.device("meta"):
            made = SwiftTeacher(shaped(TeacherConfig(), find_recipe("teacher", name)))
        counts.append(sum(parameter.numel() for parameter in made.parameters()))
    assert counts[0] == 20_991_872 and 2 < counts[1] / counts[0] < 3
    assert "heads 8, layers 12" in describe(find_recipe("teacher", "large"))


def test_exponential_sampling_follows_its_law_without_repetition():
    torch.manual_seed(0)
    first = torch.stack([choose_frames("exponential", 1, 5, CPU)[0] for _ in range(4000)])
    expected = torch.exp(3 * torch.linspace(0, 1, 5))
    share = torch.bincount(first, minlength=5) / 4000
    assert torch.allclose(share, expected / expected.sum(), atol=0.03)
    for sampling in ("uniform", "exponential"):
        assert sorted(choose_frames(sampling, 9, 9, CPU).tolist()) == list(range(9))
        with pytest.raises(ValueError, match="10 different frames of 9"):
            choose_frames(sampling, 10, 9, CPU)
    late = choose_frames("late", 4000, 17, CPU)
    assert late.min() >= 0 and late.max() == 16 and 9.5 < late.float().mean() < 10.7  # 17 / 1.6 - 1 / 2 = 10.1


def test_targets_per_view_show_the_same_frames_everywhere():
    torch.manual_seed(0)
    stage = DecoderStage("x", 1, frames=20, targets=4, per_view=True, source_targets=0, sampling="uniform")
    view, frame = choose_targets(stage, 3, CPU)
    assert view.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert frame[:4].tolist() == frame[4:8].tolist() == frame[8:].tolist() and len(set(frame[:4].tolist())) == 4
    view, frame = choose_targets(replace(stage, per_view=False, source_targets=2), 3, CPU)
    assert len(view) == len(frame) == 4 and frame[:2].tolist() == [0, 0] and view.max() < 3


def test_view_counts_are_uniform_or_all():
    generator = torch.Generator().manual_seed(0)
    stage = DecoderStage("x", 1, views=(2, 5))
    counts = torch.bincount(torch.tensor([choose_view_count(stage, generator) for _ in range(2000)]), minlength=6)
    assert counts[:2].sum() == 0 and (counts[2:] - 500).abs().max() < 80
    often = replace(stage, all_views=0.5)
    share = sum(choose_view_count(often, generator) == 5 for _ in range(2000)) / 2000
    assert abs(share - (0.5 + 0.5 / 4)) < 0.04
