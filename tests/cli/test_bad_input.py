"""Whatever a user gives by mistake: one line that names it and says what to do, exit code 2, nothing left behind."""

import errno
import json
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lyra import pipeline, scene_writer
from lyra.io import video

Lyra = Callable[..., Any]  # the fixture of conftest.py


@pytest.fixture
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks must not be loaded before the input is known to be good."""

    def load(device: str = "auto") -> None:
        pytest.fail("the networks were loaded before the input was checked")

    monkeypatch.setattr(pipeline.Pipeline, "load", staticmethod(load))


def assert_refused(outcome: Any, *words: str) -> None:
    """Exit code 2 and one line on standard error: what is wrong, and after a semicolon what to do."""
    assert outcome.code == 2
    assert len(outcome.complaints) == 1, outcome.err
    line = outcome.complaints[0]
    assert line.startswith("lyra: ")
    assert "; " in line, f"no remedy in: {line}"
    for word in words:
        assert word in line, f"'{word}' is missing in: {line}"


# -- photos ------------------------------------------------------------------------------------------------------------


def missing(file: Path) -> None:
    assert not file.exists()


def folder(file: Path) -> None:
    file.mkdir()


def empty(file: Path) -> None:
    file.touch()


def truncated(file: Path) -> None:
    Image.effect_noise((300, 200), 80).convert("RGB").save(file, format="JPEG")
    file.write_bytes(file.read_bytes()[:2000])


def text(file: Path) -> None:
    file.write_text("Dear diary, this is not a photo.\n" * 20)


def one_pixel(file: Path) -> None:
    Image.new("RGB", (1, 1)).save(file, format="PNG")


def ribbon(file: Path) -> None:
    Image.new("RGB", (40000, 10)).save(file, format="PNG")


def bomb(file: Path) -> None:
    """A few dozen bytes that claim to be 30000 x 30000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""))
    assert file.stat().st_size < 200


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, ["does not exist"]),
        (folder, ["folder"]),
        (empty, ["empty"]),
        (truncated, ["damaged"]),
        (text, ["not a picture"]),
        (one_pixel, ["1 x 1"]),
        (ribbon, ["40000 x 10"]),
        (bomb, ["too many pixels"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_unusable_photo(
    lyra: Lyra, tmp_path: Path, no_networks: None, make: Callable[[Path], None], words: list[str]
) -> None:
    file = tmp_path / "holiday.jpg"
    make(file)
    assert_refused(lyra("generate", file, "-o", tmp_path / "out"), "holiday.jpg", *words)
    assert not (tmp_path / "out").exists()


def test_an_animation_works_with_a_notice(lyra: Lyra, tmp_path: Path, quick_networks: None) -> None:
    file = tmp_path / "dance.gif"
    frames = [Image.new("RGB", (64, 48), (shade, 90, 40)) for shade in (10, 120, 240)]
    frames[0].save(file, save_all=True, append_images=frames[1:])
    outcome = lyra("generate", file, "-o", tmp_path / "out", "--trajectories", "left")
    assert outcome.code == 0, outcome.err
    assert "note: dance.gif holds 3 pictures; only the first is used" in outcome.out
    assert (tmp_path / "out" / "scene.ply").is_file()


# -- files beside the photo --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (np.full((256, 448), np.nan, dtype=np.float32), ["NaN"]),
        (np.zeros((256, 448), dtype=np.float32), ["no valid pixel"]),
        (np.ones((7, 5), dtype=np.float32), ["7 x 5"]),
        (np.array([["near", "far"]]), ["not numbers"]),
    ],
    ids=["nan", "all zero", "wrong size", "words"],
)
def test_unusable_depth(
    lyra: Lyra, tmp_path: Path, photo: Path, no_networks: None, depth: np.ndarray, words: list[str]
) -> None:
    np.save(tmp_path / "depth.npy", depth)
    outcome = lyra("generate", photo, "-o", tmp_path / "out", "--depth", tmp_path / "depth.npy")
    assert_refused(outcome, "depth.npy", *words)
    assert not (tmp_path / "out").exists()


def poses(change: Callable[[np.ndarray], None]) -> dict[str, object]:
    """Three poses on a line, the last one changed."""
    c2w = np.repeat(np.eye(4)[None], 3, axis=0)
    c2w[:, 0, 3] = [0, 0.1, 0.2]
    change(c2w[2])
    return {"c2w": c2w.tolist()}


def singular(pose: np.ndarray) -> None:
    pose[0, :3] = 0


def mirrored(pose: np.ndarray) -> None:
    pose[0, 0] = -1


def unknown_number(pose: np.ndarray) -> None:
    pose[1, 3] = np.nan


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (poses(singular), ["frame 2", "singular"]),
        (poses(mirrored), ["frame 2", "mirrored"]),
        (poses(unknown_number), ["frame 2", "not finite"]),
        ({"c2w": [[1, 2], [3]]}, ["c2w"]),
        ({"positions": [[0, 0, 0]]}, ["c2w"]),
        ({**poses(lambda pose: None), "convention": "blender-ish"}, ["blender-ish", "opengl"]),
    ],
    ids=["singular", "mirrored", "nan", "ragged", "no poses", "unknown convention"],
)
def test_unusable_camera_file(
    lyra: Lyra, tmp_path: Path, photo: Path, no_networks: None, content: dict[str, object], words: list[str]
) -> None:
    (tmp_path / "path.json").write_text(json.dumps(content))
    outcome = lyra("generate", photo, "-o", tmp_path / "out", "--cameras", tmp_path / "path.json")
    assert_refused(outcome, "path.json", *words)
    assert not (tmp_path / "out").exists()


# -- choices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (["--device", "tpu"], ["'tpu'", "cpu"]),
        (["--device", "cuda:99"], ["'cuda:99'", "--device cpu"]),
        (["--device", "cuda:x"], ["'cuda:x'"]),
        (["--trajectories", "left,sideways"], ["'sideways'", "zoom_out"]),
        (["--strength", "0"], ["strength 0"]),
        (["--strength", "nan"], ["strength nan"]),
        (["--fov", "200"], ["200"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_impossible_choice(
    lyra: Lyra, tmp_path: Path, photo: Path, no_networks: None, choice: list[str], words: list[str]
) -> None:
    assert_refused(lyra("generate", photo, "-o", tmp_path / "out", *choice), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", ["generate", "generate a.jpg", "paint", "generate a.jpg -o b --sped"])
def test_wrong_usage_is_exit_code_2(lyra: Lyra, words: str) -> None:
    outcome = lyra(*words.split())
    assert outcome.code == 2
    assert outcome.err


# -- places to write to ------------------------------------------------------------------------------------------------


def test_output_is_a_file(lyra: Lyra, tmp_path: Path, photo: Path, no_networks: None) -> None:
    target = tmp_path / "notes.txt"
    target.write_text("keep me")
    assert_refused(lyra("generate", photo, "-o", target), "notes.txt", "is a file", "-o")
    assert target.read_text() == "keep me"


def test_output_lies_under_a_file(lyra: Lyra, tmp_path: Path, photo: Path, no_networks: None) -> None:
    (tmp_path / "notes.txt").write_text("keep me")
    assert_refused(lyra("generate", photo, "-o", tmp_path / "notes.txt" / "out"), "notes.txt", "-o")
    assert (tmp_path / "notes.txt").read_text() == "keep me"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a place where not even root may write")
def test_output_cannot_be_written(lyra: Lyra, photo: Path, no_networks: None) -> None:
    assert_refused(lyra("generate", photo, "-o", "/proc/lyra-scene"), "/proc/lyra-scene", "-o")


def test_output_holds_somebody_elses_files(lyra: Lyra, tmp_path: Path, photo: Path, no_networks: None) -> None:
    thesis = tmp_path / "thesis" / "chapter1.tex"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    for words in ([], ["--overwrite"]):
        assert_refused(lyra("generate", photo, "-o", thesis.parent, *words), "thesis", "-o")
    assert thesis.read_text() == "years of work"


def test_output_holds_a_scene_already(lyra: Lyra, tmp_path: Path, photo: Path, quick_networks: None) -> None:
    words = ["generate", photo, "-o", tmp_path / "out", "--trajectories", "up"]
    assert lyra(*words).code == 0
    before = (tmp_path / "out" / "run.json").read_bytes()
    assert_refused(lyra(*words), "out", "--overwrite")
    assert (tmp_path / "out" / "run.json").read_bytes() == before
    assert lyra(*words, "--overwrite", "--seed", "3").code == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["options"]["seed"] == 3


def test_video_name_without_a_video_ending(lyra: Lyra, tmp_path: Path) -> None:
    assert_refused(lyra("render", tmp_path, "-o", tmp_path / "film.docx"), "film.docx", ".mp4")


def test_scene_to_render_is_missing(lyra: Lyra, tmp_path: Path) -> None:
    assert_refused(lyra("render", tmp_path / "nowhere", "-o", tmp_path / "film.mp4"), "nowhere")
    assert not (tmp_path / "film.mp4").exists()


# -- what goes wrong on the way ----------------------------------------------------------------------------------------


def test_disk_full_while_writing(
    lyra: Lyra, tmp_path: Path, photo: Path, quick_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(video, "write_video", full)
    outcome = lyra("generate", photo, "-o", tmp_path / "out", "--trajectories", "left")
    assert_refused(outcome, "out", "space", "write elsewhere")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["garden.jpg"]


def test_files_may_not_grow(
    lyra: Lyra, tmp_path: Path, photo: Path, quick_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system itself refuses: a limit on the size of files makes every write past it fail, as a full disk does."""
    write, limits = scene_writer.write_result, resource.getrlimit(resource.RLIMIT_FSIZE)

    def write_with_a_limit(*arguments: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
        try:
            write(*arguments)  # type: ignore[arg-type]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(scene_writer, "write_result", write_with_a_limit)
    outcome = lyra("generate", photo, "-o", tmp_path / "out", "--trajectories", "left")
    assert_refused(outcome, "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["garden.jpg"]


@pytest.mark.parametrize("damage", ["flipped", "cut off"])
def test_weights_with_a_wrong_checksum(
    lyra: Lyra, tmp_path: Path, photo: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    embedded = repository / "src" / "lyra" / "hub" / "weights"
    copies = tmp_path / "weights"
    for name in pipeline.MODELS:
        card, weights = embedded / f"{name}.json", copies / f"{name}.safetensors"
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.with_suffix(".json").write_bytes(card.read_bytes())
        good = card.with_suffix(".safetensors").read_bytes()
        weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]) if damage == "flipped" else good[: len(good) // 2])
    monkeypatch.setenv("LYRA_WEIGHTS_DIR", str(copies))
    outcome = lyra("generate", photo, "-o", tmp_path / "out")
    assert_refused(outcome, ".safetensors", "checksum")
    assert not (tmp_path / "out").exists()


def test_weights_are_absent(lyra: Lyra, tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYRA_WEIGHTS_DIR", str(tmp_path / "nothing-here"))
    assert_refused(lyra("generate", photo, "-o", tmp_path / "out"), "nothing-here", "LYRA_WEIGHTS_DIR")
    assert not (tmp_path / "out").exists()


STAGES = [
    "load",
    "read_photo",
    "perceive",
    "warp",
    "imagine",
    "decode",
    "cover",
    "refine",
    "rendered_at",
    "save_scene",
    "write_video",
]


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_in_any_stage(
    lyra: Lyra, tmp_path: Path, photo: Path, quick_networks: None, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if stage == "load":
        monkeypatch.setattr(pipeline.Pipeline, "load", staticmethod(interrupt))
    else:
        home = {"write_video": video, "save_scene": scene_writer}.get(stage, pipeline)
        monkeypatch.setattr(home, stage, interrupt)
    outcome = lyra("generate", photo, "-o", tmp_path / "deep" / "out", "--trajectories", "left")
    assert outcome.code == 130
    assert outcome.complaints == ["lyra: interrupted, nothing was written"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["garden.jpg"]


def test_a_fault_of_ours_keeps_its_traceback(
    lyra: Lyra, tmp_path: Path, photo: Path, quick_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slip(*_: object) -> None:
        raise ValueError("shapes do not match")

    monkeypatch.setattr(pipeline, "decode", slip)
    with pytest.raises(ValueError, match="shapes do not match"):
        lyra("generate", photo, "-o", tmp_path / "out", "--trajectories", "left")
    assert not (tmp_path / "out").exists()
