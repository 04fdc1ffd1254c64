"""Batches out of a store are those that imagining on the spot would have given, in an order that survives a restart."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lyra.data import LatentSpace, Manifest, RecordWriter, begin_store
from lyra.hub import load_model
from lyra.models.depth import DepthNet
from lyra.models.teacher import Teacher
from lyra.models.tokenizer import Tokenizer
from lyra.structures import Cameras, Frames, InputError, Latents, SceneRecord, Trajectory, Views
from lyra.training.checkpoint import LATEST, load_checkpoint
from lyra.training.device_data import PathBank
from lyra.training.imagined_scenes import ImaginedScenes, imagine_scenes
from lyra.training.options import TrainOptions
from lyra.training.stored_scenes import StoredScenes
from lyra.training.tasks import decoder
from lyra.training.train import train

HEIGHT, WIDTH, T, VIEWS, ANCHORS = 32, 64, 17, 2, (0, 16)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def networks(tiny_models: Path) -> tuple[Tokenizer, DepthNet, Teacher]:
    return (
        load_model("tokenizer/nano", weights_dir=tiny_models, kind=Tokenizer),
        load_model("depth/nano", weights_dir=tiny_models, kind=DepthNet),
        load_model("teacher/nano", weights_dir=tiny_models, kind=Teacher),
    )


@pytest.fixture(scope="module")
def imagined(networks: tuple[Tokenizer, DepthNet, Teacher]) -> ImaginedScenes:
    """Three scenes, imagined as training does."""
    torch.manual_seed(1)
    rows = torch.linspace(0, 1, HEIGHT)[:, None].expand(HEIGHT, WIDTH)
    source = torch.stack([torch.stack([rows, rows.flip(0), 0 * rows + shade]) for shade in (0.2, 0.5, 0.9)])
    source = (source * 255).round() / 255  # as a stored picture is
    K = torch.tensor([[50.0, 0, WIDTH / 2], [0, 50.0, HEIGHT / 2], [0, 0, 1]]).repeat(3, 1, 1)
    return imagine_scenes(source, K, PathBank(T, CPU, 0), VIEWS, ANCHORS, *networks, steps=1)


@pytest.fixture
def store(tmp_path: Path, imagined: ImaginedScenes, networks: tuple[Tokenizer, DepthNet, Teacher]) -> Path:
    """The same scenes as a store holds them; the third with its pictures, the others without."""
    fill(tmp_path / "store", networks[0], records_of(imagined, networks[1]))
    return tmp_path / "store"


def records_of(scenes: ImaginedScenes, depth_net: DepthNet) -> list[SceneRecord]:
    found = []
    for index in range(len(scenes.source)):
        rgb = scenes.source[index : index + 1].float() / 255
        depth = depth_net.infer(rgb)[0]
        camera = Cameras(torch.eye(4)[None], scenes.K[index, :1], HEIGHT, WIDTH)
        paths = tuple(
            Trajectory(f"path{view}", Cameras(c2w, K.expand(T, 3, 3), HEIGHT, WIDTH))
            for view, (c2w, K) in enumerate(zip(scenes.c2w[index], scenes.K[index], strict=True))
        )
        views = Views(Frames(rgb), depth, torch.ones_like(depth, dtype=torch.bool), camera)
        frames = scenes.frames[index] if index == 2 else None
        found.append(SceneRecord(f"s{index}", Latents(scenes.latents[index], paths, "nano"), views, frames))
    return found


def fill(folder: Path, tokenizer: Tokenizer, records: list[SceneRecord]) -> None:
    begin_store(folder, Manifest(LatentSpace.of(tokenizer)))
    with RecordWriter(folder) as writer:
        for record in records:
            writer.append(record)


@pytest.fixture
def scenes(store: Path, networks: tuple[Tokenizer, DepthNet, Teacher]) -> Callable[..., StoredScenes]:
    def make(**choices: object) -> StoredScenes:
        asked = {"anchor_frames": ANCHORS, "views": VIEWS, "frames": T, "height": HEIGHT, "width": WIDTH, **choices}
        return StoredScenes(asked.pop("folder", store), networks[0], networks[1], **asked)  # type: ignore[arg-type]

    return make


def names(batch: ImaginedScenes) -> list[int]:
    """Which of the three scenes each item is: their blue tells."""
    return [round(float(blue) / 255 * 10) for blue in batch.source[:, 2, 0, 0]]


def test_a_batch_is_what_imagining_on_the_spot_gives(
    scenes: Callable[..., StoredScenes], imagined: ImaginedScenes
) -> None:
    batch = scenes().batch(0, 3)
    order = [names(imagined).index(name) for name in names(batch)]
    assert sorted(order) == [0, 1, 2]
    expected = imagined.pick(torch.tensor(order))
    for name in ("source", "anchor_visible"):
        assert torch.equal(getattr(batch, name), getattr(expected, name)), name
    for name in ("c2w", "K", "cache_depth"):
        assert torch.allclose(getattr(batch, name), getattr(expected, name), atol=1e-3), name
    assert torch.allclose(batch.latents, expected.latents, rtol=2**-10, atol=1e-3)
    difference = (batch.frames.int() - expected.frames.int()).abs().float()
    kept = order.index(2)  # its pictures are lossy, the others' are decoded from fp16 latents
    assert difference[[i for i in range(3) if i != kept]].max() <= 1 and difference[kept].mean() < 6
    others = [i for i in range(3) if i != kept]
    assert torch.allclose(batch.anchor_depth[others].float(), expected.anchor_depth[others].float(), rtol=2e-2)
    for name in ImaginedScenes.__dataclass_fields__:
        got, wanted = getattr(batch, name), getattr(expected, name)
        assert (got.dtype, got.shape, got.device) == (wanted.dtype, wanted.shape, wanted.device), name


def test_every_record_comes_once_before_any_comes_again(scenes: Callable[..., StoredScenes]) -> None:
    stream = scenes(seed=4)
    turns = [sorted(names(stream.batch(number, 3))) for number in range(3)]
    assert turns == [[2, 5, 9]] * 3
    orders = {tuple(names(scenes(seed=seed).batch(0, 3))) for seed in range(8)}
    assert len(orders) > 2


def test_a_batch_depends_on_its_number_alone(scenes: Callable[..., StoredScenes]) -> None:
    one = scenes(seed=2)
    straight = [names(one.batch(number, 2)) for number in range(5)]
    another = scenes(seed=2)
    assert names(another.batch(4, 2)) == straight[4] and names(another.batch(1, 2)) == straight[1]


def test_processes_share_the_records_out(scenes: Callable[..., StoredScenes]) -> None:
    first, second = scenes(share=(0, 2)), scenes(share=(1, 2))
    alone = scenes()
    for number in range(2):
        together = names(first.batch(number, 1)) + names(second.batch(number, 1))
        assert together == names(alone.batch(number, 2))


def test_smaller_pictures_are_made_of_the_stored_ones(
    scenes: Callable[..., StoredScenes],
    networks: tuple[Tokenizer, DepthNet, Teacher],
    store: Path,
    imagined: ImaginedScenes,
) -> None:
    double = store.parent / "double"
    doubled = []
    for record in records_of(imagined, networks[1]):
        clips = imagined.frames[int(record.key[1])].repeat_interleave(2, -1).repeat_interleave(2, -2)
        with torch.no_grad():
            z = networks[0].encode(clips.float().div(255).transpose(1, 2))
        paths = tuple(replace(path, cameras=path.cameras.resized(64, 128)) for path in record.latents.trajectories)
        big = record.views.frames.rgb.repeat_interleave(2, -1).repeat_interleave(2, -2)
        depth = record.views.depth.repeat_interleave(2, -1).repeat_interleave(2, -2)
        views = Views(Frames(big), depth, depth > 0, record.views.cameras.resized(64, 128))
        doubled.append(SceneRecord(record.key, Latents(z, paths, "nano"), views, clips))
    fill(double, networks[0], doubled)
    small, plain = scenes(folder=double).batch(0, 3), scenes().batch(0, 3)
    assert names(small) == names(plain)
    assert torch.equal(small.source, plain.source) and torch.allclose(small.K, plain.K)
    assert torch.allclose(small.cache_depth.float(), plain.cache_depth.float(), atol=1e-2)
    assert (small.frames.float() - plain.frames.float()).abs().mean() < 6  # WebP
    again = networks[0].encode(small.frames.flatten(0, 1).float().div(255).transpose(1, 2)).unflatten(0, (3, VIEWS))
    assert (small.latents - again).abs().mean() < 0.05 * small.latents.abs().mean()


def test_records_that_do_not_fit_are_left_out_and_told(
    store: Path,
    scenes: Callable[..., StoredScenes],
    imagined: ImaginedScenes,
    networks: tuple[Tokenizer, DepthNet, Teacher],
) -> None:
    good = records_of(imagined, networks[1])
    upright = Cameras(torch.eye(4)[None], good[0].latents.trajectories[0].cameras.K[:1], 64, 32)
    turned = Views(Frames(torch.rand(1, 3, 64, 32)), torch.ones(1, 64, 32), torch.ones(1, 64, 32) > 0, upright)
    paths = tuple(
        replace(path, cameras=replace(path.cameras, height=64, width=32)) for path in good[0].latents.trajectories
    )
    unknown = replace(good[0].views, mask=good[0].views.mask & False)
    few = replace(good[0].latents, z=good[0].latents.z[:1], trajectories=good[0].latents.trajectories[:1])
    with RecordWriter(store) as writer:
        writer.append(
            replace(good[0], key="upright", views=turned, latents=replace(good[0].latents, trajectories=paths))
        )
        writer.append(replace(good[0], key="no-depth", views=unknown))
        writer.append(replace(good[0], key="one-clip", latents=few))
    (shard,) = [path for path in store.glob("*.tar") if b"s1.safetensors" in path.read_bytes()]
    content = bytearray(shard.read_bytes())
    content[content.index(b"s1.safetensors") + 3000] ^= 1
    shard.write_bytes(content)
    told: list[str] = []
    stream = scenes(report=told.append)
    seen = [name for number in range(4) for name in names(stream.batch(number, 3))]
    assert set(seen) == {2, 9}
    assert len(told) == 4 and all(line.startswith("left out: ") for line in told)
    for words in ("upright is 64 x 32 pixels", "no-depth has no depth", "one-clip has 1 clips of 17", "s1 is damaged"):
        assert any(words in line for line in told), words


@pytest.mark.parametrize("choice", [{"views": 3}, {"frames": 121}, {"height": 64}, {"height": 24}])
def test_a_store_without_anything_that_fits_is_refused(scenes: Callable[..., StoredScenes], choice: dict) -> None:
    with pytest.raises(InputError, match=r"has no record to train on that holds .*; give another --store"):
        scenes(report=lambda line: None, **choice)


def test_a_store_of_another_tokenizer_is_refused(
    tmp_path: Path, scenes: Callable[..., StoredScenes], networks: tuple[Tokenizer, DepthNet, Teacher]
) -> None:
    space = LatentSpace.of(networks[0])
    begin_store(tmp_path / "other", Manifest(replace(space, mean=space.mean + 1)))
    with pytest.raises(InputError, match="another training of nano"):
        scenes(folder=tmp_path / "other")


def test_a_decoder_learns_from_a_store_and_resumes_bit_for_bit(
    store: Path, tiny: Callable[..., TrainOptions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "imagine_scenes", None)  # nothing is imagined
    sizes = {"store": store, "steps": 10, "save_every": 5, "score": False, "pool": 2}
    train(tiny("decoder", out=tmp_path / "whole", **sizes), notify=lambda line: None)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 10
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    (tmp_path / "parts" / LATEST).unlink()  # the checkpoint before, of step 5, is the newest then
    train(tiny("decoder", out=tmp_path / "parts", resume=True, **sizes), notify=lambda line: None)
    again = [json.loads(line)["loss"] for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert again == losses
    one, other = (load_checkpoint(tmp_path / run)["network"] for run in ("whole", "parts"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
