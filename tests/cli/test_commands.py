"""What each command prints and leaves on disk when all goes well."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lyra import __version__, worlds
from lyra.cli import train
from lyra.io.scene_folder import SceneFolder, load_scene, save_scene
from lyra.io.video import read_video
from lyra.structures import Cameras, Gaussians, Scene

Lyra = Callable[..., Any]  # the fixture of conftest.py


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene folder: one big red Gaussian in front of a 64 x 96 camera."""
    blob = Gaussians(
        means=torch.tensor([[0.0, 0.0, 1.0]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 3), 0.2),
        opacities=torch.tensor([0.95]),
        colors=torch.tensor([[1.0, 0.0, 0.0]]),
    )
    K = torch.tensor([[[80.0, 0.0, 48.0], [0.0, 80.0, 32.0], [0.0, 0.0, 1.0]]])
    with SceneFolder(tmp_path / "scene") as folder:
        save_scene(folder, Scene((blob,), Cameras(torch.eye(4)[None], K, 64, 96)))
    return tmp_path / "scene"


def test_version(lyra: Lyra) -> None:
    assert lyra("--version").out == f"lyra {__version__}\n"


def test_help_of_a_command_shows_examples(lyra: Lyra) -> None:
    outcome = lyra("generate", "--help")
    assert outcome.code == 0
    assert "\n  lyra generate photo.jpg -o out/photo\n" in outcome.out


def test_generate_reports_stages_and_where_the_scene_lies(
    lyra: Lyra, tmp_path: Path, photo: Path, quick_networks: None
) -> None:
    outcome = lyra("generate", photo, "-o", tmp_path / "out", "--trajectories", "left,zoom-in", "--seed", "4")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    stages = [line.split()[0] for line in lines if " s " in f"{line} " and not line.startswith("time")]
    assert stages == (
        ["load", "read", "perceive", "warp", "imagine", "frames", "decode", "cover", "refine", "render", "write"]
    )
    ending = dict(line.split(maxsplit=1) for line in lines[-4:])
    assert ending["scene"] == str(tmp_path / "out")
    assert ending["Gaussians"] == "5"
    assert ending["time"].endswith("in all")
    assert ending["memory"].endswith("at the peak")
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["options"]["seed"] == 4
    assert [path["name"] for path in run["trajectories"]] == ["left", "zoom_in"]
    page = (tmp_path / "out" / "scene.html").read_text(encoding="utf-8")
    assert "<title>garden.jpg</title>" in page
    assert '"name":"zoom_in"' in page


@pytest.mark.parametrize(
    ("choices", "settling"),
    [
        ([], ["refine"]),
        (["--refine", "0"], ["recolor"]),
        (["--recolor", "1", "--refine", "2"], ["recolor", "refine"]),
        (["--recolor", "0", "--refine", "0"], []),
    ],
)
def test_generate_settles_the_scene_as_it_was_asked_to(
    lyra: Lyra, tmp_path: Path, photo: Path, quick_networks: None, choices: list[str], settling: list[str]
) -> None:
    outcome = lyra("generate", photo, "-o", tmp_path / "out", "--trajectories", "left", *choices)
    assert outcome.code == 0, outcome.err
    stages = [line.split()[0] for line in outcome.out.splitlines() if line]
    assert [stage for stage in stages if stage in ("recolor", "refine")] == settling
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["options"]["refine"] == (int(choices[-1]) if "--refine" in choices else None)


@pytest.mark.parametrize(("most", "left"), [("3", 3), ("5", 5), ("0", 5)])
def test_generate_keeps_as_many_gaussians_as_were_asked_for(
    lyra: Lyra, tmp_path: Path, photo: Path, quick_networks: None, most: str, left: int
) -> None:
    outcome = lyra("generate", photo, "-o", tmp_path / "out", "--trajectories", "left", "--gaussians", most)
    assert outcome.code == 0, outcome.err
    dropped = 5 - left
    said = f"Gaussians  {left}" + (f", {dropped} that show least were dropped" if dropped else "") + "\n"
    assert said in outcome.out
    assert ("\nthin " in outcome.out) is bool(dropped)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["gaussians"], run["dropped"], run["options"]["gaussians"]) == (left, dropped, int(most))
    assert len(load_scene(tmp_path / "out").gaussians[0]) == left


def test_generate_makes_missing_parent_folders(lyra: Lyra, tmp_path: Path, photo: Path, quick_networks: None) -> None:
    target = tmp_path / "scenes" / "2026" / "garden"
    assert lyra("generate", photo, "-o", target, "--trajectories", "up").code == 0
    assert (target / "scene.ply").is_file()


@pytest.mark.parametrize(("path", "count"), [("orbit", 6), ("spiral", 6), ("left,zoom-in", 12)])
def test_render_writes_a_video_of_the_scene(lyra: Lyra, tmp_path: Path, scene: Path, path: str, count: int) -> None:
    film = tmp_path / "films" / "tour.mp4"
    outcome = lyra("render", scene, "--path", path, "-o", film, "--frames", "6", "--width", "48")
    assert outcome.code == 0, outcome.err
    assert f"frames     {count} of 48 x 32" in outcome.out
    frames = read_video(film).rgb
    assert frames.shape == (count, 3, 32, 48)
    red, green = frames[:, 0, 16, 24], frames[:, 1, 16, 24]
    assert (red > 0.6).all()
    assert (green < 0.3).all()


def test_render_follows_a_file_in_scene_coordinates(lyra: Lyra, tmp_path: Path, scene: Path) -> None:
    """A camera half a unit to the right, looking straight ahead, sees the blob left of the middle."""
    c2w = torch.eye(4).repeat(4, 1, 1)
    c2w[:, 0, 3] = 0.5
    (tmp_path / "path.json").write_text(json.dumps({"c2w": c2w.tolist()}))
    outcome = lyra("render", scene, "--path", tmp_path / "path.json", "-o", tmp_path / "film.mp4")
    assert outcome.code == 0, outcome.err
    frames = read_video(tmp_path / "film.mp4").rgb
    assert frames.shape == (4, 3, 64, 96)
    assert frames[0, 0, 32, 8] > 0.5  # 48 - 80 * 0.5 / 1
    assert frames[0, 0, 32, 88] < 0.2


@pytest.mark.parametrize(
    "words",
    [
        ["--path", "loop"],
        ["--frames", "0"],
        ["--width", "47"],
        ["--height", "100000"],
        ["--fps", "0"],
        ["--strength", "-1"],
        ["--path", "nowhere.json"],
    ],
    ids=" ".join,
)
def test_render_refuses_impossible_choices(lyra: Lyra, tmp_path: Path, scene: Path, words: list[str]) -> None:
    outcome = lyra("render", scene, "-o", tmp_path / "film.mp4", *words)
    assert outcome.code == 2
    assert len(outcome.complaints) == 1
    assert not (tmp_path / "film.mp4").exists()


def test_training_without_its_extra_names_the_install_line(
    lyra: Lyra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "find_spec", lambda name: None)
    outcome = lyra("train", "depth", "--out", tmp_path / "run", "--steps", "1")
    assert outcome.code == 2
    assert "pip install 'lyra-scenes[train]'" in outcome.err
    assert not (tmp_path / "run").exists()


def test_models_are_listed_and_shown(lyra: Lyra) -> None:
    listed = lyra("models", "list")
    assert listed.code == 0
    names = [line.split()[0] for line in listed.out.splitlines()]
    assert {"depth/nano", "tokenizer/nano", "teacher/nano", "decoder/nano"} <= set(names)
    shown = lyra("models", "show", "decoder/nano")
    card = json.loads(shown.out)
    assert card["name"] == "decoder/nano"
    assert card["licence"]


def test_an_unknown_model_is_refused_with_the_known_names(lyra: Lyra) -> None:
    outcome = lyra("models", "show", "decoder/giant")
    assert outcome.code == 2
    assert "'decoder/giant'" in outcome.err
    assert len(outcome.complaints) == 1


def test_worlds_preview_passes_every_choice_on(lyra: Lyra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def draw(seed: int, out_path: Path, split: str, count: int, textures: object) -> None:
        asked.update(seed=seed, split=split, count=count, textures=textures)
        out_path.write_bytes(b"a picture")

    monkeypatch.setattr(worlds, "load_textures", lambda path, split: (path, split))
    monkeypatch.setattr(worlds, "preview", draw)
    sheet = tmp_path / "new" / "sheet.png"
    words = ["--count", "2", "--seed", "5", "--split", "val", "--textures", tmp_path]
    outcome = lyra("worlds", "preview", *words, "-o", sheet)
    assert outcome.code == 0, outcome.err
    assert asked == {"seed": 5, "split": "val", "count": 2, "textures": (tmp_path, "val")}
    assert sheet.read_bytes() == b"a picture"
    assert str(sheet) in outcome.out


@pytest.mark.parametrize(
    "words",
    [
        ["train", "tokenizer", "--out", "run"],
        ["train", "tokenizer", "--out", "run", "--steps", "1", "--height", "100"],
        ["train", "tokenizer", "--out", "run", "--steps", "1", "--device", "abacus"],
        ["train", "teacher", "--out", "run", "--steps", "1", "--encoder", "encoder.safetensors"],
        ["train", "tokenizer", "--out", "run", "--steps", "0"],
        ["train", "depth", "--out", "run", "--steps", "1", "--encoder", "nowhere.safetensors"],
        ["evaluate", "worlds", "--count", "0"],
        ["evaluate", "worlds", "--json", "scores.txt"],
        ["evaluate", "photos"],
        ["evaluate", "photos", "missing.jpg"],
        ["worlds", "preview", "-o", "sheet.png", "--count", "0"],
    ],
    ids=" ".join,
)
def test_the_workshop_refuses_impossible_choices(
    lyra: Lyra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = lyra(*words)
    assert outcome.code == 2
    assert len(outcome.complaints) == 1, outcome.err
    assert outcome.err.startswith("lyra: ")
    assert not list(tmp_path.iterdir())
