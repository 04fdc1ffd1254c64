"""`benchmarks/official.py` at the smallest size."""

import importlib.util
import json
from pathlib import Path

import pytest

from lyra.hub.official import toy_slots

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "official.py"


def test_every_line_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("benchmark_of_official", PROGRAM)
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    program.main(["--toy", "--steps", "1", "--limit", "1", "0.0001", "--json", str(tmp_path / "official.json")])
    report = json.loads((tmp_path / "official.json").read_text())

    config = next(slot.config for slot in toy_slots() if slot.role == "teacher")
    width, tokens = config.heads * config.head_dim, 3 * 4 * 6
    linear = 4 * width**2 + 2 * width**2 + 2 * 4 * width**2  # self-attention, cross-attention without keys, MLP
    by_hand = config.layers * (2 * tokens * linear + 4 * tokens**2 * width)
    assert by_hand < report["operations_of_a_pass"] < 1.5 * by_hand, "modulation and embeddings weigh little"
    assert report["floor_clip_seconds"] == pytest.approx(70 * report["floor_pass_seconds"])

    lines = {line["name"]: line for line in report["settings"]}
    assert lines["as published"]["passes"] == 70 and lines["no guidance"]["passes"] == 35
    assert lines["18 steps of order 2"]["passes"] == 36 and 18 < lines["quality balanced"]["passes"] < 36
    for line in lines.values():
        if "pass_seconds" in line:
            assert line["clip_seconds"] == pytest.approx(line["passes"] * line["pass_seconds"]) and line["passes"] > 0
        else:
            assert "compiled" in line["name"] and line["not_measured"] == "needs a GPU"
    same = {name for name, line in lines.items() if line["changes_the_result"] == "no"}
    assert {"as published", "blocks in parts", "compiled blocks", "6 trajectories at once"} == same - {
        "2 trajectories at once"
    }
    held, refused = report["limits"]
    assert held["choice"]["teacher"] == "resident" and held["times_resident"] > 0
    assert "are needed" in refused["not_measured"]
    assert [line["tokens_together"] for line in report["decoder"]] == [None, 65536, 16384]
    assert [line["frames_together"] for line in report["tokenizer"]] == [None, 4, 1]
    assert "floor: " in capsys.readouterr().out
