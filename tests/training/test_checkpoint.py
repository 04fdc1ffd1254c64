"""Checkpoints: two are kept, a damaged one never costs a good one, and nothing that others wrote is removed."""

from pathlib import Path

import pytest
import torch

from lyra.structures import InputError
from lyra.training import checkpoint
from lyra.training.checkpoint import LATEST, PREVIOUS, CheckpointFolder, load_checkpoint, save_checkpoint


def step_in(path: Path) -> int:
    return torch.load(path, weights_only=True)["step"]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_last_two_are_kept(tmp_path):
    checkpoints = CheckpointFolder(tmp_path / "run")
    for step in range(1, 5):
        save_checkpoint(checkpoints, {"step": step})
    assert names(tmp_path / "run") == {LATEST, PREVIOUS}
    assert (step_in(checkpoints.latest), step_in(checkpoints.previous)) == (4, 3)


def test_falls_back_to_the_previous_checkpoint_and_keeps_it(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    save_checkpoint(checkpoints, {"step": 1})
    save_checkpoint(checkpoints, {"step": 2})
    assert load_checkpoint(tmp_path)["step"] == 2
    (tmp_path / LATEST).write_bytes((tmp_path / LATEST).read_bytes()[:300])
    said: list[str] = []
    assert load_checkpoint(tmp_path, said.append)["step"] == 1
    assert len(said) == 1 and "cannot be read, trying the previous one" in said[0] and "damaged-1" in said[0]
    save_checkpoint(CheckpointFolder(tmp_path), {"step": 2})
    assert (step_in(tmp_path / LATEST), step_in(tmp_path / PREVIOUS)) == (2, 1)
    assert (tmp_path / "checkpoint.damaged-1.pt").stat().st_size == 300
    with pytest.raises(InputError, match="no checkpoint found"):
        load_checkpoint(tmp_path / "empty")


def test_with_nothing_readable_the_remedy_is_named_and_nothing_removed(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    for step in (1, 2):
        save_checkpoint(checkpoints, {"step": step})
    for name in (LATEST, PREVIOUS):
        (tmp_path / name).write_bytes(b"torn")
    with pytest.raises(InputError, match=r"checkpoint\.pt: .*checkpoint\.previous\.pt: .*start without --resume"):
        load_checkpoint(tmp_path, lambda line: None)
    assert names(tmp_path) == {"checkpoint.damaged-1.pt", "checkpoint.damaged-2.pt"}
    CheckpointFolder(tmp_path).require_none()  # and a new run may start here


def test_what_an_earlier_process_wrote_is_never_removed(tmp_path):
    first = CheckpointFolder(tmp_path)
    for step in (1, 2, 3):
        save_checkpoint(first, {"step": step})
    second = CheckpointFolder(tmp_path)
    for step in (4, 5, 6, 7):
        save_checkpoint(second, {"step": step})
    assert {step_in(path) for path in tmp_path.iterdir()} == {2, 3, 6, 7}
    assert (step_in(tmp_path / LATEST), step_in(tmp_path / PREVIOUS)) == (7, 6)
    # they are of use: when both newer ones are torn, the newest of them is taken
    for name in (LATEST, PREVIOUS):
        (tmp_path / name).write_bytes(b"torn")
    assert load_checkpoint(tmp_path, lambda line: None)["step"] == 3


def test_a_failed_write_leaves_the_newest_in_place(tmp_path, monkeypatch):
    checkpoints = CheckpointFolder(tmp_path)
    save_checkpoint(checkpoints, {"step": 1})

    def full_disk(state, stream):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(checkpoints, {"step": 2})
    assert names(tmp_path) == {LATEST} and step_in(tmp_path / LATEST) == 1


def test_code_inside_a_checkpoint_is_not_run(tmp_path):
    """A pickle that calls a function is refused like a torn file."""
    marker = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (marker.write_text, ("x",))

    torch.save({"step": Trap()}, tmp_path / LATEST)
    with pytest.raises(InputError, match="cannot resume"):
        load_checkpoint(tmp_path, lambda line: None)
    assert not marker.exists()
