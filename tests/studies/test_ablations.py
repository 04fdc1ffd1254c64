"""Ablations: every variant differs in what its name says, all see the same scenes, and what is finished stays."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from lyra.cli import main
from lyra.hub import load_model
from lyra.models.decoder import Anchor, DecoderConfig, GaussianBatch, GaussianDecoder, nano
from lyra.structures import InputError
from lyra.studies import ablations
from lyra.studies.ablation_report import ablation_table, sign
from lyra.studies.ablations import AblationsProtocol, gaussians_of, run_ablations, variant_recipe
from lyra.studies.variants import ABLATIONS
from lyra.training.imagined_scenes import ImaginedScenes
from lyra.training.recipes import decoder_recipe

TINY = DecoderConfig(
    latent_channels=8, width=32, depth=2, heads=2, attention_every=1, zero_init_residual=True, rays="pooled",
    ray_dtype="float32", zero_init_rays=False, time_layers=False, guides=True, head="anchored", prune_ratio=0.0,
    anchors=(Anchor(0, 1, "first"), Anchor(16, 2, "all")), feature_channels=8, hidden_channels=16, ssm_head=16,
)  # fmt: skip
CHOSEN = (
    "no-fusion", "no-fusion-pruned", "alone", "trunk-apart", "both", "pixels", "official-no-fusion", "official-alone",
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny_recipe() -> Iterator[None]:
    recipe = decoder_recipe("nano")
    recipe = replace(recipe, network=lambda: TINY, stages=(replace(recipe.stages[0], targets=3),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablations, "decoder_recipe", lambda name: recipe)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> tuple[Path, ...]:
    """Two pictures of smooth noise, neither of the protocol's shape."""
    folder, generator = tmp_path_factory.mktemp("photos"), torch.Generator().manual_seed(4)
    files = tuple(folder / name for name in ("wide.png", "tall.png"))
    for file, size in zip(files, ((120, 50), (50, 90)), strict=True):
        noise = (torch.rand(5, 7, 3, generator=generator) * 255).byte().numpy()
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(file)
    return files


@pytest.fixture(scope="module")
def protocol(tiny_weights, tmp_path_factory, photos) -> AblationsProtocol:
    return AblationsProtocol(
        out=tmp_path_factory.mktemp("study") / "runs", variants=CHOSEN, steps=2, count=1, photos=photos, scenes=2,
        captured=1, gaussians=2000, height=32, width=64, stride=8, models=tiny_weights, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(protocol, tiny_recipe) -> dict:
    return run_ablations(protocol, lambda line: None)


def test_every_variant_is_scored_beside_its_base(report, protocol):
    assert list(report["variants"]) == [
        "full", "no-fusion", "no-fusion-pruned", "alone", "trunk-apart", "both", "no-pruning", "pixels", "official",
        "official-no-fusion", "official-alone",
    ]  # fmt: skip
    apart = 6 * (32 * 64 + 16 * 32)
    unpruned = {"no-pruning": 32 * 64 + 6 * 16 * 32, "no-fusion": apart, "alone": apart}
    for name, row in report["variants"].items():
        assert row["steps"] == 2 and row["seconds_per_step"] > 0
        assert row["gaussians"] == unpruned.get(name, 2000)
        assert all(3 < row[kind]["psnr_all"] < 60 for kind in ("true", "teacher", "photos"))
    assert len({row["teacher"]["psnr_all"] for row in report["variants"].values()}) >= 3
    assert report["teacher"]["psnr_all"] == pytest.approx(ablations._json(protocol.out / "teacher.json")["psnr_all"])
    assert len({row["photos"]["psnr_all"] for row in report["variants"].values()}) >= 3
    assert len(report["settings"]["photos"]) == 2 and all(len(digits) == 12 for digits in report["settings"]["photos"])
    text = ablation_table(report)
    photo = report["variants"]["official"]["photos"]
    assert f"| {photo['psnr_all']:6.2f} {photo['ssim_all']:6.3f} {photo['lpips_all']:8.3f} " in text
    assert len({line.index("|", 80) for line in text.splitlines() if "official" in line or "photo" in line}) == 1
    assert text.count("\n") == 13 and text.count("17.730") == 4 and "nan" not in text


def test_the_packed_networks_are_what_was_asked_for(report, protocol):
    def config(name: str) -> DecoderConfig:
        return load_model("decoder/nano", weights_dir=protocol.out / name, kind=GaussianDecoder).config

    assert config("full") == replace(TINY, prune_ratio=config("full").prune_ratio)
    assert config("no-fusion-pruned").views_apart and config("official-no-fusion").views_apart
    assert config("alone") == config("no-fusion") and config("official-alone") == config("official-no-fusion")
    assert not config("trunk-apart").fuse_views and not config("trunk-apart").views_apart
    assert config("no-pruning").prune_ratio == config("no-fusion").prune_ratio == 0 and config("no-fusion").views_apart
    assert config("pixels").latent_channels == 3 and config("official").head == "official"
    assert not list(protocol.out.glob("*/checkpoint*")), "what is finished needs no checkpoint"


def test_a_second_command_keeps_what_is_finished_and_adds_the_rest(report, protocol, tiny_recipe, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in protocol.out.glob("*/result.json")}
    monkeypatch.setattr(ablations, "_Bench", None)  # nothing is made again
    again = run_ablations(protocol, lambda line: None)
    assert again == json.loads(json.dumps(report))
    monkeypatch.undo()
    (protocol.out / "official" / "result.json").unlink()
    said: list[str] = []
    run_ablations(protocol, said.append)
    made = [path for path in before if path.stat().st_mtime_ns != before[path]]
    assert [path.parent.name for path in made] == ["official"]
    assert [line.split(":")[0] for line in said if line.startswith(tuple(ABLATIONS)) and ":" in line] == ["official"]
    redone = json.loads((protocol.out / "official" / "result.json").read_text())
    for place in ("true", "teacher", "photos"):  # the same scenes, the same steps
        assert redone[place] == report["variants"]["official"][place]


def test_an_interrupted_variant_goes_on(report, tmp_path, protocol, tiny_recipe, monkeypatch):
    one = replace(protocol, out=tmp_path / "runs", variants=("full",), photos=())
    loss = ablations.FixedScenesTask.loss

    def stop(task, step, progress):
        if step == 1:
            raise KeyboardInterrupt
        return loss(task, step, progress)

    with monkeypatch.context() as patch:
        patch.setattr(ablations.FixedScenesTask, "loss", stop)
        patch.setattr(AblationsProtocol, "options", _saving(AblationsProtocol.options))
        with pytest.raises(KeyboardInterrupt):
            run_ablations(one, lambda line: None)
    assert not (one.out / "full" / "result.json").exists()
    said: list[str] = []
    again = run_ablations(one, said.append)
    assert any("going on from step 1" in line for line in said)
    assert again["variants"]["full"]["teacher"] == report["variants"]["full"]["teacher"]
    assert "photos" not in again["variants"]["full"] and "photo" not in ablation_table(again)
    settings = json.loads((one.out / "settings.json").read_text())
    del settings["photos"]  # as before there were any
    (one.out / "settings.json").write_text(json.dumps(settings))
    kept = run_ablations(one, said.append)
    assert kept["variants"]["full"]["teacher"] == again["variants"]["full"]["teacher"]


def _saving(options):
    return lambda self, name: replace(options(self, name), save_every=1)


def test_other_settings_are_refused(report, protocol, capsys):
    with pytest.raises(InputError, match="holds variants with steps 2, now it is 5; give the same, or another --out"):
        run_ablations(replace(protocol, steps=5), lambda line: None)
    words = ["evaluate", "ablations", "--out", str(protocol.out), "--steps", "9"]
    assert main(words) == 2
    assert "another --out" in capsys.readouterr().err
    assert main([*words, "--variants", "full", "everything"]) == 2
    assert "variant 'everything' is unknown; choose from full, no-fusion" in capsys.readouterr().err
    assert main([*words, "--seconds", "9"]) == 2
    assert "either --seconds or --steps" in capsys.readouterr().err
    (protocol.out / "both" / "result.json").write_text("[1")
    with pytest.raises(InputError, match="remove it to have it made again"):
        run_ablations(protocol, lambda line: None)


def test_photographs_are_known_by_what_they_hold(report, protocol, photos, tmp_path, monkeypatch):
    copies = tuple(tmp_path / f"{number}.png" for number in range(2))
    for photo, copy in zip(photos, copies, strict=True):
        copy.write_bytes(photo.read_bytes())
    ablations.check_folder(replace(protocol, photos=copies))
    with pytest.raises(InputError, match="scored on 2 photographs, not on these 1; give the same, or another --out"):
        ablations.check_folder(replace(protocol, photos=copies[:1]))
    Image.open(copies[0]).rotate(180).save(copies[0])
    with pytest.raises(InputError, match="not on these 2"):
        ablations.check_folder(replace(protocol, photos=copies))
    monkeypatch.setattr(ablations, "load_part", None)  # the photographs are read before any network
    copies[1].write_bytes(b"no picture")
    with pytest.raises(InputError, match="not a picture"):
        run_ablations(replace(protocol, photos=copies, out=tmp_path / "other"), lambda line: None)
    with pytest.raises(InputError, match="does not exist"):
        run_ablations(replace(protocol, photos=(tmp_path / "none.jpg",)), lambda line: None)


def test_recipes_change_one_thing_each():
    """Against `full`, at the real sizes; and pruning leaves at most what was asked for."""
    protocol = AblationsProtocol(out=Path("x"), steps=1)
    recipe = decoder_recipe("nano")
    made = {name: variant_recipe(each, recipe, nano(), protocol) for name, each in ABLATIONS.items()}
    full = made["full"]
    assert (full.stages[0].prune_ratio, full.stages[0].steps, full.stages[1].steps) == (0.0, 3, 1)
    assert full.network() == nano() and full.perceptual > 0 and full.depth > 0
    assert made["no-perceptual"].perceptual == 0 and made["no-perceptual"].depth == full.depth
    assert made["no-depth"].depth == 0 and made["no-depth"].perceptual == full.perceptual
    for name in ("no-pruning", "no-fusion", "alone"):
        assert all(stage.prune_ratio == stage.opacity_weight == 0 for stage in made[name].stages)
    assert made["no-fusion"].network() == made["no-fusion-pruned"].network() == replace(nano(), views_apart=True)
    assert made["trunk-apart"].network() == replace(nano(), fuse_views=False)
    assert made["official-no-fusion"].network() == replace(made["official"].network(), views_apart=True)
    for name, apart in (("alone", "no-fusion"), ("official-alone", "official-no-fusion")):
        assert made[name].network() == made[apart].network()
        assert made[name].stages == tuple(replace(stage, views=(1, 1)) for stage in made[apart].stages)
    assert made["official-alone"].stages[1].prune_ratio == made["official"].stages[1].prune_ratio > 0.7
    assert gaussians_of(made["no-fusion"].network(), 256, 448) == 6 * (256 * 448 + 2 * 128 * 224)
    hybrid = GaussianDecoder(made["hybrid"].network())
    assert [type(block).__name__ for block in hybrid.trunk.blocks] == ["MambaBlock", "TransformerBlock"] * 3
    for name, each in made.items():
        left = gaussians_of(each.network(), 256, 448) * (1 - each.stages[-1].prune_ratio)
        kept = {"no-pruning": 458_752, "no-fusion": 1_032_192, "alone": 1_032_192}.get(name)
        assert left == kept if kept else left <= 200_000.001
        GaussianDecoder(each.network())


def test_views_apart_do_not_see_each_other():
    """The trunk's tokens of one view depend on another view only with fusion."""
    torch.manual_seed(0)
    tokens = torch.randn(2, 3 * 10, 32)
    other = tokens.clone()
    other[:, 10:20] += 1
    for fuse, same in ((True, False), (False, True)):
        model = GaussianDecoder(replace(TINY, fuse_views=fuse, zero_init_residual=False)).eval()
        first, second = (model._mix(each, 3)[:, :10] for each in (tokens, other))
        assert torch.equal(first, second) is same
    alone = model._mix(tokens[:, :10], 1)
    assert torch.allclose(alone, model._mix(tokens, 3)[:, :10], atol=1e-6)


def noise_scenes(count: int) -> ImaginedScenes:
    """Six clips each, whose pictures have nothing to do with each other."""
    c2w = torch.eye(4).repeat(count, 6, 17, 1, 1)
    c2w[..., :3, 3] = 0.1 * torch.randn(count, 6, 17, 3)
    return ImaginedScenes(
        latents=torch.randn(count, 6, 8, 3, 4, 8),
        frames=torch.randint(256, (count, 6, 17, 3, 32, 64), dtype=torch.uint8),
        source=torch.randint(256, (count, 3, 32, 64), dtype=torch.uint8),
        c2w=c2w,
        K=torch.tensor([[50.0, 0, 32], [0, 50, 16], [0, 0, 1]]).repeat(count, 6, 1, 1),
        cache_depth=1 + torch.rand(count, 6, 17, 32, 64).half(),
        anchor_depth=1 + torch.rand(count, 6, 2, 32, 64).half(),
        anchor_visible=torch.rand(count, 6, 2, 32, 64) < 0.5,
    )


def other_clips(scenes: ImaginedScenes, clips: list[int]) -> ImaginedScenes:
    """The scenes with other noise in these clips."""
    torch.manual_seed(99)
    other = noise_scenes(len(scenes.source))
    mixed = ImaginedScenes(*(part.clone() for part in scenes.tensors()))
    for name in ("latents", "frames", "c2w", "cache_depth", "anchor_depth", "anchor_visible"):
        getattr(mixed, name)[:, clips] = getattr(other, name)[:, clips]
    return mixed


@pytest.fixture
def task_of(protocol, tiny_recipe, tiny_weights):
    """The task of a variant on three scenes of noise, its network with random weights; and the clips of each step."""

    def make(name: str, judge=None) -> tuple[ablations.FixedScenesTask, list[list[int]]]:
        torch.manual_seed(7)
        task = ablations.FixedScenesTask(
            protocol.options(name),
            variant_recipe(ABLATIONS[name], ablations.decoder_recipe("nano"), TINY, protocol),
            [noise_scenes(3)],
            TINY.anchor_frames,
            load_model("tokenizer/nano", weights_dir=tiny_weights),
            judge,
        )
        for parameter in task.model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        drawn, draw = [], task._draw

        def noted(step: int, views: torch.Tensor) -> ImaginedScenes:
            drawn.append(views.tolist())
            return draw(step, views)

        task._draw = noted
        return task, drawn

    return make


def loss_of(task, step: int, progress: float) -> float:
    torch.manual_seed(step)
    with torch.no_grad():
        return float(task.loss(step, progress)[0])


@pytest.mark.parametrize(("name", "one"), [("alone", True), ("official-alone", True), ("official-no-fusion", False)])
def test_alone_means_that_a_step_knows_one_clip(task_of, name, one):
    task, drawn = task_of(name)
    (scenes,) = task.materials
    for progress in (0.0, 0.9):
        before = loss_of(task, 3, progress)
        task.materials = [other_clips(scenes, [clip for clip in range(6) if clip != drawn[-1][0]])]
        assert (loss_of(task, 3, progress) == before) is one
        task.materials = [other_clips(scenes, drawn[-1][:1])]
        assert loss_of(task, 3, progress) != before
        task.materials = [scenes]


@pytest.mark.parametrize("name", ["alone", "official-alone"])
def test_alone_draws_any_clip_and_keeps_of_it_what_is_kept_of_six(task_of, name, monkeypatch):
    task, drawn = task_of(name)
    decode, made = task._decode, []

    def noted(*given, **named) -> GaussianBatch:
        made.append(decode(*given, **named))
        return made[-1]

    monkeypatch.setattr(task, "_decode", noted)
    for step in range(60):
        loss_of(task, step, step / 60)
    counts = [drawn.count([clip]) for clip in range(6)]
    assert sum(counts) == 60 and min(counts) >= 4  # 10 are expected of each
    every = gaussians_of(task.model.config, 32, 64) // 6
    share = 1 if name == "alone" else 2000 / (6 * every)  # which leaves 2000 of six clips
    assert [each.means.shape[1] for each in made] == 45 * [every] + 15 * [int(every * share)]


@pytest.mark.parametrize("name", ["alone", "official-alone"])
def test_alone_is_scored_on_six_views_decoded_apart(task_of, name):
    seen: list[tuple[torch.Tensor, int]] = []
    given = noise_scenes(1)
    cameras = torch.eye(4)[None]

    def judge(task) -> dict[str, float]:
        for clips in ([], *([clip] for clip in range(6))):
            seen.append(task.picture(other_clips(given, clips), cameras, given.K[0, :1]))
        return {}

    task, _ = task_of(name, judge)
    task.scores()
    (image, count), *others = seen
    assert count == (2000 if name == "official-alone" else 6 * (32 * 64 + 16 * 32))
    assert all(not torch.equal(image, other) for other, _ in others)  # every view has a share in it
    apart, _ = task_of("official-no-fusion" if name == "official-alone" else "no-fusion", judge)
    apart.model.load_state_dict(task.model.state_dict())
    apart.scores()
    assert all(torch.equal(one, two) and a == b for (one, a), (two, b) in zip(seen[:7], seen[7:], strict=True))


def test_signs_are_compared_with_the_published_ones():
    def rows(full: float, other: float, name: str) -> dict:
        measure = ABLATIONS[name].measure
        base = ABLATIONS[name].base or "full"
        return {key: {"teacher": {measure: value}} for key, value in ((base, full), (name, other))}

    assert sign("no-fusion", rows(28.0, 27.0, "no-fusion")) == "reproduces"
    assert sign("no-fusion", rows(28.0, 28.2, "no-fusion")) == "does not"
    assert sign("no-fusion", rows(28.0, 28.04, "no-fusion")) == "no difference"
    assert sign("no-perceptual", rows(0.20, 0.22, "no-perceptual")) == "reproduces"  # a distance: more is worse
    assert sign("hybrid", rows(28.0, 28.2, "hybrid")) == "reproduces"  # with the blocks it is better
    assert sign("both", rows(28.0, 27.0, "both")) == sign("full", rows(28.0, 28.0, "full")) == ""
