"""What run.json says of the number format."""

import json
from pathlib import Path

import pytest

from lyra.nn import precision


@pytest.mark.parametrize(("words", "has", "expected"), [
    ((), True, "bfloat16"), ((), False, "float32"), (("--exact",), True, "float32"),
])  # fmt: skip
def test_a_run_tells_the_format_it_computed_in(
    lyra, photo, tmp_path: Path, quick_networks, monkeypatch, words, has, expected
):
    monkeypatch.setattr(precision, "processor_has_bfloat16", lambda: has)
    out = tmp_path / "out"
    assert lyra("generate", photo, "-o", out, "--device", "cpu", "--trajectories", "left", *words).code == 0
    record = json.loads((out / "run.json").read_text())
    assert record["precision"] == expected and record["options"]["exact"] == bool(words)
