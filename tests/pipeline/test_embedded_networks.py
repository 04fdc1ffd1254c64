"""The road with the networks that ship inside: one photo, one camera path."""

from pathlib import Path

import pytest
import torch

import lyra
from lyra.data.record_codec import pack_record, unpack_record
from lyra.hub import list_models
from lyra.metrics import psnr
from lyra.pipeline import MODELS, Pipeline
from lyra.results import Result
from lyra.structures import SceneRecord


@pytest.fixture(scope="module")
def result(repository: Path) -> Result:
    return lyra.generate(
        repository / "examples" / "photos" / "eval" / "drawing_room.jpg", trajectories=("left",), device="cpu"
    )


def test_every_station_has_its_shape(result: Result) -> None:
    assert result.views.depth.shape == (1, 256, 448)
    assert result.frames.shape == (1, 17, 3, 256, 448) and result.renders[0].rgb.shape == (17, 3, 256, 448)
    assert result.latents.z.shape[2:] == (3, 32, 56)
    for tensor in (result.views.depth, result.latents.z, result.frames, result.renders[0].rgb):
        assert torch.isfinite(tensor).all()
    assert float(result.views.depth.median()) == pytest.approx(1, abs=0.05)


def test_the_scene_shows_the_photo_and_what_the_teacher_imagined(result: Result) -> None:
    assert float(psnr(result.rerender.rgb.clamp(0, 1), result.views.frames.rgb)) > 22
    assert float(psnr(result.renders[0].rgb.clamp(0, 1), result.frames[0]).mean()) > 20


def test_the_scene_follows_the_camera(result: Result) -> None:
    """Where the photo is still seen, the last render is like the photo warped to the last camera, the first is not."""
    cache, renders = result.conditionings[0], result.renders[0].rgb.clamp(0, 1)
    there, seen = cache.warped[-1:], cache.mask[-1:]
    assert float(psnr(renders[-1:], there, seen)) > float(psnr(renders[:1], there, seen)) + 5


def test_a_stored_record_gives_the_same_scene(result: Result) -> None:
    """Latents in half precision and a picture of 8 bits: what a store keeps is enough."""
    stored = SceneRecord("room", result.latents, result.views, meta={"source": result.name, "seed": 0})
    record = unpack_record("room", pack_record(stored), "memory")
    assert not torch.equal(record.latents.z, result.latents.z)
    pipeline = Pipeline.load("cpu")
    again = pipeline.finish(pipeline.recall(record))
    assert again.name == result.name and [stage.name for stage in again.stages] == [
        "warp", "frames", "decode", "cover", "refine", "render"
    ]  # fmt: skip
    alike = psnr(again.renders[0].rgb.clamp(0, 1), result.renders[0].rgb.clamp(0, 1))
    # rounded depth moves single pixels at its edges, which the last frames see from the side
    assert float(alike.mean()) > 50 and float(alike.min()) > 44, alike
    assert float(psnr(again.rerender.rgb.clamp(0, 1), result.rerender.rgb.clamp(0, 1))) > 50


def test_all_networks_of_the_road_ship_with_cards() -> None:
    cards = {card.name: card for card in list_models()}
    assert set(MODELS) <= set(cards)
    assert all(card.licence and card.sha256 and card.recipe for card in cards.values())
    assert isinstance(Pipeline.load("cpu"), Pipeline)
