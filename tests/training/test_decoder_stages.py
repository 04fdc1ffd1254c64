"""The decoder through its stages: sizes, views, pruning, what each stage leaves, and where training may start from."""

import inspect
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from lyra.hub import load_model
from lyra.io.ply import read_ply
from lyra.models.decoder import Anchor, DecoderConfig, GaussianDecoder, official_static
from lyra.models.depth import DepthNet
from lyra.structures import InputError
from lyra.training import visualize as visualizer
from lyra.training.checkpoint import LATEST, load_checkpoint
from lyra.training.networks import load_start
from lyra.training.recipes import decoder_recipe
from lyra.training.stored_scenes import StoredScenes
from lyra.training.tasks import decoder as decoder_task
from lyra.training.tasks.decoder import check_network
from lyra.training.train import make_task, train
from lyra.training.visualize import decoders_of, visualize

CPU = torch.device("cpu")
SIZE = {"height": 64, "width": 128}
DECODER = DecoderConfig(latent_channels=8, rays="pooled", head="anchored", anchors=(Anchor(0, 1), Anchor(16, 2)))
GAUSSIANS = 64 * 128 + 2 * 32 * 64
"""At full size with two views: frame 0 of the first at stride 1, frame 16 of both at stride 2."""


@pytest.fixture
def run(tiny, tmp_path) -> Path:
    """A progressive run of four steps, one for each stage."""
    options = tiny("decoder", recipe="progressive", steps=4, score=False, out=tmp_path / "run", **SIZE)
    seen = []
    record = decoder_task.DecoderTask.loss

    def loss(self, step, progress):
        result = record(self, step, progress)
        seen.append((self.now.name, tuple(self.pool.store[1].shape[1:3]), self.pool.store[1].shape[-2:]))
        return result

    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_task.DecoderTask, "loss", loss)
        train(options, notify=said.append)
    assert [name for name, _, _ in seen] == ["small", "large", "views", "pruned"]
    assert [views for _, (views, _), _ in seen] == [1, 1, 2, 2]
    assert [tuple(size) for _, _, size in seen] == [(32, 64), (64, 128), (64, 128), (64, 128)]
    stages = [line for line in said if line.startswith("stage ")]
    assert stages[1] == "stage large begins at step 1, 25 % of the run"
    return options.out


def test_stages_leave_networks_that_load_show_and_go_on(run, tiny, tmp_path, monkeypatch):
    networks = decoders_of(str(run))
    assert list(networks) == ["small", "large", "views", "run"]
    ratios = [load().config.prune_ratio for load in networks.values()]
    assert ratios == [0, 0, 0, 0.57]
    averages = [load().trunk.norm.weight for load in networks.values()]
    assert all(not torch.equal(a, b) for a, b in zip(averages, averages[1:], strict=False))

    # pictures and Gaussians of every stage
    options = tiny("decoder", steps=1)
    textures = decoder_task.load_textures(None, "val")
    monkeypatch.setattr(visualizer, "load_textures", lambda path, split: textures)
    said: list[str] = []
    arguments = (tmp_path / "shown", *SIZE.values(), None, options.models, "cpu", said.append)
    folders = visualize(str(run), *arguments)
    assert [folder.name for folder in folders] == list(networks) and len(said) == 4
    for folder in folders:
        for name in ("world", "photo"):
            with Image.open(folder / f"{name}.png") as sheet:
                assert sheet.size == (5 * 128, 6 * 64)
                pixels = np.asarray(sheet).reshape(6, 64, 5, 128, 3).astype(float)
            drift = np.abs(pixels[:, :, 1] - pixels[:, :, 3]).mean()  # render against the teacher's frame
            assert 0 < drift < 70 and pixels[:, :, 3].std() > 3
    counts = [len(read_ply(folder / "world.ply")) for folder in folders]
    # six views here, and Gaussians fainter than the limit of the export are few
    assert max(counts) <= 64 * 128 + 6 * 32 * 64 and counts[-1] <= int((64 * 128 + 6 * 32 * 64) * (1 - 0.57))
    assert counts[0] > 0.9 * (64 * 128 + 6 * 32 * 64)

    # a run that begins at a later stage, from the newest checkpoint of the first run
    later = tiny("decoder", recipe="progressive", steps=1, from_stage="pruned", init=str(run), **SIZE)
    task = make_task(later, CPU)
    state = load_checkpoint(run)
    assert all(torch.equal(value, state["average"][name]) for name, value in task.network.named_parameters())
    assert task.stage(0.0) == "" and task.now.name == "pruned"  # one stage is left: it needs no name
    gaussians = task._decode(task.network, task._draw(0, torch.arange(2)), clean_source=True)
    assert gaussians.means.shape[1] == int(GAUSSIANS * (1 - 0.57))


def test_training_starts_from_every_form_of_a_network(tiny, tmp_path):
    options = tiny("depth", steps=1, score=False)
    packed = train(options, notify=lambda line: None)
    average = load_checkpoint(options.out)["average"]

    def equal(given: object) -> bool:
        network = load_start(str(given), DepthNet)
        return all(torch.equal(value, average[name]) for name, value in network.named_parameters())

    assert equal(options.out) and equal(options.out / LATEST)
    (options.out / LATEST).rename(tmp_path / "elsewhere.pt")
    assert equal(tmp_path / "elsewhere.pt")
    stored = load_model("depth/nano", weights_dir=options.out)  # int8, no longer the checkpoint's bits
    found = load_start(str(options.out), DepthNet)
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), stored.parameters(), strict=True))
    assert load_start("depth/nano", DepthNet).config == load_model("depth/nano").config
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(packed, own / "model.safetensors")
    shutil.copy(packed.with_suffix(".json"), own / "card.json")
    assert load_start(str(own), DepthNet).config == stored.config
    with pytest.raises(InputError, match="is a DepthNet; a GaussianDecoder is needed"):
        load_start(str(tmp_path / "elsewhere.pt"), GaussianDecoder)
    (tmp_path / "torn.pt").write_bytes((tmp_path / "elsewhere.pt").read_bytes()[:999])
    with pytest.raises(InputError, match=r"torn\.pt is no checkpoint"):
        load_start(str(tmp_path / "torn.pt"), DepthNet)
    with pytest.raises(InputError, match="unknown model"):
        load_start(str(tmp_path / "nowhere"), DepthNet)


def test_scenes_of_a_store_take_the_place_of_imagined_ones(tiny, tmp_path, monkeypatch):
    """Which batch is asked for follows from the step, whatever the store is."""
    live = make_task(tiny("decoder", steps=1), CPU)
    kept = live._draw(0, torch.arange(2))
    asked: list[int] = []
    opened: list[dict] = []

    class Stored:
        def __init__(self, *choices, **named):
            opened.append(inspect.signature(StoredScenes).bind(*choices, **named).arguments)

        def batch(self, number, count):
            asked.append(number)
            return kept.pick(torch.arange(count))

    monkeypatch.setattr(decoder_task, "StoredScenes", Stored)
    monkeypatch.setattr(decoder_task, "imagine_scenes", None)  # nothing is imagined
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    options = tiny("decoder", steps=1, store=tmp_path / "store", seed=5, pool=4)
    task = make_task(options, CPU)
    assert asked == [0, 1]
    for step in range(5):
        loss, _ = task.loss(step, 0.5)
    assert asked == [0, 1, 2, 3] and bool(torch.isfinite(loss))
    (choices,) = opened
    networks = [choices.pop(name) for name in ("tokenizer", "depth_net", "frame_decoder")]
    assert networks == [task.tokenizer, task.depth_net, task.frame_decoder]
    assert choices == {
        "folder": tmp_path / "store", "anchor_frames": (0, 16), "views": 2, "frames": 17, "height": 32, "width": 64,
        "seed": 5, "share": (1, 3),
    }  # fmt: skip


def test_misfits_are_refused_with_a_remedy(tiny):
    with pytest.raises(InputError, match=r"stage small divides 32x64 by 2, .* multiples of 64"):
        make_task(tiny("decoder", steps=1, recipe="progressive"), CPU)
    tokenizer = SimpleNamespace(channels=8, temporal=8)
    recipe = decoder_recipe("official")
    with pytest.raises(InputError, match=r"latents of 16 channels for 8 pictures, .* makes 8 channels .*--init"):
        check_network(official_static(), tokenizer, recipe)
    with pytest.raises(InputError, match=r"makes 8 channels for 4, for which no recipe makes a decoder; .*--init"):
        check_network(DECODER, SimpleNamespace(channels=8, temporal=4), recipe)
    with pytest.raises(InputError, match=r"cameras or times as latents, .*--init"):
        check_network(replace(official_static(), latent_channels=8), tokenizer, recipe)
    late = replace(DECODER, anchors=(Anchor(0, 1), Anchor(24, 2)))
    with pytest.raises(InputError, match=r"stands on frame 24, the clips of stage 17-frames-176 have 17 frames"):
        check_network(late, tokenizer, recipe)
    check_network(DECODER, tokenizer, recipe)


def test_the_loss_follows_the_recipes_weights(tiny):
    """The same batch under other weights: the difference is the difference of weights times the logged terms."""
    task = make_task(tiny("decoder", steps=1), CPU)

    def measured(**changes):
        task.recipe = replace(task.recipe, **changes)
        stage = task.recipe.stages[0]
        task.now = stage
        torch.manual_seed(3)
        with torch.no_grad():
            return task.loss(1, 0.0)

    plain, terms = measured(perceptual=0.0, depth=0.0, gradient=0.0)
    assert float(plain) == pytest.approx(10 ** (-float(terms["psnr"]) / 10) + 0.01 * float(terms["opacity"]), rel=1e-4)
    for name, weight in (("perceptual", 0.5), ("depth", 0.05)):
        more, _ = measured(**{name: weight})
        assert float(more - plain) == pytest.approx(weight * float(terms[name]), rel=1e-3)
        plain = more
    squashed, _ = measured(squashed_opacity=True)
    opacity = torch.tensor(0.3)  # where the tiny decoder starts
    assert float(squashed - plain) == pytest.approx(0.01 * float(opacity.sigmoid() - opacity), rel=1e-2)


def test_deferred_rendering_gives_the_same_training_step(tiny):
    task = make_task(tiny("decoder", steps=1), CPU)
    gradients = []
    for deferred in (False, True):
        stage = replace(task.now, deferred=deferred)
        task.recipe, task.now = replace(task.recipe, stages=(stage,)), stage
        torch.manual_seed(3)
        task.network.zero_grad()
        task.loss(1, 0.0)[0].backward()
        gradients.append([p.grad.clone() for p in task.network.parameters() if p.grad is not None])
    assert len(gradients[0]) > 10
    for one, other in zip(*gradients, strict=True):
        assert (one - other).abs().max() <= 1e-5 * max(1e-6, float(one.abs().max()))
