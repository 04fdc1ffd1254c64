"""One tiny moving world through the whole protocol, with networks that know nothing yet."""

import math
from collections.abc import Callable

import pytest

from lyra.evaluation import moving_worlds, scores
from lyra.evaluation.moving_worlds import METHODS, MovingProtocol, evaluate_moving_worlds, table
from lyra.pipeline import Pipeline
from lyra.worlds import load_textures


def test_every_number_the_protocol_names_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path, untrained: Callable[[], Pipeline]
) -> None:
    monkeypatch.delenv("LYRA_TEXTURE_PACK", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(moving_worlds, "load_textures", lambda path, split: load_textures(path, split, limit=8))
    monkeypatch.setattr(scores, "MIN_HOLE_PIXELS", 10)
    monkeypatch.setattr(moving_worlds, "place_by_colmap", lambda rgb, K: None)
    said: list[str] = []
    protocol = MovingProtocol(split="val", count=1, steps=1, device="cpu", height=64, width=96, cameras=1, stride=8)
    report = evaluate_moving_worlds(protocol, untrained(), said.append)
    assert len(said) == 2 and said[0].startswith("world 1/1")
    assert set(report["methods"]) == set(METHODS) == set(report["moving"]) == set(report["still"])
    assert set(report["flicker"]) == {"scene", "independent", "truth"}
    assert report["flicker"]["truth"] < report["flicker"]["scene"] < 0.2
    ours = report["cameras"]["lyra"]
    assert ours["found"] + ours["failed"] == 1 and 0 <= report["cameras"]["sureness"] <= 1
    warp, repeated = (report["methods"][name]["psnr_all"] for name in ("warp_nearest", "source_repeated"))
    assert math.isfinite(warp) and math.isfinite(repeated)
    assert report["still"]["scene"] > 8 and math.isfinite(report["moving"]["scene"])
    text = table(report)
    for name in (*METHODS, "scene vs teacher", "flicker", "cameras by lyra"):
        assert name in text
