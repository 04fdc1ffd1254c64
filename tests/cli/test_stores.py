"""``lyra synthesize`` and ``lyra reconstruct``: what they print, what they leave on disk, and what they refuse."""

import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lyra import pipeline, scene_writer
from lyra.data import LatentSpace, Manifest, RecordWriter, SceneStore, begin_store, write_published
from lyra.hub import load_model
from lyra.io.scene_folder import load_scene
from lyra.metrics import psnr
from lyra.models.tokenizer import Tokenizer
from lyra.raster import render
from lyra.structures import Cameras, Frames, Latents, SceneRecord, Trajectory, Views

Lyra = Callable[..., Any]  # the fixture of conftest.py


@pytest.fixture
def photos(tmp_path: Path, photo: Path) -> Path:
    """A folder of two photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.move(photo, folder / photo.name)
    Image.fromarray(np.full((60, 96, 3), 90, np.uint8)).save(folder / "wall.png")
    return folder


@pytest.fixture
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks must not be loaded before the input is known to be good."""
    monkeypatch.setattr(pipeline.Pipeline, "load", staticmethod(lambda device="auto": pytest.fail("networks loaded")))


def assert_refused(outcome: Any, *words: str) -> None:
    """Exit code 2 and one line on standard error: what is wrong, and after a semicolon what to do."""
    assert outcome.code == 2, outcome.out
    assert len(outcome.complaints) == 1, outcome.err
    line = outcome.complaints[0]
    assert line.startswith("lyra: ") and "; " in line, line
    for word in words:
        assert word in line, f"'{word}' is missing in: {line}"


def tiny_record(key: str, depth: bool = True) -> SceneRecord:
    """A record in the space of the real tokenizer, 32 x 64 pixels."""
    K = torch.tensor([[40.0, 0, 32], [0, 40.0, 16], [0, 0, 1]]).repeat(17, 1, 1)
    cameras = Cameras(torch.eye(4).repeat(17, 1, 1), K, 32, 64)
    views = Views(Frames(torch.rand(1, 3, 32, 64)), torch.ones(1, 32, 64), torch.full((1, 32, 64), depth), cameras[0])
    latents = Latents(torch.zeros(1, 64, 3, 4, 8), (Trajectory("left", cameras, 0.2),), "nano")
    frames = torch.full((1, 17, 3, 32, 64), 128, dtype=torch.uint8)
    return SceneRecord(key, latents, views, frames, meta={"source": f"{key}.jpg", "seed": 4})


@pytest.fixture(scope="session")
def space() -> LatentSpace:
    return LatentSpace.of(load_model("tokenizer/nano", kind=Tokenizer))


@pytest.fixture
def store(tmp_path: Path, space: LatentSpace) -> Path:
    """A store with the records house-1, house-2 and tree-1."""
    folder = tmp_path / "store"
    begin_store(folder, Manifest(space))
    with RecordWriter(folder) as writer:
        for key in ("house-1", "house-2", "tree-1"):
            writer.append(tiny_record(key))
    return folder


# -- what they do ------------------------------------------------------------------------------------------------------


def test_a_stored_scene_is_the_one_that_generate_makes(
    lyra: Lyra, tmp_path: Path, photos: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real stages, tiny networks: the same photo and seed with and without the way through a store."""
    monkeypatch.setenv("LYRA_WEIGHTS_DIR", str(tiny_weights))
    monkeypatch.setattr(scene_writer, "PREVIEW_FRAMES", 2)
    (photos / "wall.png").unlink()
    choices = ["--trajectories", "zoom-in", "--seed", "3", "--strength", "1.2", "--device", "cpu"]
    outcome = lyra("synthesize", "--photos", photos, "--store", tmp_path / "store", *choices)
    assert outcome.code == 0 and outcome.err == ""
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines] == ["1/1", "store", "records", "in", "time"]
    assert lines[2] == "records    1 made, 0 were there, 0 pictures left out"
    key = lines[0].split()[-1]
    assert key.startswith("garden-")

    assert lyra("reconstruct", tmp_path / "store", "-o", tmp_path / "again", "--record", "garden").code == 0
    assert lyra("generate", photos / "garden.jpg", "-o", tmp_path / "direct", *choices).code == 0
    assert [path.name for path in (tmp_path / "again").iterdir()] == [key]
    again, direct = tmp_path / "again" / key, tmp_path / "direct"
    names = ["cameras.json", "contact_sheet.png", "preview.mp4", "run.json", "scene.html", "scene.ply"]
    assert sorted(path.name for path in again.iterdir()) == sorted(path.name for path in direct.iterdir()) == names
    runs = [json.loads((folder / "run.json").read_text()) for folder in (again, direct)]
    assert runs[0]["options"]["seed"] == runs[1]["options"]["seed"] == 3
    assert runs[0]["photo"] == runs[1]["photo"] == "garden.jpg"
    assert runs[0]["trajectories"] == runs[1]["trajectories"]
    assert "imagine" not in [stage["name"] for stage in runs[0]["stages"]]
    cameras = json.loads((direct / "cameras.json").read_text())
    assert json.loads((again / "cameras.json").read_text()) == cameras
    scenes = [load_scene(folder) for folder in (again, direct)]
    path = torch.tensor(cameras["trajectories"]["zoom_in"]["c2w"])[::4]
    K = scenes[0].source.K.expand(len(path), 3, 3)
    views = [render(scene.gaussians[0], Cameras(path, K, 256, 448)).rgb.clamp(0, 1) for scene in scenes]
    assert float(psnr(*views).min()) > 40
    assert views[0].std() > 0.05  # there is something to see


def test_the_second_time_nothing_is_left_to_do(lyra: Lyra, tmp_path: Path, photos: Path, quick_networks: None) -> None:
    words = ["synthesize", "--photos", photos, "--store", tmp_path / "store", "--trajectories", "left"]
    assert lyra(*words).code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()}
    outcome = lyra(*words)
    assert outcome.code == 0
    assert outcome.out.startswith("note: 2 records are in the store already\n")
    assert "records    0 made, 2 were there" in outcome.out
    assert {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()} == before


def test_parts_and_broken_photos(lyra: Lyra, tmp_path: Path, photos: Path, quick_networks: None) -> None:
    (photos / "broken.jpg").write_bytes(b"no photo")
    words = ["synthesize", "--photos", photos, "--store", tmp_path / "store", "--trajectories", "left"]
    outcomes = [lyra(*words, "--part", part) for part in ("1/2", "2/2")]
    said = "".join(outcome.out for outcome in outcomes)
    assert "note: broken.jpg is left out: " in said and said.count("note:") == 1
    assert len(SceneStore(tmp_path / "store")) == 2


def test_every_record_becomes_a_scene_and_damaged_ones_are_told(
    lyra: Lyra, tmp_path: Path, store: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = []

    def finish(self: object, imagined: object, progress: object) -> object:
        return imagined

    def write(result: Any, out: Path, overwrite: bool, progress: object, page: object) -> None:
        asked = result.options
        scenes.append((out.name, result.name, asked.seed, asked.refine, asked.recolor, asked.gaussians))

    monkeypatch.setattr(pipeline.Pipeline, "finish", finish)
    monkeypatch.setattr(scene_writer, "write_result", write)
    spoil(store, "house-2")
    outcome = lyra(
        "reconstruct", store, "-o", tmp_path / "out", "--refine", "3", "--recolor", "5", "--gaussians", "70000",
        "--device", "cpu",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert scenes == [("house-1", "house-1.jpg", 4, 3, 5, 70_000), ("tree-1", "tree-1.jpg", 4, 3, 5, 70_000)]
    assert "note: " in outcome.out and "record house-2 is damaged" in outcome.out
    assert "scenes     2 in" in outcome.out
    scenes.clear()
    assert lyra("reconstruct", store, "-o", tmp_path / "out", "--record", "tree", "house-1").code == 0
    assert [name for name, *_ in scenes] == ["tree-1", "house-1"]
    assert_refused(lyra("reconstruct", store, "-o", tmp_path / "out", "--record", "house-2"), "house-2 is damaged")


def spoil(store: Path, *keys: str) -> None:
    """Change a byte inside the tensors of records."""
    (shard,) = store.glob("*.tar")
    content = bytearray(shard.read_bytes())
    for key in keys:
        content[content.index(f"{key}.safetensors".encode()) + 5000] ^= 1
    shard.write_bytes(content)


# -- what they refuse --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], ["--photos FOLDER, --worlds N and --prompts FILE"]),
        (["--photos", "photos", "--worlds", "3"], ["--photos FOLDER, --worlds N and --prompts FILE"]),
        (["--photos", "gone"], ["photos gone does not exist"]),
        (["--photos", "photos/wall.png"], ["is a file"]),
        (["--photos", "empty"], ["empty", "holds no picture"]),
        (["--worlds", "0"], ["worlds 0"]),
        (["--worlds", "9", "--seed", "2147483647"], ["leaves no room"]),
        (["--photos", "photos", "--trajectories", "left,sideways"], ["'sideways'", "zoom_out"]),
        (["--photos", "photos", "--trajectories", ","], ["none or repeat one"]),
        (["--photos", "photos", "--strength", "9"], ["strength 9"]),
        (["--photos", "photos", "--steps", "0"], ["steps 0"]),
        (["--photos", "photos", "--seed", "-1"], ["seed -1"]),
        (["--photos", "photos", "--workers", "0"], ["workers 0"]),
        (["--photos", "photos", "--part", "3/2"], ["part '3/2'"]),
        (["--photos", "photos", "--textures", "pack"], ["--textures pack belongs to --worlds"]),
        (["--photos", "photos", "--device", "tpu"], ["'tpu'"]),
        (["--photos", "photos", "--store", "photos"], ["photos", "other files in it", "--store"]),
        (["--photos", "photos", "--store", "photos/wall.png"], ["wall.png", "--store"]),
        (["--photos", "photos", "--store", "photos/wall.png/new"], ["wall.png", "--store"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_impossible_synthesis(
    lyra: Lyra, tmp_path: Path, photos: Path, no_networks: None, monkeypatch: pytest.MonkeyPatch, words: list[str],
    complaint: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    if "--store" not in words:
        words = [*words, "--store", "new-store"]
    assert_refused(lyra("synthesize", *words), *complaint)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a place where not even root may write")
def test_a_store_that_cannot_be_written(lyra: Lyra, photos: Path, no_networks: None) -> None:
    assert_refused(lyra("synthesize", "--photos", photos, "--store", "/proc/store"), "/proc/store", "--store")


def test_a_store_of_other_networks_is_not_added_to(
    lyra: Lyra, tmp_path: Path, photos: Path, no_networks: None, space: LatentSpace
) -> None:
    words = ["synthesize", "--photos", photos, "--store", tmp_path / "store"]
    begin_store(tmp_path / "store", Manifest(LatentSpace("nano", space.mean + 1, space.std)))
    assert_refused(lyra(*words), "store", "another training of nano")
    shutil.rmtree(tmp_path / "store")
    networks = {"teacher/nano": {"sha256": "0" * 64, "licence": "?"}}
    begin_store(tmp_path / "store", Manifest(space, networks=networks))
    assert_refused(lyra(*words), "other weights of teacher/nano")


def test_none_of_the_photos_can_be_used(lyra: Lyra, tmp_path: Path, photos: Path, quick_networks: None) -> None:
    for file in photos.iterdir():
        file.write_bytes(b"no photo")
    outcome = lyra("synthesize", "--photos", photos, "--store", tmp_path / "store")
    assert_refused(outcome, "none of the 2 pictures could be used")


def test_ray_is_not_installed(
    lyra: Lyra, tmp_path: Path, photos: Path, no_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = lyra("synthesize", "--photos", photos, "--store", tmp_path / "store", "--ray", "local")
    assert_refused(outcome, "pip install 'lyra-scenes[ray]'")


def test_the_disk_is_full_in_the_middle_of_a_shard(
    lyra: Lyra, tmp_path: Path, photos: Path, quick_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first record fits, the second does not: one line, and the first is kept and not made again."""
    words = ["synthesize", "--photos", photos, "--store", tmp_path / "store", "--trajectories", "left"]
    append, limits = RecordWriter.append, resource.getrlimit(resource.RLIMIT_FSIZE)

    def append_with_a_limit(self: RecordWriter, record: SceneRecord) -> int:
        size = append(self, record)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + size // 2, limits[1]))
        return size

    monkeypatch.setattr(RecordWriter, "append", append_with_a_limit)
    try:
        outcome = lyra(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        monkeypatch.setattr(RecordWriter, "append", append)
    assert_refused(outcome, "record wall-", "cannot be written (file too large)", "finished records are safe")
    store = SceneStore(tmp_path / "store")
    (kept,) = store.keys()
    assert kept.startswith("garden-") and store.manifest.records == 1
    assert "records    1 made, 1 were there" in lyra(*words).out
    assert SceneStore(tmp_path / "store").damaged_shards() == ()


def test_ctrl_c_keeps_finished_records(
    lyra: Lyra, tmp_path: Path, photos: Path, quick_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["synthesize", "--photos", photos, "--store", tmp_path / "store", "--trajectories", "left"]
    append = RecordWriter.append

    def append_and_interrupt(self: RecordWriter, record: SceneRecord) -> int:
        append(self, record)
        raise KeyboardInterrupt

    monkeypatch.setattr(RecordWriter, "append", append_and_interrupt)
    outcome = lyra(*words)
    assert outcome.code == 130
    assert outcome.complaints == [
        f"lyra: interrupted, finished records are in {tmp_path / 'store'}, the same command goes on from there"
    ]
    assert len(SceneStore(tmp_path / "store")) == 1 and not list((tmp_path / "store").glob("*.growing"))


def missing(store: Path) -> None:
    shutil.rmtree(store)


def a_file(store: Path) -> None:
    shutil.rmtree(store)
    store.write_text("x")


def empty(store: Path) -> None:
    for path in [*store.glob("*.tar"), *store.glob("*.tar.json")]:
        path.unlink()


def no_shard(store: Path) -> None:
    next(iter(store.glob("*.tar"))).unlink()


def half_a_shard(store: Path) -> None:
    shard = next(iter(store.glob("*.tar")))
    os.truncate(shard, shard.stat().st_size // 2)


def garbled_manifest(store: Path) -> None:
    (store / "manifest.json").write_text("{")


def other_tokenizer(store: Path) -> None:
    change_manifest(store, "name", "cosmos")


def other_statistics(store: Path) -> None:
    change_manifest(store, "mean", [0.0] * 64)


def change_manifest(store: Path, entry: str, value: object) -> None:
    values = json.loads((store / "manifest.json").read_text())
    values["tokenizer"][entry] = value
    (store / "manifest.json").write_text(json.dumps(values))


def something_else(store: Path) -> None:
    shutil.rmtree(store)
    store.mkdir()
    (store / "holiday.txt").write_text("x")


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (missing, ["does not exist"]),
        (a_file, ["is a file"]),
        (empty, ["is empty", "lyra synthesize"]),
        (no_shard, [".tar is missing (3 records)"]),
        (half_a_shard, ["bytes instead of", "copy it again"]),
        (garbled_manifest, ["manifest.json is unreadable"]),
        (other_tokenizer, ["tokenizer cosmos, needed are those of nano"]),
        (other_statistics, ["another training of nano"]),
        (something_else, ["is no data folder"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_unusable_store(
    lyra: Lyra, tmp_path: Path, store: Path, no_networks: None, spoilt: Callable[[Path], None], words: list[str]
) -> None:
    spoilt(store)
    assert_refused(lyra("reconstruct", store, "-o", tmp_path / "out"), "store", *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (["--record", "garage"], ["no record 'garage'", "house-1, house-2, tree-1"]),
        (["--record", "house"], ["'house' fits 2 records", "house-1, house-2"]),
        (["--recolor", "-1"], ["-1 rounds"]),
        (["--refine", "-1"], ["-1 steps of refinement"]),
        (["--gaussians", "-1"], ["thinned to -1 Gaussians"]),
        (["--device", "abacus"], ["'abacus'"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_impossible_reconstruction(
    lyra: Lyra, tmp_path: Path, store: Path, no_networks: None, choice: list[str], words: list[str]
) -> None:
    assert_refused(lyra("reconstruct", store, "-o", tmp_path / "out", *choice), *words)
    assert not (tmp_path / "out").exists()


def test_scenes_that_are_there_already_are_kept(lyra: Lyra, tmp_path: Path, store: Path, no_networks: None) -> None:
    thesis = tmp_path / "out" / "tree-1" / "thesis.tex"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    assert_refused(lyra("reconstruct", store, "-o", tmp_path / "out", "--overwrite"), "tree-1", "other files in it")
    assert sorted((tmp_path / "out").rglob("*.*")) == [thesis]


def test_all_records_are_damaged(lyra: Lyra, tmp_path: Path, store: Path) -> None:
    spoil(store, "house-1", "house-2", "tree-1")
    outcome = lyra("reconstruct", store, "-o", tmp_path / "out", "--device", "cpu")
    assert_refused(outcome, "no record of", "can be read")
    assert outcome.out.count("is damaged") == 3 and "3 damaged records were left out" in outcome.out


def test_published_data_without_depth_or_of_another_tokenizer(lyra: Lyra, tmp_path: Path, space: LatentSpace) -> None:
    write_published(tmp_path / "data", tiny_record("house"), space)
    words = ["reconstruct", tmp_path / "data", "-o", tmp_path / "out", "--device", "cpu"]
    assert_refused(lyra(*words), "record house has no depth of its source picture")
    torch.save(np.zeros((1, 16, 3, 4, 8), np.float32), tmp_path / "data" / "0" / "latent" / "house.pkl")
    assert_refused(lyra(*words), "latents have 16 channels, those of the tokenizer nano have 64")
    assert not (tmp_path / "out").exists()
