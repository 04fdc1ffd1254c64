"""Writers killed without warning (SIGKILL) wherever they touch the disk: nothing is lost, nothing comes twice."""

import os
import signal
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from lyra.data import Manifest, RecordWriter, SceneStore, begin_store, summarise
from lyra.data.index import GROWING, SHARD, ShardIndex
from lyra.structures import SceneRecord

KEYS = ("a", "b", "c")
TOUCHES = ("open", "write", "fsync", "ftruncate", "replace", "link", "unlink")
"""Functions of ``os`` through which a store reaches the disk."""


def work(folder: Path, manifest: Manifest, records: dict[str, SceneRecord]) -> None:
    """What a command does: see what is left, write it, two records to a shard, leave the store in order."""
    there = begin_store(folder, manifest).keys()
    with RecordWriter(folder, shard_bytes=10_000) as writer:
        for key, record in records.items():
            if key not in there:
                writer.append(record)
    summarise(folder)


def in_a_child(task: Callable[[], Any], die_at: int | None = None) -> tuple[bool, int]:
    """Run ``task`` in a forked process that kills itself when it touches the disk for the ``die_at``-th time.

    A write is killed half-way, everything else just before it happens.

    Returns:
        Whether it was killed, and otherwise how often it touched the disk.
    """
    reader, sender = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(task, die_at, sender)
    os.close(sender)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True, 0
    assert os.waitstatus_to_exitcode(status) == 0, told.decode()
    return False, int(told)


def _be_the_child(task: Callable[[], Any], die_at: int | None, sender: int) -> NoReturn:
    torch.set_num_threads(1)  # the parent's threads are not in here
    touched = 0
    originals = {name: getattr(os, name) for name in TOUCHES}

    def counted(name: str) -> Callable[..., Any]:
        def touch(*arguments: Any, **choices: Any) -> Any:
            nonlocal touched
            touched += 1
            if touched == die_at:
                if name == "write":
                    originals["write"](arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return originals[name](*arguments, **choices)

        return touch

    code = 1
    try:
        for name in TOUCHES:
            setattr(os, name, counted(name))
        task()
        originals["write"](sender, str(touched).encode())
        code = 0
    except BaseException as fault:
        originals["write"](sender, repr(fault).encode())
    finally:
        os._exit(code)


@pytest.fixture
def records(record: Callable[..., SceneRecord]) -> dict[str, SceneRecord]:
    """Three small records."""
    return {
        key: replace(record(key, seed, names=("left",)), frames=None, depth=None, mask=None)
        for seed, key in enumerate(KEYS)
    }


def assert_whole(folder: Path, records: dict[str, SceneRecord]) -> None:
    """Every record once, equal to what was written, in finished shards that the manifest lists."""
    assert not list(folder.glob(f"*{GROWING}"))
    written = Counter(entry.key for path in folder.glob(f"*{SHARD}.json") for entry in ShardIndex.read(path).entries)
    assert written == Counter(list(records))
    names: list[str] = []
    for path in folder.glob(f"*{SHARD}"):
        with tarfile.open(path) as archive:
            names += archive.getnames()  # a torn record behind the last one would show
    assert sorted(names) == sorted(f"{key}.{member}" for key in records for member in ("json", "png", "safetensors"))
    store = SceneStore(folder)
    assert store.damaged_shards() == () and store.manifest.records == len(records)
    for key, record in records.items():
        read = store.read(key)
        assert torch.equal(read.latents.z, record.latents.z.half().float())
        assert torch.equal(read.views.depth, record.views.depth)


def test_killed_at_every_touch_of_the_disk(tmp_path: Path, manifest: Manifest, records: dict[str, SceneRecord]) -> None:
    killed, touches = in_a_child(lambda: work(tmp_path / "calm", manifest, records))
    assert not killed
    assert_whole(tmp_path / "calm", records)
    assert touches > 30
    kept = set()
    for moment in range(1, touches + 1):
        folder = tmp_path / str(moment)
        killed, _ = in_a_child(lambda folder=folder: work(folder, manifest, records), die_at=moment)
        assert killed
        if (folder / "manifest.json").exists():
            kept.add(len(SceneStore(folder)))  # readable as it was left
        killed, _ = in_a_child(lambda folder=folder: work(folder, manifest, records))
        assert not killed
        assert_whole(folder, records)
    assert kept == {0, 1, 2, 3}, "records that were finished were kept"


def test_killed_again_and_again(tmp_path: Path, manifest: Manifest, records: dict[str, SceneRecord]) -> None:
    """Restarts are killed, too, each a little later."""
    moment, killed = 3, True
    while killed:
        killed, _ = in_a_child(lambda: work(tmp_path, manifest, records), die_at=moment)
        moment += 2
    assert_whole(tmp_path, records)


def test_several_writers_and_one_is_killed(
    tmp_path: Path, manifest: Manifest, record: Callable[..., SceneRecord]
) -> None:
    """Three processes share the work; the second dies in the middle and its share is done by a second command."""
    names = [f"r{index}" for index in range(9)]
    everything = {name: replace(record(name, index, names=("left",)), frames=None) for index, name in enumerate(names)}
    shares = [{name: everything[name] for name in names[start::3]} for start in range(3)]
    children = []
    for number, share in enumerate(shares):
        child = os.fork()
        if child == 0:
            in_a_child(lambda share=share: work(tmp_path, manifest, share), die_at=14 if number == 1 else None)
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert 6 < len(SceneStore(tmp_path)) < 9
    work(tmp_path, manifest, shares[1])
    assert_whole(tmp_path, everything)
