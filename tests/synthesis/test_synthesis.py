"""The loop: it makes what is not there, once, and goes on after whatever ended it."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from lyra import pipeline, worlds
from lyra.data import RecordWriter, SceneStore, StoreWatch
from lyra.data.index import ShardIndex
from lyra.io.images import Photo
from lyra.pipeline import Pipeline
from lyra.results import GenerateOptions
from lyra.stages import Candidate
from lyra.structures import InputError
from lyra.synthesis import Job, RecordMaker, Synthesis, SynthesisOptions, photo_jobs, prompt_jobs, world_jobs
from lyra.synthesis.maker import make_records
from lyra.worlds import SourcePictures, TextureStore, WorldBatch, collate, load_textures, sample_world

CPU = torch.device("cpu")
OPTIONS = SynthesisOptions(trajectories=("left",), device="cpu")


def written(store: Path) -> Counter[str]:
    """How often each key is in the finished shards."""
    return Counter(entry.key for path in store.glob("*.tar.json") for entry in ShardIndex.read(path).entries)


def run(photos: Path, store: Path, options: SynthesisOptions = OPTIONS, **choices: object) -> list[str]:
    """Keys of the records that were made."""
    synthesis = Synthesis(photo_jobs(photos, options), store, options, choices.pop("part", (0, 1)))  # type: ignore[arg-type]
    return [outcome.key for outcome in synthesis.run(**choices) if not outcome.refused]  # type: ignore[arg-type]


def test_every_photo_becomes_a_record_and_the_second_time_none(tmp_path: Path, photos: Path, quick_road: None) -> None:
    jobs = photo_jobs(photos, OPTIONS)
    assert run(photos, tmp_path / "store") == [job.key for job in jobs]
    assert run(photos, tmp_path / "store") == []
    store = SceneStore(tmp_path / "store")
    assert written(tmp_path / "store") == Counter(job.key for job in jobs)
    tall = store.read(jobs[2].key)
    assert tall.views.frames.rgb.shape == (1, 3, 448, 256) and tall.frames is None
    assert [path.name for path in tall.latents.trajectories] == ["left"]
    assert tall.meta["source"] == "tall.png" and tall.meta["seed"] == 0 and tall.meta["steps"] == 1
    assert store.manifest.config["trajectories"] == ["left"]
    assert store.manifest.networks.keys() == {"depth/nano", "tokenizer/nano", "teacher/nano", "frames/nano"}
    assert any("source pictures" in line for line in store.manifest.licences)


def test_another_seed_is_another_record_and_pictures_are_kept_on_request(
    tmp_path: Path, photos: Path, quick_road: None
) -> None:
    run(photos, tmp_path / "store")
    made = run(photos, tmp_path / "store", replace(OPTIONS, seed=8, rgb=True))
    store = SceneStore(tmp_path / "store")
    assert len(made) == 3 and len(store) == 6
    record = store.read(made[0])
    assert record.frames is not None and record.frames.shape == (1, 17, 3, 256, 448) and record.meta["seed"] == 8
    before = store.read(photo_jobs(photos, OPTIONS)[0].key)
    assert before.latents.trajectories[0].strength != record.latents.trajectories[0].strength


def test_a_prompt_lends_its_first_picture(tmp_path: Path, quick_road: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[int]]] = []

    def illustrate(text, teacher, tokenizer, size, seeds, **choices) -> tuple[Candidate, ...]:  # type: ignore[no-untyped-def]
        asked.append((text.prompt, list(seeds)))
        return (Candidate(seeds[0], torch.full((3, *size), 0.25 * len(asked)), 1.0),)

    monkeypatch.setattr(pipeline, "illustrate", illustrate)
    file = tmp_path / "prompts.txt"
    file.write_text("a courtyard\na red room\n", encoding="utf-8")
    options = replace(OPTIONS, seed=5)
    jobs = prompt_jobs(file, options)
    made = list(Synthesis(jobs, tmp_path / "store", options).run())
    assert [outcome.key for outcome in made] == [job.key for job in jobs] and not any(o.refused for o in made)
    assert asked == [("a courtyard", [5]), ("a red room", [5])]
    store = SceneStore(tmp_path / "store")
    shown = [store.read(job.key) for job in jobs]
    assert [float(record.views.frames.rgb.mean()) for record in shown] == pytest.approx([0.25, 0.5], abs=3e-3)
    assert [record.meta["source"] for record in shown] == ["a courtyard", "a red room"]
    assert any("prompts" in line for line in store.manifest.licences)
    assert not Synthesis(jobs, tmp_path / "store", options).todo


def test_parts_make_the_whole_and_no_part_makes_anothers_records(
    tmp_path: Path, photos: Path, quick_road: None
) -> None:
    first, second = (run(photos, tmp_path / "store", part=(part, 2)) for part in (0, 1))
    assert not set(first) & set(second)
    assert sorted(first + second) == sorted(job.key for job in photo_jobs(photos, OPTIONS))


def test_a_photo_that_cannot_be_used_is_told_and_left_out(tmp_path: Path, photos: Path, quick_road: None) -> None:
    (photos / "tall.png").write_bytes(b"not a picture")
    synthesis = Synthesis(photo_jobs(photos, OPTIONS), tmp_path / "store", OPTIONS)
    refused = [outcome for outcome in synthesis.run() if outcome.refused]
    assert [outcome.source for outcome in refused] == ["tall.png"] and "not a picture" in refused[0].refused
    assert len(SceneStore(tmp_path / "store")) == 2


@pytest.mark.parametrize("moment", ["before", "while"])
def test_what_another_writer_wrote_meanwhile_is_not_repeated(
    tmp_path: Path, photos: Path, quick_road: None, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    jobs = photo_jobs(photos, OPTIONS)
    store = tmp_path / "store"
    synthesis = Synthesis(jobs, store, OPTIONS)
    maker = RecordMaker(Pipeline.load("cpu"), OPTIONS)
    make, started = RecordMaker.make, []

    def make_and_be_overtaken(self: RecordMaker, job: Job, progress: object = None) -> object:
        record = make(self, job)
        started.append(job.key)
        with RecordWriter(store) as other:
            if moment == "while" and job == jobs[0]:
                other.append(record)
            if moment == "before" and job == jobs[0]:
                other.append(make(self, jobs[1]))
        return record

    monkeypatch.setattr(RecordMaker, "make", make_and_be_overtaken)
    with RecordWriter(store) as writer:
        outcomes = list(make_records(synthesis.todo, maker, writer, StoreWatch(store)))
    overtaken = jobs[0] if moment == "while" else jobs[1]
    assert overtaken.key not in [outcome.key for outcome in outcomes]
    assert (overtaken.key in started) is (moment == "while")
    assert written(store) == Counter(job.key for job in jobs)


def test_after_an_interruption_the_same_command_goes_on(
    tmp_path: Path, photos: Path, quick_road: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    imagine, calls = pipeline.imagine, []

    def imagine_twice(*arguments: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return imagine(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "imagine", imagine_twice)
    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path / "store")
    store = SceneStore(tmp_path / "store")
    assert len(store) == store.manifest.records == 2 and not list(store.folder.glob("*.growing"))
    assert len(run(photos, tmp_path / "store")) == 1
    assert set(written(tmp_path / "store").values()) == {1} and len(calls) == 4


def test_a_world_lends_its_first_picture_and_its_lens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = load_textures(None, "train", limit=1)
    filmed, imagined = [], []

    def film(batch: WorldBatch, store: TextureStore, height: int, width: int) -> SourcePictures:
        filmed.append(batch)
        K = torch.eye(3)[None] * 400
        return SourcePictures(
            torch.full((1, 3, height, width), 1.2), torch.ones(1, 1, 1), torch.ones(1), K, torch.ones(1)
        )

    class Road:
        device = torch.device("cpu")

        def imagine(self, photo: Photo, options: GenerateOptions, progress: None, name: str) -> None:
            imagined.append((photo, options.seed, name))
            raise InputError("far enough")

    monkeypatch.setattr(worlds, "load_textures", lambda path, split: few)
    monkeypatch.setattr(worlds, "film_source", film)
    options = SynthesisOptions(seed=5)
    maker = RecordMaker(Road(), options)  # type: ignore[arg-type]
    for job in world_jobs(2, options):
        with pytest.raises(InputError, match="far enough"):
            maker.make(job)
    assert [name for _, _, name in imagined] == ["world 5", "world 6"] and [seed for _, seed, _ in imagined] == [5, 6]
    photo = imagined[0][0]
    assert photo.frames.rgb.shape == (1, 3, 256, 448) and photo.frames.rgb.max() == 1
    assert photo.focal_px_fraction == pytest.approx(400 / 448)
    for seed, batch in zip((5, 6), filmed, strict=True):
        assert torch.equal(batch.source_c2w, collate([sample_world(seed, "train", few)], CPU).source_c2w)


def test_two_processes_killed_and_started_again(
    tmp_path: Path, photos: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself with two workers: its parent is killed, which ends the workers, and the rest is done later."""
    monkeypatch.setenv("LYRA_WEIGHTS_DIR", str(tiny_weights))
    for number in range(4):  # seven photos in all: more than anybody makes between two looks
        Image.new("RGB", (96, 60), (40 * number, 90, 60)).save(photos / f"more{number}.png")
    store = tmp_path / "store"
    words = ["synthesize", "--photos", photos, "--store", store, "--trajectories", "left", "--device", "cpu"]
    command = [sys.executable, "-m", "lyra", *map(str, words), "--workers", "2"]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    keys = [job.key for job in photo_jobs(photos, OPTIONS)]
    watch = StoreWatch(store)
    while not any(key in watch for key in keys):
        assert parent.poll() is None, parent.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    writers = {int(path.name.split("-")[1]) for path in store.glob("*.growing")}
    assert writers
    while any(os.path.exists(f"/proc/{process}") for process in writers):  # they end by themselves
        assert time.monotonic() < deadline
        time.sleep(0.05)
    there = SceneStore(store).keys()
    assert 1 <= len(there) < len(keys), "orphans went on"
    assert sorted(run(photos, store)) == sorted(set(keys) - set(there))
    assert written(store) == Counter(keys)
    assert SceneStore(store).damaged_shards() == ()
    assert all(SceneStore(store).read(key).latents.z.shape == (1, 8, 3, *_cells(key)) for key in keys)


def _cells(key: str) -> tuple[int, int]:
    return (56, 32) if key.startswith("tall") else (32, 56)


def test_two_actors_of_ray_share_the_work(
    tmp_path: Path, photos: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray.data", reason="needs ray, of the extra ray")
    monkeypatch.setenv("LYRA_WEIGHTS_DIR", str(tiny_weights))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    (photos / "tall.png").write_bytes(b"not a picture")
    synthesis = Synthesis(photo_jobs(photos, OPTIONS), tmp_path / "store", OPTIONS)
    outcomes = list(synthesis.run(workers=2, ray="local"))
    assert sorted(outcome.source for outcome in outcomes) == ["a.jpg", "a.jpg", "tall.png"]
    (refused,) = [outcome for outcome in outcomes if outcome.refused]
    assert refused.source == "tall.png" and "not a picture" in refused.refused
    expected = [job.key for job in synthesis.todo if job.source != "tall.png"]
    assert written(tmp_path / "store") == Counter(expected)
    assert SceneStore(tmp_path / "store").manifest.records == 2
    assert not list((tmp_path / "store").glob("*.growing"))
