"""One tiny world through the whole protocol, with networks that know nothing yet."""

import json
import math
from collections.abc import Callable, Iterator

import pytest

from lyra.evaluation import scores, worlds
from lyra.evaluation.worlds import METHODS, WorldsProtocol, evaluate_worlds, table
from lyra.geometry.trajectories import OFFICIAL_TRAJECTORIES
from lyra.pipeline import Pipeline
from lyra.worlds import load_textures

COLUMNS = {"psnr_all", "ssim_all", "lpips_all", "psnr_late", "ssim_late", "lpips_late", "psnr_holes", "lpips_holes"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, untrained: Callable[[], Pipeline]) -> Iterator[dict]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LYRA_TEXTURE_PACK", raising=False)
        patch.chdir(tmp_path_factory.mktemp("no_pack"))
        patch.setattr(worlds, "load_textures", lambda path, split: load_textures(path, split, limit=8))
        patch.setattr(scores, "MIN_HOLE_PIXELS", 10)
        said: list[str] = []
        result = evaluate_worlds(
            WorldsProtocol(split="val", count=1, steps=1, device="cpu", height=64, width=96, gaussians=6000),
            untrained(),
            said.append,
        )
        assert len(said) == 1 and said[0].startswith("world 1/1: ")
        yield result


def numbers(part: object) -> Iterator[float]:
    if isinstance(part, dict):
        for value in part.values():
            yield from numbers(value)
    elif isinstance(part, float):
        yield part


def test_every_key_is_there_and_every_number_is_one(report):
    assert set(report) == {
        "protocol", "textures", "device", "methods", "decoder_vs_teacher", "scene_vs_teacher", "tokenizer_psnr",
        "depth", "scene_at_own_camera_psnr", "by_trajectory", "frames", "gaussians",
    }  # fmt: skip
    assert report["textures"] == "procedural" and report["device"] == "cpu"
    assert report["protocol"]["split"] == "val" and report["protocol"]["height"] == 64
    assert set(report["methods"]) == set(METHODS)
    counts = report["gaussians"]
    assert counts["scene"] == [6000] and counts["covered"][0] > 6000 and counts["covered"][0] > counts["decoder"][0]
    assert f"{counts['covered'][0]:,} with covered gaps, 6,000 in the end" in table(report)
    assert all(set(row) == COLUMNS for row in report["methods"].values())
    assert set(report["scene_vs_teacher"]) == COLUMNS and set(report["depth"]) == {"abs_rel", "delta1"}
    assert set(report["by_trajectory"]) == {spec.name for spec in OFFICIAL_TRAJECTORIES}
    for rows in report["by_trajectory"].values():
        assert set(rows) == set(METHODS) and all(
            set(row) >= COLUMNS - {"psnr_holes", "lpips_holes"} for row in rows.values()
        )
    assert set(report["frames"]) == {*METHODS, "decoder_vs_teacher", "scene_vs_teacher"}
    for method in METHODS:
        values = report["frames"][method]
        assert set(values) == COLUMNS and len(values["psnr_all"]) == 5 * 4 + 3
        assert sum(values["ssim_all"]) / 23 == pytest.approx(report["methods"][method]["ssim_all"], abs=1e-3)
    found = list(numbers({k: v for k, v in report.items() if k != "protocol"}))
    assert len(found) > 150 and all(math.isfinite(number) for number in found)


def test_all_trajectories_together_are_the_mean_of_their_frames(report):
    """Frames 1, 6, 11 and 16 are scored; the circle is back at the source, which counts for nothing, at 16."""
    frames = {name: 3 if name == "clockwise" else 4 for name in report["by_trajectory"]}
    for method in METHODS:
        total = sum(count * report["by_trajectory"][name][method]["psnr_all"] for name, count in frames.items())
        assert report["methods"][method]["psnr_all"] == pytest.approx(total / sum(frames.values()), abs=1e-3)


def test_untrained_networks_score_what_they_must(report):
    assert 0 <= report["depth"]["delta1"] <= 1 and report["depth"]["abs_rel"] > 0
    assert report["tokenizer_psnr"] > 15  # the linear start is a code already
    assert report["scene_at_own_camera_psnr"] > 20  # the photo's own pixels, lifted and seen from where they came


def test_table_shows_the_report_and_json_keeps_it(report):
    text = table(report)
    for name in (*METHODS, "decoder vs teacher", "scene vs teacher"):
        assert name in text
    assert f"{report['methods']['scene']['psnr_all']:.2f}" in text and "nan" not in text
    assert json.loads(json.dumps(report)) == report
