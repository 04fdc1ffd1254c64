"""The road with the networks that ship inside: one photo, one camera path."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import lyra
from lyra.data.record_codec import pack_record, unpack_record
from lyra.hub import list_models
from lyra.io.images import fit_photo
from lyra.metrics import psnr
from lyra.pipeline import MODELS, Pipeline
from lyra.raster import RenderOptions, render
from lyra.results import Imagined, Result
from lyra.structures import SceneRecord


@pytest.fixture(scope="module")
def result(repository: Path) -> Result:
    photo = repository / "examples" / "photos" / "drawing_room.jpg"
    return lyra.generate(photo, trajectories=("left",), device="cpu", detail=0)


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


def test_a_photo_finer_than_the_networks_gives_a_finer_scene(result: Result) -> None:
    """The same latents once more: at twice the size the photo is met far better, at the networks' size as well."""
    pipeline = Pipeline.load("cpu")

    def finished(**choices: int) -> Result:
        options = replace(result.options, **choices)
        known = (result.name, result.photo, result.views, result.conditionings, result.latents, (), options)
        return pipeline.finish(Imagined(*known))

    fine = finished(detail=20_000)
    assert (fine.scene.source.height, fine.scene.source.width) == (512, 896)
    assert len(fine.scene.gaussians[0]) == len(result.scene.gaussians[0]) + 60_000
    photo, _ = fit_photo(result.photo.frames.rgb[0], 256, 448, factor=2)
    blurred = replace(RenderOptions(), eps2d=4 * RenderOptions().eps2d)
    before = render(result.scene.gaussians[0], fine.scene.source, blurred).rgb
    after = render(fine.scene.gaussians[0], fine.scene.source).rgb
    assert float(psnr(after.clamp(0, 1), photo[None])) > float(psnr(before.clamp(0, 1), photo[None])) + 3
    assert fine.rerender.rgb.shape == result.rerender.rgb.shape
    assert float(psnr(fine.rerender.rgb, result.views.frames.rgb)) > 30
    # who names a number of Gaussians gets no more
    assert len(finished(gaussians=90_000, detail=20_000).scene.gaussians[0]) <= 90_000


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
