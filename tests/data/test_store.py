"""What a store promises: whole records, shards that other tools read, and clear words about whatever is wrong."""

import errno
import fcntl
import hashlib
import json
import os
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lyra.data import (
    LatentSpace,
    Manifest,
    RecordWriter,
    SceneStore,
    StoreWatch,
    begin_store,
    open_records,
    readable_records,
    summarise,
)
from lyra.data import writer as writer_module
from lyra.data.record_codec import pack_record
from lyra.data.shard import scan, tar_bytes
from lyra.structures import InputError, SceneRecord

Maker = Callable[..., SceneRecord]


@pytest.fixture
def filled(tmp_path: Path, manifest: Manifest, record: Maker) -> Path:
    """Five records in shards of two, two and one."""
    folder = tmp_path / "store"
    begin_store(folder, manifest)
    with RecordWriter(folder, shard_bytes=60_000) as writer:
        for index in range(5):
            writer.append(record(f"r{index}", index))
    summarise(folder)
    assert [shard["records"] for shard in Manifest.read(folder).shards] == [2, 2, 1]
    return folder


def files(folder: Path, ending: str) -> list[Path]:
    return sorted(folder.glob(f"*{ending}"))


def test_what_was_written_is_read(filled: Path, record: Maker, space: LatentSpace) -> None:
    store = open_records(filled, space)
    assert sorted(store.keys()) == ["r0", "r1", "r2", "r3", "r4"]
    for index in range(5):
        read, written = store.read(f"r{index}"), record(f"r{index}", index)
        assert torch.equal(read.latents.z, written.latents.z.half().float())
        assert torch.equal(read.views.depth, written.views.depth) and read.meta == {"seed": index}


def test_the_manifest_tells_what_is_there(filled: Path, space: LatentSpace) -> None:
    values = json.loads((filled / "manifest.json").read_text())
    assert values["format"] == "lyra-store" and values["records"] == 5 and values["lyra"]
    assert values["tokenizer"] == space.to_json()
    assert values["config"] == {"steps": 2} and values["licences"] == ["toys: CC0-1.0"]
    assert values["networks"] == {"teacher/toy": {"sha256": "ab", "licence": "CC0-1.0"}}
    for shard in values["shards"]:
        content = (filled / shard["name"]).read_bytes()
        assert shard["bytes"] == len(content) and shard["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_webdataset_library_reads_the_shards(filled: Path, record: Maker) -> None:
    webdataset = pytest.importorskip("webdataset", reason="needs webdataset, of the extra train")
    shards = [str(path) for path in files(filled, ".tar")]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb"))
    assert [sample["__key__"] for sample in samples] == ["r0", "r1", "r2", "r3", "r4"]
    picture = torch.from_numpy(samples[2]["png"]).permute(2, 0, 1)
    assert torch.allclose(picture, record("r2", 2).views.frames.rgb[0], atol=0.5 / 255 + 1e-6)
    assert samples[2]["json"]["names"] == ["left", "zoom_in"]


def test_a_damaged_record_is_left_out_counted_and_reported(filled: Path, space: LatentSpace) -> None:
    shard = files(filled, ".tar")[1]
    content = bytearray(shard.read_bytes())
    content[content.index(b"latents") + 2000] ^= 1  # inside the tensors of the shard's first record
    shard.write_bytes(content)
    said: list[str] = []
    store = open_records(filled, space)
    assert [record.key for record in readable_records(store, said.append)] == ["r0", "r1", "r3", "r4"]
    assert len(said) == 2
    assert (
        "record r2 is damaged, the checksum of its safetensors is wrong; restore" in said[0] and shard.name in said[0]
    )
    assert said[1] == f"{filled}: 1 damaged records were left out"
    assert SceneStore(filled).damaged_shards() == (shard.name,)


def test_a_shard_without_an_end_is_refused_by_name(filled: Path) -> None:
    shard = files(filled, ".tar")[0]
    size = shard.stat().st_size
    os.truncate(shard, size // 2)
    with pytest.raises(InputError, match=rf"shard {shard.name} has {size // 2} bytes instead of {size}; copy it again"):
        SceneStore(filled)


@pytest.mark.parametrize("gone", [".tar", ".tar and .tar.json"])
def test_a_missing_shard_is_named(filled: Path, gone: str) -> None:
    shard = files(filled, ".tar")[1]
    for ending in gone.split(" and "):
        (filled / (shard.name.removesuffix(".tar") + ending)).unlink()
    with pytest.raises(InputError, match=rf"{shard.name} is missing \(2 records\); copy it back, or delete"):
        SceneStore(filled)


def test_a_lost_index_is_made_again(filled: Path) -> None:
    index = files(filled, ".tar.json")[0]
    before = index.read_bytes()
    index.unlink()
    assert len(SceneStore(filled)) == 5  # the shard itself tells
    summarise(filled)
    assert index.read_bytes() == before


def test_an_unreadable_index_is_named(filled: Path) -> None:
    index = files(filled, ".tar.json")[0]
    index.write_text("{")
    with pytest.raises(InputError, match=rf"{index.name} is unreadable .*; delete it"):
        SceneStore(filled)


def test_an_empty_store_is_refused(tmp_path: Path, manifest: Manifest, space: LatentSpace) -> None:
    begin_store(tmp_path, manifest)
    with pytest.raises(InputError, match="is empty; fill it with lyra synthesize"):
        open_records(tmp_path, space)


def test_what_is_no_store_is_refused(tmp_path: Path, space: LatentSpace) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path, words in ((tmp_path / "gone", "does not exist"), (tmp_path / "notes.txt", "is a file")):
        with pytest.raises(InputError, match=words):
            open_records(path, space)
    with pytest.raises(InputError, match=r"is not a store: it has no manifest.json; "):
        SceneStore(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is unreadable"),
        ("[]", "is not the manifest of a store"),
        ('{"format": "lyra-store", "version": 9}', "version 9, known is 1; update lyra"),
        ('{"format": "lyra-store", "version": 1}', "lacks or garbles an entry"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=words):
        SceneStore(tmp_path)


def test_latents_of_other_networks_are_refused(filled: Path, space: LatentSpace, manifest: Manifest) -> None:
    for other, words in (
        (LatentSpace("nano", space.mean, space.std), "tokenizer toy, needed are those of nano"),
        (LatentSpace("toy", space.mean + 0.1, space.std), "another training of toy"),
    ):
        with pytest.raises(InputError, match=words):
            open_records(filled, other)
        with pytest.raises(InputError, match=words):
            begin_store(filled, Manifest(other))
    networks = {"teacher/toy": {"sha256": "cd", "licence": "CC0-1.0"}}
    with pytest.raises(InputError, match="was made with other weights of teacher/toy; write into a new store"):
        begin_store(filled, Manifest(space, networks=networks))
    begin_store(filled, manifest)


def test_a_record_of_another_tokenizer_counts_as_damaged(tmp_path: Path, space: LatentSpace, record: Maker) -> None:
    begin_store(tmp_path, Manifest(LatentSpace("other", space.mean, space.std)))
    with RecordWriter(tmp_path) as writer:
        writer.append(record("a"))
    said: list[str] = []
    assert not list(readable_records(SceneStore(tmp_path), said.append))
    assert "record a is of the tokenizer toy, the store of other; " in said[0]


def test_an_unknown_record_is_refused_with_some_that_are_there(filled: Path) -> None:
    with pytest.raises(InputError, match="has no record r9; known are r0, r1, r2, r3, r4"):
        SceneStore(filled).read("r9")


def test_growing_shards_are_read_while_their_writers_write(tmp_path: Path, manifest: Manifest, record: Maker) -> None:
    begin_store(tmp_path, manifest)
    with RecordWriter(tmp_path) as first, RecordWriter(tmp_path) as second:
        watch = StoreWatch(tmp_path)
        first.append(record("a"))
        second.append(record("b"))
        first.append(record("c"))
        assert sorted(SceneStore(tmp_path).keys()) == ["a", "b", "c"]
        assert "b" in watch and "c" in watch and "d" not in watch
        summarise(tmp_path)  # as another command would: it leaves the shards of living writers alone
        assert len(files(tmp_path, ".tar.growing")) == 2 and not files(tmp_path, ".tar")
        store = SceneStore(tmp_path)
    assert "b" in watch and "d" not in watch
    assert len(files(tmp_path, ".tar")) == 2 and not files(tmp_path, ".growing")
    assert store.read("a").key == "a"  # opened before the shard was finished and renamed
    assert summarise(tmp_path).records == 3


def test_an_empty_shard_that_somebody_tidies_away_is_left_to_them(
    tmp_path: Path, manifest: Manifest, record: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making a file and locking it, another command may take it for an abandoned one."""
    begin_store(tmp_path, manifest)
    open_file, held = os.open, []

    def open_and_be_overtaken(path: Path, flags: int, *mode: int) -> int:
        descriptor = open_file(path, flags, *mode)
        if flags & os.O_CREAT and not held:
            held.append(open_file(path, os.O_RDWR))
            fcntl.flock(held[0], fcntl.LOCK_EX)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_be_overtaken)
    with RecordWriter(tmp_path) as writer:
        writer.append(record("a"))
        os.close(held[0])  # the other one has seen that the file is empty, and
        summarise(tmp_path)  # removes it
        writer.append(record("b"))
    assert SceneStore(tmp_path).keys() == ("a", "b") and len(files(tmp_path, ".tar")) == 1
    assert not files(tmp_path, ".growing")


def test_a_writer_that_ends_while_somebody_tidies_up(
    tmp_path: Path, manifest: Manifest, record: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_store(tmp_path, manifest)
    writer = RecordWriter(tmp_path)
    writer.append(record("a"))
    lock = writer_module._lock

    def end_first(descriptor: int) -> str:
        monkeypatch.setattr(writer_module, "_lock", lock)
        writer.close()
        return lock(descriptor)

    monkeypatch.setattr(writer_module, "_lock", end_first)
    assert summarise(tmp_path).records == 1
    assert SceneStore(tmp_path).damaged_shards() == ()


@pytest.mark.parametrize("fault", [errno.ENOLCK, errno.EIO])
def test_a_disk_without_locks_is_written_and_read_but_not_tidied(
    tmp_path: Path, manifest: Manifest, record: Maker, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    begin_store(tmp_path, manifest)

    def no_lock(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(fcntl, "flock", no_lock)
    writer = RecordWriter(tmp_path)
    if fault == errno.EIO:  # a disk that fails is another thing
        with pytest.raises(InputError, match="record a cannot be written"):
            writer.append(record("a"))
        return
    writer.append(record("a"))
    assert summarise(tmp_path).records == 0 and SceneStore(tmp_path).keys() == ("a",)
    writer.close()
    assert summarise(tmp_path).records == 1


def test_a_shard_that_is_cut_anywhere_ends_with_its_last_whole_record(tmp_path: Path, record: Maker) -> None:
    whole = [tar_bytes(key, pack_record(replace(record(key), frames=None))) for key in ("a", "b")]
    shard = tmp_path / "shard"
    content, last = b"".join(whole), json_end(whole[1])
    for cut in {
        *range(len(whole[0]), len(content), 700),
        *range(len(whole[0]) + last - 1, len(whole[0]) + last - 900, -60),
    }:
        shard.write_bytes(content[:cut])
        assert [entry.key for entry in scan(shard)] == ["a"], cut
    for end in (b"", bytes(1024), b"x" * 600):
        shard.write_bytes(content + end)
        assert [(entry.key, entry.offset, entry.size) for entry in scan(shard)] == [
            ("a", 0, len(whole[0])), ("b", len(whole[0]), len(whole[1])),
        ]  # fmt: skip


def json_end(content: bytes) -> int:
    """Where the description ends; what follows is filled up with zeros."""
    return len(content.rstrip(b"\0"))


def test_after_a_power_failure_the_last_record_may_be_hollow(tmp_path: Path, manifest: Manifest, record: Maker) -> None:
    """Its end reached the disk and its middle did not: it does not count, and the next command makes it again."""
    begin_store(tmp_path, manifest)
    writer = RecordWriter(tmp_path)
    first, _ = writer.append(record("a")), writer.append(record("b"))
    os.close(writer._descriptor)  # the process is gone, and its lock with it
    (growing,) = files(tmp_path, ".growing")
    with growing.open("r+b") as file:
        file.seek(first + 2048)
        file.write(bytes(512))
    assert SceneStore(tmp_path).keys() == ("a",) and "b" not in StoreWatch(tmp_path)
    assert begin_store(tmp_path, manifest).keys() == ("a",)
    with RecordWriter(tmp_path) as another:
        another.append(record("b"))
    assert summarise(tmp_path).records == 2 and sorted(SceneStore(tmp_path).keys()) == ["a", "b"]
    assert not files(tmp_path, ".growing")


def test_a_record_written_twice_is_given_once(tmp_path: Path, manifest: Manifest, record: Maker) -> None:
    begin_store(tmp_path, manifest)
    for _ in range(2):
        with RecordWriter(tmp_path) as writer:
            writer.append(record("a"))
    assert len(files(tmp_path, ".tar")) == 2
    assert SceneStore(tmp_path).keys() == ("a",)


def test_somebody_elses_folder_is_left_alone(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is a folder with other files in it; choose a new folder with --store"):
        begin_store(tmp_path, manifest)
    with pytest.raises(InputError, match="is a file; give a folder"):
        begin_store(tmp_path / "thesis.tex", manifest)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("limit", ["by the system", "after some bytes"])
def test_a_full_disk_in_the_middle_of_a_shard(
    tmp_path: Path, manifest: Manifest, record: Maker, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """The record that does not fit is refused in one line; the store stays valid and goes on when there is room."""
    begin_store(tmp_path, manifest)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        write(descriptor, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = RecordWriter(tmp_path)
    size = writer.append(record("a"))
    try:
        if limit == "by the system":  # files may grow to one and a half records, writes beyond fail
            resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 2, limits[1]))
            words = "file too large"
        else:
            monkeypatch.setattr(os, "write", full)
            words = "no space left on device"
        with pytest.raises(
            InputError, match=rf"record b cannot be written \({words}\); make room and .* records are safe"
        ):
            writer.append(record("b"))
        assert SceneStore(tmp_path).keys() == ("a",)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        monkeypatch.undo()
    (growing,) = files(tmp_path, ".growing")
    assert growing.stat().st_size == size  # nothing of the other record is left
    writer.append(record("c"))
    writer.close()
    assert SceneStore(tmp_path).keys() == ("a", "c")
    assert SceneStore(tmp_path).damaged_shards() == () and summarise(tmp_path).records == 2


def test_a_disk_that_is_full_when_the_store_is_left(
    tmp_path: Path, manifest: Manifest, record: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went wrong first is told, and the shard stays readable without an end and an index."""
    begin_store(tmp_path, manifest)
    with pytest.raises(InputError, match="record b cannot be written"), RecordWriter(tmp_path) as writer:
        writer.append(record("a"))

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", full)
        writer.append(record("b"))
    monkeypatch.undo()
    assert SceneStore(tmp_path).keys() == ("a",)
    assert len(files(tmp_path, ".growing")) == 1
    assert summarise(tmp_path).records == 1
    assert not files(tmp_path, ".growing")
