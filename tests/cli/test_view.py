"""``lyra view``: what it prints, opens and refuses, and how it ends."""

import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lyra.cli import view
from lyra.io.gaussian_files import FORMATS, GaussianFormat
from lyra.io.scene_folder import SceneFolder, load_scene, save_scene
from lyra.structures import Cameras, Gaussians, Scene
from lyra.viewer import SceneServer

Lyra = Callable[..., Any]  # the fixture of conftest.py


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene folder of two times."""
    blob = Gaussians(torch.tensor([[0, 0, 1.0]]), torch.eye(4)[:1], torch.ones(1, 3), torch.ones(1), torch.ones(1, 3))
    K = torch.tensor([[[80.0, 0, 48], [0, 80.0, 32], [0, 0, 1]]])
    with SceneFolder(tmp_path / "scene") as folder:
        save_scene(folder, Scene((blob, blob), Cameras(torch.eye(4)[None], K, 64, 96), (0.0, 0.5), {"photo": "a.jpg"}))
    return tmp_path / "scene"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Serving ends as if by Ctrl-C as soon as it begins; the list holds what a browser was told to open."""
    opened: list[str] = []

    def interrupt(self: SceneServer, poll_interval: float = 0.5) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SceneServer, "serve_forever", interrupt)
    monkeypatch.setattr(view.webbrowser, "open", opened.append)
    monkeypatch.setenv("BROWSER", "a-browser")
    return opened


def test_it_prints_the_address_and_opens_it(lyra: Lyra, scene: Path, at_once: list[str]) -> None:
    outcome = lyra("view", scene)
    assert (outcome.code, outcome.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in outcome.out.splitlines()[:3])
    assert lines["scene"] == str(scene)
    assert lines["Gaussians"] == "1 at each of 2 times"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", lines["address"])
    assert at_once == [lines["address"]]


def test_it_opens_nothing_if_asked_not_to(lyra: Lyra, scene: Path, at_once: list[str]) -> None:
    assert lyra("view", scene, "--no-open").code == 0
    assert at_once == []


def test_it_opens_nothing_without_a_screen(
    lyra: Lyra, scene: Path, at_once: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server over ssh, a browser inside the terminal would hide the address."""
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(view.sys, "platform", "linux")
    assert "http://127.0.0.1:" in lyra("view", scene).out
    assert at_once == []
    monkeypatch.setenv("DISPLAY", ":0")
    lyra("view", scene)
    assert len(at_once) == 1


def test_scene_ply_of_a_folder_brings_its_cameras(
    lyra: Lyra, scene: Path, at_once: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr("lyra.viewer.scene_site", lambda *given: seen.append(given[2:]) or view_site(*given))
    from lyra.viewer.site import scene_site as view_site

    shutil.copy(scene / "scene.ply", scene.parent / "scene.ply")
    assert "at each of 2 times" in lyra("view", scene / "scene.ply").out
    assert "Gaussians  1\n" in lyra("view", scene.parent / "scene.ply").out
    assert seen == [(scene, True), (scene.parent / "scene.ply", False)]


@pytest.mark.parametrize("kind", FORMATS.values(), ids=FORMATS)
def test_any_file_of_gaussians_can_be_viewed(
    lyra: Lyra, scene: Path, tmp_path: Path, at_once: list[str], kind: GaussianFormat
) -> None:
    file = tmp_path / f"found{kind.suffix}"
    kind.write(file, load_scene(scene).gaussians[0])
    outcome = lyra("view", file)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Gaussians  1\n" in outcome.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["missing"], "missing"),
        ([".", "--port", "70000"], "port 70000 is outside"),
        (["run.json"], "run.json"),
        (["frames"], "not a scene folder"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line(
    lyra: Lyra, scene: Path, at_once: list[str], words: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scene)
    outcome = lyra("view", *words)
    assert outcome.code == 2
    assert len(outcome.complaints) == 1
    assert complaint in outcome.err
    assert at_once == []


def test_a_taken_port_is_one_line(lyra: Lyra, scene: Path, at_once: list[str]) -> None:
    from lyra.viewer.site import Site

    with SceneServer(Site({}, "default-src 'none'")) as other:
        outcome = lyra("view", scene, "--port", str(other.server_port))
    assert outcome.code == 2
    assert outcome.err.startswith(f"lyra: port {other.server_port} cannot be used (address already in use); choose ")


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
def test_a_process_serves_until_it_is_interrupted(scene: Path) -> None:
    words = [sys.executable, "-m", "lyra", "view", str(scene), "--no-open"]
    # a test run that a script started in the background ignores SIGINT, and what it starts would, too
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_interrupts
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            with urllib.request.urlopen(lines[2].split()[1], timeout=20) as answer:
                assert b"<title>a.jpg</title>" in answer.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
