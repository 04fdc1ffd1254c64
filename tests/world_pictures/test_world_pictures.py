"""Prompts become views of worlds: the same for the same seed, others for another, with what they have written down."""

from pathlib import Path

import pytest
import torch

from lyra.hub import load_model
from lyra.models.text import TextEncoder
from lyra.results import FirstPicture, GenerateOptions, Wording
from lyra.world_pictures import WorldPainter
from lyra.worlds import load_textures

SIZE = (32, 56)


@pytest.fixture(scope="module")
def paint(tmp_path_factory: pytest.TempPathFactory):
    """Paint a prompt at a small size with textures by formula."""
    encoder = load_model("text/nano", kind=TextEncoder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LYRA_TEXTURE_PACK", raising=False)
        patch.chdir(tmp_path_factory.mktemp("no_pack"))
        textures = load_textures(None, "train", limit=14)
    painter = WorldPainter(samples=40)
    painter.__dict__["_textures"] = textures

    def run(prompt: str, negative: str | None = None, **options: int) -> FirstPicture:
        unwanted = None if negative is None else encoder.prompt(negative)
        wording = Wording(encoder.prompt(prompt), unwanted, 3.0, encoder.unknown_words(prompt))
        return painter(wording, GenerateOptions(prompt=prompt, **options), SIZE, encoder)

    return run


def test_the_same_seed_gives_the_same_picture_and_another_another(paint) -> None:
    first, again, other = (paint("a room with a bed", seed=seed) for seed in (5, 5, 6))
    assert first.candidates[0].rgb.shape == (3, *SIZE) and float(first.candidates[0].rgb.min()) >= 0
    assert torch.equal(first.candidates[0].rgb, again.candidates[0].rgb) and first.notes == again.notes
    assert float((first.candidates[0].rgb - other.candidates[0].rgb).abs().mean()) > 0.02


def test_candidates_are_ranked_and_the_user_may_choose(paint) -> None:
    best, second = paint("a lake with a boat", candidates=3), paint("a lake with a boat", candidates=3, choose=2)
    marks = [note["met_percent"] for note in best.notes]
    assert len({candidate.seed for candidate in best.candidates}) == 3 and marks == sorted(marks, reverse=True)
    assert (best.chosen, second.chosen) == (0, 1)
    assert best.fov is not None and second.fov is not None and 20 < best.fov < 110 and best.fov != second.fov
    assert all(note["layout"] == "lake" for note in best.notes)
    assert best.source == {"drawn_by": "worlds", "textures": "procedural"}


def test_what_is_not_wanted_counts_against_a_world(paint) -> None:
    first = paint("a park", negative="trees and benches")
    assert "no tree" in (*first.notes[0]["met"], *first.notes[0]["missing"])
    assert "no bench" in first.notes[0]["met"]
    told = paint("a park with trees", negative="trees").notes[0]
    assert "no tree" not in (*told["met"], *told["missing"]), "the prompt has the last word"


def test_a_prompt_that_states_no_fact_still_gives_a_picture(paint) -> None:
    first = paint("something beautiful")
    assert first.notes[0]["met"] == first.notes[0]["missing"] == [] and first.candidates[0].rgb.std() > 0.02


def test_a_folder_that_is_no_texture_pack_is_refused(paint, tmp_path: Path) -> None:
    from lyra.structures import InputError

    encoder = load_model("text/nano", kind=TextEncoder)
    with pytest.raises(InputError, match=r"index\.json"):
        WorldPainter(tmp_path)(Wording(encoder.prompt("a room"), None, 1.0, ()), GenerateOptions(), SIZE, encoder)
