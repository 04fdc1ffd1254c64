"""The published road at the smallest size: what every way of holding the networks must have in common."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lyra.cli.published import PublishedChoices
from lyra.hub import config_to_dict
from lyra.hub.memory_plan import GIB, Choice
from lyra.hub.model_folder import DESCRIPTION_FILE, NewModelFolder, load_network
from lyra.models.decoder import GaussianDecoder
from lyra.models.teacher import PublishedTeacher
from lyra.models.teacher.null_text import drop_text
from lyra.models.teacher.offload import store_in_8_bits
from lyra.models.teacher.speed import multiply_in_8_bits
from lyra.models.tokenizer import CosmosTokenizer
from lyra.preset import Preset, preset_of, published, toy
from lyra.published import LoadOptions, PublishedPipeline, Ranks, quality_of
from lyra.published.memory import device_memory
from lyra.results import GenerateOptions, Result
from lyra.stages import (
    PublishedSampling,
    decode_published,
    imagine_published,
    published_inputs,
    start_cache,
    warp_published,
)
from lyra.structures import InputError

OPTIONS = GenerateOptions(seed=3, steps=2)


def opened(folder: Path, **choices: object) -> PublishedPipeline:
    return PublishedPipeline.open(folder, LoadOptions(device="cpu", **choices))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def result(toy_model: Path, photo: Path) -> Result:
    return opened(toy_model).run(photo, OPTIONS)


def test_qualities() -> None:
    passes = {name: quality_of(name).sampling.passes(0.0002, 80.0) for name in ("published", "balanced", "draft")}
    assert passes == {"published": 70, "balanced": 16, "draft": 10}
    assert [quality_of(name).fast for name in passes] == [False, True, True]
    with pytest.raises(InputError, match="choose from published, balanced, draft"):
        quality_of("best")


def test_every_station_is_there(result: Result) -> None:
    assert [path.name for path in result.latents.trajectories] == list(toy().trajectories)
    assert result.latents.trajectories[0].name == "clockwise" and len(result.latents.trajectories[0].cameras) == 17
    assert result.latents.z.shape == (6, 4, 3, 8, 12) and result.latents.z.isfinite().all()
    assert result.frames.shape == (6, 3, 3, 64, 96) and result.frames.min() >= 0 and result.frames.max() <= 1
    assert [len(c.warped) for c in result.conditionings] == [3] * 6
    count = int(6 * 17 * 8 * 12 * (1 - 0.8))
    assert len(result.scene.gaussians[0]) == count and (result.scene.gaussians[0].opacities.diff() <= 0).all()
    assert [render.rgb.shape for render in result.renders] == [(3, 3, 64, 96)] * 6
    assert result.renders[0].rgb.max() > 0.99, "the background is white"
    assert set(result.models) == {
        "depth/nano", "tokenizer/cosmos-cv8x8x8-720p", "teacher/gen3c-cosmos-7b", "decoder/lyra-static",
    }  # fmt: skip


def test_the_clips_are_those_of_the_stages_by_hand(result: Result, toy_model: Path) -> None:
    pipeline = opened(toy_model)
    cache = start_cache(result.views, pipeline.preset.cache)
    number = 2
    whole = warp_published(cache, result.latents.trajectories[number], result.views.frames.rgb[0])
    inputs = published_inputs(whole, pipeline.teacher.config, pipeline.tokenizer, 3)
    with pipeline._with_teacher():
        clip = imagine_published(inputs, pipeline.teacher, PublishedSampling(2), 3)
    torch.testing.assert_close(pipeline.tokenizer.denormalize(clip)[0], result.latents.z[number])
    assert torch.equal(result.conditionings[number].warped, whole.warped[[0, 8, 16]])
    pictures = pipeline.tokenizer.decode(result.latents.z[number][None])[0].transpose(0, 1).clamp(0, 1)
    torch.testing.assert_close(result.frames[number], pictures[[0, 8, 16]])


@pytest.mark.parametrize(
    "choice",
    [
        Choice("streamed", lean=True, clip_together=1, tokens_together=40),
        Choice("resident", lean=True, clip_together=2),
    ],
    ids=["smallest", "between"],
)
def test_holding_the_networks_otherwise_changes_nothing(
    toy_model: Path, photo: Path, result: Result, choice: Choice
) -> None:
    pipeline = opened(toy_model)
    pipeline.plan = replace(pipeline.plan, choice=choice)
    pipeline.tokenizer.together, pipeline.decoder.trunk.together = choice.clip_together, choice.tokens_together
    again = pipeline.run(photo, OPTIONS)
    torch.testing.assert_close(again.latents.z, result.latents.z, rtol=1e-4, atol=1e-4)
    for name in ("means", "opacities", "colors"):
        one, other = (getattr(r.scene.gaussians[0], name) for r in (again, result))
        # points that cover gaps are pushed back in steps, and now and then rounding decides how many
        assert (one - other).abs().flatten().quantile(0.97) < 1e-3, name


def test_a_scene_is_refined_only_if_that_is_asked_for(toy_model: Path, photo: Path, result: Result) -> None:
    assert not {"recolor", "refine"} & {stage.name for stage in result.stages}
    refined = opened(toy_model).run(photo, replace(OPTIONS, refine=20))
    assert [stage.name for stage in refined.stages][-2:] == ["refine", "render"]
    torch.testing.assert_close(refined.frames, result.frames)

    def error(made: Result) -> float:
        frames = torch.stack([render.rgb for render in made.renders])[:, 1:]  # rays, before a white background
        return float((frames - made.frames[:, 1:]).square().mean())

    assert error(refined) < 0.97 * error(result), "random weights make tiny, faint Gaussians before a white background"
    assert len(refined.scene.gaussians[0]) == len(result.scene.gaussians[0])


def test_without_a_text_the_cross_attention_is_not_even_loaded(toy_model: Path, photo: Path, result: Result) -> None:
    names = []
    for text in (False, True):
        pipeline = opened(toy_model, text=text)
        again = pipeline.run(photo, OPTIONS)
        torch.testing.assert_close(again.latents.z, result.latents.z, rtol=0, atol=0)
        names.append({name for name in pipeline.teacher.state_dict() if ".attn2." in name or ".norm2." in name})
    assert not names[0] and len(names[1]) == pipeline.teacher.config.layers * 8
    assert opened(toy_model).plan.teacher < opened(toy_model, text=True).plan.teacher
    closed = opened(toy_model)
    closed.texts = (torch.ones(1, closed.teacher.config.text_dim), None)
    with pytest.raises(InputError, match="open it with text=True"):
        closed.run(photo, OPTIONS)


def test_8_bit_products_are_stored_as_the_network_would_make_them(toy_model: Path, photo: Path, result: Result) -> None:
    pipeline = opened(toy_model, fast=True)
    assert not pipeline.plan.choice.products, "the CPU gains nothing"
    pipeline.plan = replace(pipeline.plan, choice=Choice(products=True))
    again = pipeline.run(photo, OPTIONS)
    expected = load_network(toy_model / "teacher", PublishedTeacher, "cpu", torch.float32)
    multiply_in_8_bits(expected)
    drop_text(expected)
    state = expected.state_dict()
    found = pipeline.teacher.state_dict()
    assert set(found) == set(state)
    for name, tensor in found.items():
        assert torch.equal(tensor.float(), state[name].float()), name
    change = (again.latents.z - result.latents.z).abs().mean() / result.latents.z.std()
    assert 1e-4 < change < 0.5


def test_8_bit_weights_round_the_clips(toy_model: Path, photo: Path, result: Result) -> None:
    pipeline = opened(toy_model, eight_bits=True)
    again = pipeline.run(photo, OPTIONS)
    afterwards = load_network(toy_model / "teacher", PublishedTeacher, "cpu", torch.float32)
    drop_text(afterwards)
    store_in_8_bits(afterwards, torch.float32)
    expected = afterwards.state_dict()
    for name, tensor in pipeline.teacher.state_dict().items():
        assert tensor.dtype == expected[name].dtype and torch.equal(tensor.float(), expected[name].float()), name
    assert sum(tensor.dtype == torch.float8_e4m3fn for tensor in expected.values()) > 10
    change = (again.latents.z - result.latents.z).abs().mean() / result.latents.z.std()
    assert 1e-4 < change < 0.5


def test_the_teacher_is_there_only_in_its_phase_where_memory_is_short(toy_model: Path) -> None:
    pipeline = opened(toy_model)
    assert pipeline.teacher.backbone.proj_out.weight.is_meta
    with pipeline._with_teacher():
        assert not pipeline.teacher.backbone.proj_out.weight.is_meta
    assert not pipeline.teacher.backbone.proj_out.weight.is_meta, "there is room for it to stay"
    short = opened(toy_model)
    short.plan = replace(short.plan, teacher=short.plan.device_limit)
    with short._with_teacher():
        assert isinstance(short.teacher, PublishedTeacher) and not short.teacher.backbone.proj_out.weight.is_meta
    assert short.teacher.backbone.proj_out.weight.is_meta


def test_streaming_without_its_package_is_refused_before_weights_are_loaded(
    toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lyra.models.teacher import offload
    from lyra.published import pipeline as module

    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("a network was loaded")

    plan = opened(toy_model).plan
    monkeypatch.setattr(module, "plan_memory", lambda *_: replace(plan, choice=Choice("streamed")))
    monkeypatch.setattr(offload.importlib.util, "find_spec", lambda name: None)
    for name in ("load_model", "load_network"):
        monkeypatch.setattr(module, name, loaded)
    with pytest.raises(InputError, match="accelerate; pip install"):
        opened(toy_model)


def test_a_processor_shares_its_memory_among_processes() -> None:
    here = torch.device("cpu")
    assert device_memory(here, None, 5 * GIB) == 5 * GIB and device_memory(here, 3.0, 5 * GIB) == 3 * GIB
    with pytest.raises(InputError, match="above 0"):
        device_memory(here, 0.0, 5 * GIB)


def test_every_time_of_a_moving_scene_is_that_of_a_run_of_its_own(toy_model: Path, result: Result) -> None:
    tokenizer = load_network(toy_model / "tokenizer", CosmosTokenizer, "cpu", torch.float32)
    decoder = load_network(toy_model / "decoder-dynamic", GaussianDecoder, "cpu", torch.float32)
    latents, camera, coded = result.latents, result.views.cameras[0], []
    encode_signed = tokenizer.encode_signed

    def counted(clip: torch.Tensor) -> torch.Tensor:
        coded.append(clip.shape)
        return encode_signed(clip)

    tokenizer.encode_signed = counted  # type: ignore[method-assign]
    whole = decode_published(latents, decoder, tokenizer, camera, (0, 8, 16), 24.0)
    assert len(coded) == 6 * 2 + 3 * 2, "rays of six views once, then the times of the source and of each target"
    for target, found in zip((0, 8, 16), whole.gaussians, strict=True):
        alone = decode_published(latents, decoder, tokenizer, camera, (target,), 24.0).gaussians[0]
        torch.testing.assert_close(found.means, alone.means, rtol=0, atol=0)
    assert not torch.equal(whole.gaussians[1].means, whole.gaussians[2].means)


def test_a_dynamic_decoder_takes_the_same_road(toy_model: Path, photo: Path, tmp_path: Path, result: Result) -> None:
    with NewModelFolder(tmp_path / "model") as folder:
        for role in ("tokenizer", "teacher", "decoder-dynamic"):
            (folder / role).symlink_to(toy_model / role)
        NewModelFolder.describe(folder, {"preset": config_to_dict(toy("dynamic"))})
    moving = opened(tmp_path / "model").run(photo, OPTIONS)
    torch.testing.assert_close(moving.latents.z, result.latents.z)
    assert len(moving.scene.gaussians[0]) == len(result.scene.gaussians[0])
    assert not torch.equal(moving.scene.gaussians[0].means, result.scene.gaussians[0].means)


def test_a_film_goes_on_from_its_own_last_frame(toy_model: Path, photo: Path) -> None:
    pipeline, heard = opened(toy_model), []
    grown: list[int] = []
    from lyra.published import pipeline as module

    original = module.warp_published

    def warp(cache, trajectory, source, from_file=True):
        seen = original(cache, trajectory, source, from_file)
        grown.append((len(cache), len(trajectory.cameras), from_file, source.clone(), len(seen.older)))
        return seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "warp_published", warp)
        chunks = list(pipeline.film(photo, "left", 3, OPTIONS, lambda report: heard.append(report.detail)))
    assert [len(chunk) for chunk in chunks] == [17, 16, 16]
    assert [entry[:3] for entry in grown] == [(1, 17, True), (2, 17, False), (2, 17, False)]
    assert [entry[4] for entry in grown] == [0, 1, 1]
    assert torch.equal(grown[1][3], (chunks[0][-1] * 255).floor() / 255)
    assert "6/6" in heard
    single = next(iter(pipeline.film(photo, "left", 1, OPTIONS)))
    assert single.shape == chunks[0].shape and not torch.equal(single, chunks[0]), "the movement is spread over all"
    with pytest.raises(InputError, match="give at least 1"):
        next(iter(pipeline.film(photo, "left", 0)))


def test_presets_are_stored_whole_and_say_what_is_wrong(tmp_path: Path) -> None:
    for preset in (toy(), published("dynamic"), Preset()):
        folder = tmp_path / preset.name
        with NewModelFolder(folder) as inside:
            NewModelFolder.describe(inside, {"preset": config_to_dict(preset)})
        assert preset_of(folder) == preset
    assert (published().frames, published().height, published().width) == (121, 704, 1280)
    assert published().grid(1000, 2000) == (704, 1280) and Preset().grid(1000, 2000) == (448, 256)
    (folder / DESCRIPTION_FILE).write_text('{"preset": {"frames": "many"}}')
    with pytest.raises(InputError, match=r"preset\.frames: expected int"):
        preset_of(folder)
    with pytest.raises(ValueError, match="kept frames"):
        dataclasses.replace(toy(), keep=(0, 17))


def test_one_process_alone_does_all_the_work() -> None:
    ranks = Ranks()
    assert list(ranks.mine(6)) == list(range(6)) and ranks.leads
    assert [list(Ranks(rank, 4).mine(6)) for rank in range(4)] == [[0, 4], [1, 5], [2], [3]]
    parts = {2: torch.ones(3), 0: torch.zeros(3), 1: torch.full((3,), 5.0)}
    assert ranks.together(parts, 3).tolist() == [[0] * 3, [5] * 3, [1] * 3]
    with pytest.raises(InputError, match="7 processes for 6 trajectories"):
        Ranks(0, 7).require_work([0] * 6)


def test_a_process_follows_only_where_torchrun_started_it(monkeypatch: pytest.MonkeyPatch, toy_model: Path) -> None:
    choices = PublishedChoices(toy_model, LoadOptions(device="cpu"), "published", (None, None))
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert Ranks.started() == (0, 1) and not choices.follows()
    monkeypatch.setenv("RANK", "1")  # other programmes set it too; alone it would mean work without a result
    assert Ranks.started() == (0, 1) and not choices.follows()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Ranks.started() == (1, 2) and choices.follows()
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(InputError, match="start the job with torchrun"):
        choices.follows()
