"""`benchmarks/official.py` at the smallest size."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from lyra.hub.official import toy_slots

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # where Python puts the folder of a programme it runs
    spec = importlib.util.spec_from_file_location("benchmark_of_official", BENCHMARKS / "official.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_line_is_there(program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program.main(["--toy", "--passes", "1", "--limit", "1", "0.0001", "--json", str(tmp_path / "official.json")])
    report = json.loads((tmp_path / "official.json").read_text())

    config = next(slot.config for slot in toy_slots() if slot.role == "teacher")
    width, tokens = config.heads * config.head_dim, 3 * 4 * 6
    linear = 4 * width**2 + 2 * width**2 + 2 * 4 * width**2  # self-attention, cross-attention without keys, MLP
    by_hand = config.layers * (2 * tokens * linear + 4 * tokens**2 * width)
    assert by_hand < report["operations_of_a_pass"] < 1.5 * by_hand, "modulation and embeddings weigh little"
    spared = report["operations_of_a_pass"] - report["operations_without_text"]
    assert spared > config.layers * 2 * tokens * 2 * width**2, "queries and outputs of the cross-attention at least"
    assert report["floor_clip_seconds"] == pytest.approx(70 * report["floor_pass_seconds"])

    lines = report["ladder"]
    assert [line["name"] for line in lines if "not_measured" in line] == ["+ compiled blocks"]
    timed = [line for line in lines if "passes" in line]
    assert [line["passes"] for line in timed] == [70, 70, 70, 70, 48, 42, 16, 10]
    for line in timed:
        assert line["clip_seconds"] == pytest.approx(line["passes"] * line["pass_seconds"])
        assert line["faster"] == pytest.approx(timed[0]["clip_seconds"] / line["clip_seconds"])
    assert [line["changes_the_result"] for line in timed] == ["no"] * 2 + ["rounding"] * 2 + ["yes"] * 4
    held, refused = report["limits"]
    assert held["choice"]["teacher"] == "resident" and held["times_resident"] > 0
    assert "are needed" in refused["not_measured"]
    assert [line.get("tokens_together") for line in report["decoder"]] == [None, None, 32768, 16384, None]
    assert report["decoder"][-1]["mamba_block"] > 0 and report["decoder"][-1]["pruning"] > 0
    assert [line["frames_together"] for line in report["tokenizer"]] == [None, 8, 4, 1]
    assert report["warp"][0]["clip_seconds"] == pytest.approx(17 * report["warp"][0]["frame_seconds"])
    assert len(report["alone"]) == 5 and all(line["pass_seconds"] > 0 for line in report["alone"])
    assert {line["name"] for line in report["render"]} == {"ray", "ray, without depth", "ewa"}
    assert "floor: " in capsys.readouterr().out


def test_a_budget_begins_nothing_new(program: ModuleType, tmp_path: Path) -> None:
    words = ["--toy", "--parts", "ladder", "render", "--budget-seconds", "0", "--json", str(tmp_path / "short.json")]
    program.main(words)
    report = json.loads((tmp_path / "short.json").read_text())
    assert {line["not_measured"] for part in ("ladder", "render") for line in report[part]} == {"no time left"}
