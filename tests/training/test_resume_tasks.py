"""Every real task, stopped in the middle and resumed, ends with the bits of an unbroken run."""

import pytest
import torch

from lyra.training.checkpoint import load_checkpoint
from lyra.training.loop import run_loop
from lyra.training.train import make_task, train

CPU = torch.device("cpu")


class Interrupted(Exception):
    """Stands for a machine that goes away."""


def quiet(line: str) -> None:
    """Take a log line and say nothing."""


def tensors(value, path=()) -> dict:
    """All tensors in nested dictionaries and lists, by path."""
    if isinstance(value, torch.Tensor):
        return {path: value}
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, part in items for k, v in tensors(part, (*path, key)).items()}
    return {}


def break_at(task, step: int) -> None:
    """Let ``task`` raise when it comes to ``step``."""
    loss = task.loss

    def broken(now, progress):
        if now == step:
            raise Interrupted
        return loss(now, progress)

    task.loss = broken


@pytest.mark.parametrize(
    ("name", "steps", "choices"),
    [
        ("tokenizer", 2, {}),
        ("depth", 2, {"accumulate": 2}),
        ("teacher", 2, {"checkpoint_activations": True}),
        ("text", 2, {}),
        ("decoder", 4, {"recipe": "progressive", "height": 64, "width": 128, "checkpoint_activations": True}),
    ],
)
def test_resumed_equals_unbroken(name, steps, choices, tiny, tmp_path):
    sizes = {"steps": steps, "save_every": steps // 2, "score": False, "pool": 2, **choices}
    whole = tiny(name, out=tmp_path / "whole", **sizes)
    train(whole, notify=quiet)
    parts = tiny(name, out=tmp_path / "parts", **sizes)
    task = make_task(parts, CPU)
    break_at(task, steps // 2)
    with pytest.raises(Interrupted):
        run_loop(task, parts, quiet)
    half = load_checkpoint(parts.out)
    assert half["step"] == steps // 2
    train(tiny(name, out=tmp_path / "parts", resume=True, **sizes), notify=quiet)
    one, other = (tensors(load_checkpoint(run.out)) for run in (whole, parts))
    assert len(one) > 20 and one.keys() == other.keys()
    assert [path for path in one if not torch.equal(one[path], other[path])] == []
    assert any(not torch.equal(value, one[path]) for path, value in tensors(half).items())  # and it went on
