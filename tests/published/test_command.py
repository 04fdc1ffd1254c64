"""``lyra generate --model`` and its neighbours, from words to files."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from vipe_clip import write_clip

from lyra.cli import main
from lyra.data.vipe import read_vipe
from lyra.hub import config_to_dict
from lyra.hub.model_folder import NewModelFolder
from lyra.hub.text_embedding import read_text_embedding
from lyra.io.ply import read_ply
from lyra.io.scene_folder import load_scene
from lyra.preset import toy
from lyra.structures import InputError

FILES = {"scene.ply", "preview.mp4", "contact_sheet.png", "cameras.json", "run.json", "scene.html"}


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(word) for word in words])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def test_a_photo_becomes_a_scene_with_all_outputs(
    toy_model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scene"
    words = ("generate", photo, "-o", out, "--model", toy_model, "--steps", 2, "--device", "cpu")
    code, text, err = call(capsys, *words)
    assert code == 0, err
    assert {path.name for path in out.iterdir()} == FILES
    assert "memory plan:" in text and "teacher in 32 bits: all of its weights" in text
    run = json.loads((out / "run.json").read_text())
    assert run["preset"]["name"] == "toy-static" and run["gaussians"] == len(read_ply(out / "scene.ply"))
    assert run["provenance"]["models"]["teacher/gen3c-cosmos-7b"]["licence"] == "none: random numbers"
    paths = json.loads((out / "cameras.json").read_text())["trajectories"]
    assert next(iter(paths)) == "clockwise" and all(len(path["c2w"]) == 17 for path in paths.values())


def two_processes(*words: object) -> list[str]:
    """What each of two processes says, started with the variables that torchrun sets, over gloo."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "lyra", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=600) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
    return [out for out, _ in said]


def test_two_processes_give_the_result_of_one(
    toy_model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some trajectories each, then every trajectory together."""
    words = ("generate", photo, "--model", toy_model, "--steps", 2, "--device", "cpu", "--quality", "draft", "-o")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        code, text, err = call(capsys, *words, tmp_path / "one")
    finally:
        torch.set_num_threads(threads)
    assert code == 0, err
    assert "quality draft samples without compiled 8-bit products here" in text
    said = two_processes(*words, tmp_path / "two")
    assert "scene " in said[0] and not said[1], "one process speaks"
    assert {path.name for path in (tmp_path / "two").iterdir()} == FILES
    assert (tmp_path / "one" / "scene.ply").read_bytes() == (tmp_path / "two" / "scene.ply").read_bytes()
    said = two_processes(*words, tmp_path / "shared", "--share-clips")
    assert "scene " in said[0] and not said[1]
    alone, shared = (read_ply(tmp_path / name / "scene.ply") for name in ("one", "shared"))
    assert len(alone) == len(shared)
    assert (alone.means - shared.means).abs().flatten().quantile(0.99) < 1e-3 * alone.means.abs().max()


def test_a_video_becomes_a_moving_scene(
    toy_model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "walk")
    with NewModelFolder(tmp_path / "model") as folder:
        for role in ("tokenizer", "teacher", "decoder-dynamic"):
            (folder / role).symlink_to(toy_model / role)
        NewModelFolder.describe(folder, {"preset": config_to_dict(toy("dynamic"))})
    words = ("generate", tmp_path / "walk", "--steps", 2, "--device", "cpu", "-o", tmp_path / "scene", "--model")
    for more, complaint in (
        ((toy_model,), "import the checkpoints with --decoder dynamic"),
        ((tmp_path / "model", "--fov", 60), "brings depth and cameras of its own; leave the field of view out"),
    ):
        code, _, err = call(capsys, *words, *more)
        assert code == 2 and complaint in err and not (tmp_path / "scene").exists()
    code, _, err = call(capsys, *words, tmp_path / "model")
    assert code == 0, err
    scene = load_scene(tmp_path / "scene")
    assert scene.times == (0, 8 / 24, 16 / 24) and len({len(one) for one in scene.gaussians}) == 1
    assert not torch.equal(scene.gaussians[0].means, scene.gaussians[2].means), "it moves"
    paths = json.loads((tmp_path / "scene" / "cameras.json").read_text())["trajectories"]
    left, right = (torch.tensor(paths[name]["c2w"]) for name in ("left", "right"))
    views = read_vipe(tmp_path / "walk", 17, 64, 96)
    assert torch.allclose(left[0], torch.eye(4), atol=1e-5)
    # halfway between both lies the camera of the video, which moves
    assert torch.allclose((left[:, 0, 3] + right[:, 0, 3]) / 2, views.cameras.c2w[:, 0, 3], atol=0.05)
    assert views.cameras.c2w[-1, 0, 3] > 0.1
    code, _, err = call(
        capsys, "film", tmp_path / "walk", "--model", tmp_path / "model", "-o", tmp_path / "film.mp4", "--device", "cpu"
    )
    assert code == 2 and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ["--size", "96x128"],
            "trained at 64x96 and hold only there, 96x128 was asked for; leave the size out, or add",
        ),
        (["--size", "70x100", "--force"], "multiples of 16"),
        (["--size", "big"], "not HEIGHTxWIDTH"),
        (["--trajectories", "left"], "all 6 trajectories, 1 were asked for"),
        (["--exact"], "--exact is for the embedded networks"),
        (["--memory", "lots"], "neither auto nor a number"),
        (["--memory", "0"], "above 0"),
        (["--memory", "0.0001"], "at least 0.0 GiB are needed"),
        (["--prompt", "a garden"], "read text as stored embeddings; give them with --text"),
        (["--text", "missing.npy"], "missing.npy does not exist"),
    ],
)
def test_wrong_choices_are_refused_before_anything_is_loaded(
    words: list[str], complaint: str, toy_model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from lyra.published import pipeline

    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr(pipeline, "load_network", loaded)
    monkeypatch.setattr(pipeline, "load_model", loaded)
    common = ("generate", photo, "-o", tmp_path / "scene", "--model", toy_model, "--device", "cpu")
    code, _, err = call(capsys, *common, *words)
    assert code == 2 and complaint in err and len(err.splitlines()) == 1, err
    assert not (tmp_path / "scene").exists()


@pytest.mark.parametrize("flag", [["--quality", "draft"], ["--memory", "8"], ["--eight-bits"], ["--force"]])
def test_choices_of_published_networks_need_them(
    flag: list[str], photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "generate", photo, "-o", tmp_path / "scene", *flag)
    assert code == 2 and f"{flag[0]} is for published networks; name their folder with --model" in err


def test_no_model_folder_and_cut_off_weights(
    toy_model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("generate", photo, "-o", tmp_path / "scene", "--device", "cpu", "--model")
    code, _, err = call(capsys, *common, tmp_path / "nowhere")
    assert code == 2 and "does not exist; make one with lyra models import-official" in err
    code, _, err = call(capsys, *common, tmp_path)
    assert code == 2 and "has no model.json" in err
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in toy_model.iterdir():
        (copy / path.name).symlink_to(path)
    (copy / "teacher").unlink()
    (copy / "teacher").mkdir()
    for path in (toy_model / "teacher").iterdir():
        data = path.read_bytes()
        (copy / "teacher" / path.name).write_bytes(data[:-7] if path.suffix == ".safetensors" else data)
    code, _, err = call(capsys, *common, copy)
    assert code == 2 and "bytes; copy it again, or import the checkpoints again" in err


def test_other_sizes_and_fewer_trajectories_by_force(
    toy_model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--size", "48x80", "--trajectories", "left,clockwise", "--force", "--steps", 1, "--quality", "draft")
    out = tmp_path / "scene"
    code, _, err = call(capsys, "generate", photo, "-o", out, "--model", toy_model, "--device", "cpu", *words)
    assert code == 0, err
    cameras = json.loads((out / "cameras.json").read_text())
    assert (cameras["height"], cameras["width"]) == (48, 80) and list(cameras["trajectories"]) == ["clockwise", "left"]


def test_film(toy_model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lyra.io.video import read_video

    words = ("film", photo, "--model", toy_model, "--trajectory", "zoom_in", "--chunks", 2, "--steps", 1)
    code, _, err = call(capsys, *words, "-o", tmp_path / "film.mp4", "--device", "cpu", "--quality", "draft")
    assert code == 0, err
    assert read_video(tmp_path / "film.mp4").rgb.shape == (33, 3, 64, 96)
    code, _, err = call(capsys, *words[:-1], 1, "-o", tmp_path / "b.mp4", "--trajectory", "sideways")
    assert code == 2 and "unknown trajectory 'sideways'" in err


def test_import_export_and_random_models_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = call(capsys, "models", "random-official", "-o", tmp_path / "toy", "--toy")
    assert code == 0 and "random numbers" in text
    code, _, err = call(capsys, "models", "export-official", tmp_path / "toy", "-o", tmp_path / "checkpoints")
    assert code == 2 and "is a network of another size than nvidia/" in err and not (tmp_path / "checkpoints").exists()
    words = ("models", "import-official", "-o", tmp_path / "a", "--checkpoints")
    code, _, err = call(capsys, *words, tmp_path / "toy")
    assert code == 2 and "nvidia/Cosmos-Tokenize1" in err
    code, _, err = call(capsys, *words, tmp_path / "none")
    assert code == 2 and "is not a folder" in err and not (tmp_path / "a").exists()


def test_text_embeddings(tmp_path: Path) -> None:
    words = torch.randn(5, 8)
    np.save(tmp_path / "a.npy", words[None].numpy())
    save_file({"embedding": words, "other": torch.ones(2)}, tmp_path / "a.safetensors")
    torch.save(words.bfloat16(), tmp_path / "a.pt")
    for name in ("a.npy", "a.safetensors"):
        assert torch.equal(read_text_embedding(tmp_path / name), words)
    assert torch.equal(read_text_embedding(tmp_path / "a.pt"), words.bfloat16().float())
    np.save(tmp_path / "b.npy", np.full((2, 3), np.nan))
    np.save(tmp_path / "c.npy", np.zeros(3))
    (tmp_path / "d.txt").write_text("words")
    torch.save({"a": words, "b": words}, tmp_path / "e.pt")
    for name, complaint in (("b.npy", "not finite"), ("c.npy", "expected"), ("d.txt", "suffix"), ("e.pt", "2 tensors")):
        with pytest.raises(InputError, match=complaint):
            read_text_embedding(tmp_path / name)
