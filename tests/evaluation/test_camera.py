"""Camera faithfulness: true views win all duels, views from wrong cameras lose them, and clips agree or do not."""

import json
import math
from collections.abc import Iterator

import pytest
import torch

from lyra.cli import main
from lyra.evaluation import camera
from lyra.evaluation.camera import METHODS, Agreement, CameraProtocol, Duels, View, evaluate_camera, table
from lyra.geometry.trajectories import trajectory_c2w
from lyra.worlds import collate, film, load_textures, sample_world

SIZE = {"height": 64, "width": 96}


@pytest.fixture(scope="module")
def few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(camera, "load_textures", lambda path, split: load_textures(path, split, limit=8))
        patch.delenv("LYRA_TEXTURE_PACK", raising=False)
        yield


@pytest.fixture(scope="module")
def report(few, untrained) -> dict:
    protocol = CameraProtocol(
        split="val", count=1, steps=1, device="cpu", trajectories=("left", "zoom_out"), degrees=(1.0, 4.0),
        distances=(0.1,), **SIZE,
    )  # fmt: skip
    said: list[str] = []
    result = evaluate_camera(protocol, untrained(), said.append)
    assert len(said) == 1 and said[0].startswith("world 1/1: won teacher")
    return result


def test_the_report_has_every_number(report):
    assert set(report) == {"protocol", "textures", "device", "duels", "consistency"}
    assert set(report["duels"]) == set(METHODS)
    for rows in report["duels"].values():
        assert set(rows) == {"1 degrees", "4 degrees", "0.1 moved", "all"}
        assert rows["all"]["frames"] == 6 and all(math.isfinite(row["margin_db"]) for row in rows.values())
    assert set(report["consistency"]) == {"teacher", "tokenizer"}
    assert report["consistency"]["tokenizer"]["pairs"] == 2
    assert json.loads(json.dumps(report)) == json.loads(json.dumps(report, default=str))
    text = table(report)
    assert "4 degrees" in text and "between clips, tokenizer" in text and "nan" not in text


def test_true_views_know_their_camera(report):
    """What the tokenizer makes of the true view fits the right camera best, clearly where the wrong one is far off."""
    rows = report["duels"]["tokenizer"]
    assert rows["all"]["win_rate"] == 1.0
    assert rows["4 degrees"]["margin_db"] > rows["1 degrees"]["margin_db"] > 0.5


def test_true_views_agree_with_each_other(report):
    assert report["consistency"]["tokenizer"]["psnr"] > 20
    assert report["consistency"]["tokenizer"]["depth_log_error"] < 0.05


def test_duels_count_wins_and_margins():
    duels = Duels()
    duels.add("1 degrees", torch.tensor([1.0, -0.5]))
    duels.add("2 degrees", torch.tensor([3.0, 2.5]))
    summary = duels.summary()
    assert summary["1 degrees"] == {"win_rate": 0.5, "margin_db": 0.25, "frames": 2}
    assert summary["all"] == {"win_rate": 0.75, "margin_db": 1.5, "frames": 4}


def views(few) -> tuple[list[View], torch.Tensor]:
    textures = load_textures(None, "val", limit=8)
    worlds = collate([sample_world(2, "val", textures, "room")], "cpu")
    c2w = torch.stack([trajectory_c2w(name, 17, 0.3)[-1] for name in ("left", "right")])
    clip = film(worlds, textures.to("cpu"), c2w[None, :, None], **SIZE)
    nothing = torch.zeros(SIZE["height"], SIZE["width"], dtype=torch.bool)
    return [View(clip.rgb[0, i, 0], clip.depth[0, i, 0], c2w[i], nothing) for i in range(2)], clip.K[0]


def test_agreement_falls_when_one_view_is_shifted_or_recoloured(few):
    (left, right), K = views(few)
    scores = {}
    for name, second in {
        "true": right,
        "shifted": View(right.rgb.roll(3, -1), right.depth, right.c2w, right.seen),
        "darker": View(right.rgb * 0.6, right.depth, right.c2w, right.seen),
        "deeper": View(right.rgb, right.depth * 1.07, right.c2w, right.seen),
    }.items():
        agreement = Agreement()
        agreement.add(left, second, K)
        scores[name] = agreement.summary()
    assert scores["true"]["psnr"] > scores["shifted"]["psnr"] + 2
    assert scores["true"]["psnr"] > scores["darker"]["psnr"] + 5
    assert scores["deeper"]["depth_log_error"] > scores["true"]["depth_log_error"] + 0.04
    assert scores["true"]["psnr_hidden"] == pytest.approx(scores["true"]["psnr"], abs=0.01)  # the source saw nothing


def test_the_command_refuses_nonsense(capsys):
    assert main(["evaluate", "camera", "--count", "0"]) == 2
    assert "count 0 should be at least 1" in capsys.readouterr().err
    assert main(["evaluate", "camera", "--json", "scores.txt"]) == 2
