"""``lyra generate --prompt``: what is refused, what is said about the words, and what is written down."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lyra import pipeline
from lyra.cli import preflight
from lyra.hub import list_models
from lyra.stages import Candidate

Lyra = Callable[..., Any]  # the fixture of conftest.py
COURT = "a courtyard with a fountian and a unicorn at sunset"


@pytest.fixture
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks must not be loaded before the words are known to be good."""

    def load(device: str = "auto") -> None:
        pytest.fail("the networks were loaded before the words were checked")

    monkeypatch.setattr(pipeline.Pipeline, "load", staticmethod(load))


@pytest.fixture
def teacher_card(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the teacher's card say what its training showed."""

    def say(**config: bool) -> None:
        card = next(card for card in list_models() if card.name == "teacher/nano")
        card = replace(card, config={**card.config, "text": False, "illustrates": False, **config})
        monkeypatch.setattr(preflight, "list_models", lambda: [card])

    say(text=True, illustrates=True)
    return say


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, quick_networks: None) -> list[dict[str, Any]]:
    """Stands where the stage draws: candidates whose agreement is best at the second seed; returns what was asked."""
    calls: list[dict[str, Any]] = []

    def illustrate(text, teacher, tokenizer, size, seeds, **choices: Any) -> tuple[Candidate, ...]:
        calls.append({"prompt": text.prompt, "size": size, "seeds": list(seeds), **choices})
        return tuple(
            Candidate(seed, torch.full((3, *size), 0.2 + 0.1 * number), 5.0 - abs(number - 1))
            for number, seed in enumerate(seeds)
        )

    monkeypatch.setattr(pipeline, "illustrate", illustrate)
    return calls


@pytest.fixture
def imagined(monkeypatch: pytest.MonkeyPatch, quick_networks: None) -> list[tuple[Any, ...]]:
    """What the stage that imagines the surroundings was told: (text, negative, guidance)."""
    told: list[tuple[Any, ...]] = []
    whole = pipeline.imagine

    def imagine(caches, teacher, tokenizer, steps, seed, on_step, text, negative, guidance, exact):
        told.append((text, negative, guidance))
        return whole(caches)

    monkeypatch.setattr(pipeline, "imagine", imagine)
    return told


@pytest.fixture
def few_textures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds with eight textures by formula, and few worlds to choose from."""
    from lyra import world_pictures
    from lyra.worlds import load_textures

    monkeypatch.delenv("LYRA_TEXTURE_PACK", raising=False)
    monkeypatch.setattr("lyra.worlds.textures.find_texture_pack", lambda: None)
    monkeypatch.setattr(world_pictures, "load_textures", lambda path, split, limit: load_textures(path, split, 8))
    monkeypatch.setattr(world_pictures, "SAMPLES", 40)


def assert_refused(outcome: Any, *words: str) -> None:
    """Exit code 2 and one line on standard error: what is wrong, and after a semicolon what to do."""
    assert outcome.code == 2
    assert len(outcome.complaints) == 1, outcome.err
    line = outcome.complaints[0]
    assert line.startswith("lyra: ") and "; " in line, f"no remedy in: {line}"
    for word in words:
        assert word in line, f"'{word}' is missing in: {line}"


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", ["empty"]),
        ("  \n\t", ["empty"]),
        ("?!", ["no words"]),
        ("a" * 10_000, ["10,000 characters"]),
        ("room " * 100, ["100 words"]),
        ("комната с двумя стульями", ["none of these words", "комната"]),
        ("房间里有两把椅子", ["none of these words"]),
        ("a room\x1b[31m", ["control character", "U+001B"]),
    ],
    ids=["empty", "blank", "signs", "10,000 characters", "100 words", "Cyrillic", "Chinese", "escape sequence"],
)
def test_words_that_cannot_be_used(
    lyra: Lyra, tmp_path: Path, no_networks: None, teacher_card: Any, prompt: str, words: list[str]
) -> None:
    assert_refused(lyra("generate", "--prompt", prompt, "-o", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


def test_weights_that_know_no_captions_refuse_honestly(
    lyra: Lyra, tmp_path: Path, photo: Path, no_networks: None, teacher_card: Any
) -> None:
    teacher_card()
    outcome = lyra("generate", photo, "--prompt", "a room", "-o", tmp_path / "out")
    assert_refused(outcome, "trained without captions", '"text": true')
    teacher_card(text=True)
    outcome = lyra("generate", "--prompt", "a room", "--guidance", "2", "-o", tmp_path / "out")
    assert_refused(outcome, "--guidance", '"illustrates": true', "--image-model")


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ([], ["nothing to make a scene of"]),
        (["PHOTO", "--negative", "cars"], ["belong to a prompt"]),
        (["PHOTO", "--guidance", "3"], ["belong to a prompt"]),
        (["--prompt", "a room", "--guidance", "-1"], ["guidance -1"]),
        (["--prompt", "a room", "--candidates", "0"], ["0 candidates"]),
        (["--prompt", "a room", "--candidates", "2", "--choose", "3"], ["choice 3", "1…2"]),
        (["--prompt", "a room", "--choose", "worst"], ["'worst'"]),
        (["--prompt", "a room", "--depth", "depth.npy"], ["--depth"]),
        (["--prompt", "a room", "--image-model", "nowhere"], ["nowhere", "not a folder"]),
        (["PHOTO", "--prompt", "a room", "--candidates", "2"], ["--candidates"]),
        (["PHOTO", "--candidates", "2"], ["--candidates"]),
        (["PHOTO", "--prompt", "a room", "--negative", "cars"], ["--guidance 2"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and value[0].startswith("-") else "",
)
def test_choices_that_do_not_go_together(
    lyra: Lyra, tmp_path: Path, photo: Path, no_networks: None, teacher_card: Any, choice: list[str], words: list[str]
) -> None:
    given = [photo if word == "PHOTO" else word for word in choice]
    assert_refused(lyra("generate", *given, "-o", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


def test_a_prompt_becomes_a_scene_and_everything_is_written_down(
    lyra: Lyra, tmp_path: Path, teacher_card: Any, drawn: list[dict[str, Any]], imagined: list[tuple[Any, ...]]
) -> None:
    words = ["--prompt", COURT, "--negative", "cars", "--candidates", "3", "--seed", "7", "--trajectories", "left"]
    outcome = lyra("generate", *words, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "note: I have never seen: fountian (nearest: fountain)" in outcome.out
    assert "note: I have never seen: unicorn" in outcome.out
    assert "candidate 2 of 3, seed 8" in outcome.out and "5.00 %" in outcome.out
    (asked,) = drawn
    assert asked["prompt"] == COURT and asked["seeds"] == [7, 8, 9] and asked["size"] == (256, 448)
    assert asked["negative"].prompt == "cars" and asked["guidance"] == 3.0
    ((text, negative, guidance),) = imagined
    assert text.prompt == COURT and negative is None and guidance == 1.0, "the clips follow the text as it stands"
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["text"] == {
        "prompt": COURT, "negative": "cars", "guidance": 3.0, "never_seen": {"fountian": "fountain", "unicorn": None},
    }  # fmt: skip
    assert run["first_picture"]["chosen"] == 2 and run["first_picture"]["teacher"] == "teacher/nano"
    assert run["first_picture"]["candidates"][2] == {"seed": 9, "agreement_percent": 4.0}
    assert run["options"]["prompt"] == COURT and run["options"]["candidates"] == 3
    assert "text/nano" in run["provenance"]["models"] and run["provenance"]["prompt"] == COURT
    with Image.open(tmp_path / "out" / "candidates.png") as sheet:
        assert sheet.width == 3 * 320


def test_the_user_chooses_and_may_guide(
    lyra: Lyra, tmp_path: Path, teacher_card: Any, drawn: list[dict[str, Any]]
) -> None:
    words = ["--prompt", "a room", "--candidates", "2", "--choose", "1", "--guidance", "1.5", "--trajectories", "up"]
    outcome = lyra("generate", *words, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "candidate 1 of 2" in outcome.out and drawn[0]["guidance"] == 1.5
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["first_picture"]["chosen"] == 1


def test_a_photo_with_a_prompt_has_its_surroundings_told(
    lyra: Lyra, tmp_path: Path, photo: Path, teacher_card: Any, drawn: list[Any], imagined: list[tuple[Any, ...]]
) -> None:
    words = [photo, "--prompt", "a street", "--negative", "cars", "--guidance", "2", "--trajectories", "left"]
    outcome = lyra("generate", *words, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert not drawn, "the photo is the first picture"
    ((text, negative, guidance),) = imagined
    assert (text.prompt, negative.prompt, guidance) == ("a street", "cars", 2.0)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["text"]["prompt"] == "a street" and run["first_picture"] is None and run["photo"] == "garden.jpg"
    assert not (tmp_path / "out" / "candidates.png").exists()


def test_an_image_model_draws_instead_and_its_licence_is_shown(
    lyra: Lyra, tmp_path: Path, teacher_card: Any, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "painter"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    (folder / "README.md").write_text("---\nlicense: openrail\n---\n")
    asked = []

    def draw(*given: Any) -> list[torch.Tensor]:
        asked.append(given)
        return [torch.full((3, 48, 80), 0.5) for _ in given[1]]

    painter = SimpleNamespace(name="painter (Painter)", licence="openrail", draw=draw)
    monkeypatch.setattr(pipeline.ImageModel, "load", lambda *_: painter)
    monkeypatch.setattr(pipeline, "judge", lambda pictures, seeds, *_: tuple(
        Candidate(seed, picture, None) for seed, picture in zip(seeds, pictures, strict=True)))  # fmt: skip
    teacher_card()  # today's weights: the prompt shapes the first picture only
    monkeypatch.setattr("lyra.cli.preflight.require_image_model", lambda folder: None)
    words = ["--prompt", "a street", "--image-model", folder, "--candidates", "2", "--trajectories", "left"]
    outcome = lyra("generate", *words, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "note: painter: licence openrail" in outcome.out and "know no captions" in outcome.out
    prompt, seeds, size, negative, guidance, _ = asked[0]
    assert (prompt, list(seeds), size, negative, guidance) == ("a street", [0, 1], (256, 448), None, None)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["first_picture"]["image_model"] == "painter (Painter)" and run["first_picture"]["licence"] == "openrail"
    assert not drawn


def test_without_a_network_that_draws_a_world_is_filmed(
    lyra: Lyra, tmp_path: Path, teacher_card: Any, drawn: list[Any], imagined: list[Any], few_textures: None
) -> None:
    teacher_card()
    load = pipeline.Pipeline.load

    def unable(device: str = "auto") -> pipeline.Pipeline:
        loaded = load(device)
        loaded.teacher.config.illustrates = loaded.teacher.config.text = False  # type: ignore[attr-defined]
        return loaded

    words = ["--prompt", COURT, "--negative", "trees", "--candidates", "2", "--seed", "3", "--trajectories", "left"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.Pipeline, "load", staticmethod(unable))
        outcome = lyra("generate", *words, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert not drawn and imagined == [(None, None, 1.0)]
    assert "note: I have never seen: unicorn" in outcome.out and "know no captions" in outcome.out
    assert "drawn by   worlds, procedural" in outcome.out and "shows      a courtyard" in outcome.out
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    first = run["first_picture"]
    assert (first["drawn_by"], first["chosen"], len(first["candidates"])) == ("worlds", 1, 2)
    best = first["candidates"][0]
    assert best["caption"].startswith("a courtyard") and best["layout"] == "courtyard"
    assert {*best["met"], *best["missing"]} >= {"courtyard", "at sunset", "no tree"} and "courtyard" in best["met"]
    assert ("unmet" in outcome.out) == bool(best["missing"]) and all(word in outcome.out for word in best["missing"])
    assert (tmp_path / "out" / "candidates.png").is_file()


def test_without_captions_in_its_weights_the_teacher_is_not_told(
    tmp_path: Path, drawn: list[Any], imagined: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = pipeline.Pipeline.load("cpu")
    loaded.teacher.config.text = False  # type: ignore[attr-defined]
    result = loaded.run_prompt("a street", pipeline.GenerateOptions(trajectories=("left",)))
    assert imagined == [(None, None, 1.0)]
    assert result.wording is not None and result.wording.text.prompt == "a street"
    assert np.isclose(float(result.views.frames.rgb.mean()), 0.2)
