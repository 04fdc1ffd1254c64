"""``lyra generate`` of videos: what is refused before networks are loaded, and what is handed on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from lyra import pipeline, video
from lyra.io.video import write_video
from lyra.video import VideoOptions

Lyra = Callable[..., Any]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Twenty frames at 12 a second."""
    frames = torch.rand(20, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    write_video(tmp_path / "clip.mp4", frames, 12)
    return tmp_path / "clip.mp4"


@pytest.fixture(autouse=True)
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(device: str = "auto") -> None:
        raise AssertionError("networks were loaded before the input was checked")

    monkeypatch.setattr(pipeline.Pipeline, "load", staticmethod(load))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--start", "9"], "lower --start"),
        (["--frames", "40"], "40 are asked"),
        (["--frames", "1"], "outside 2"),
        (["--stride", "0"], "stride 0"),
        (["--times", "soon"], "times 'soon'"),
        (["--times", "0,9.5"], "lies behind"),
        (["--fps", "0.1"], "fps 0.1"),
        (["--cameras", "nowhere.json"], "does not exist"),
        (["--prompt", "a dog"], "--prompt do not work with a video"),
        (["--depth", "depth.npy", "--candidates", "2"], "--depth, --candidates"),
        (["--quality", "draft", "--eight-bits"], "--quality, --eight-bits do not work with a video"),
    ],
)
def test_wrong_choices_are_one_line(lyra: Lyra, clip: Path, tmp_path: Path, words: list[str], complaint: str) -> None:
    outcome = lyra("generate", clip, "-o", tmp_path / "out", *words)
    assert outcome.code == 2 and len(outcome.complaints) == 1 and complaint in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4"]


def test_files_that_are_no_videos(lyra: Lyra, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    write_video(tmp_path / "one.mp4", torch.rand(1, 3, 48, 64), 24)
    (tmp_path / "words.mp4").write_text("no video")
    (tmp_path / "empty.mov").touch()
    for name, complaint in {
        "sound.mp4": "only sound", "one.mp4": "one picture only", "words.mp4": "cannot be decoded",
        "empty.mov": "is empty", "nothing.webm": "does not exist",
    }.items():  # fmt: skip
        outcome = lyra("generate", tmp_path / name, "-o", tmp_path / "out")
        assert outcome.code == 2 and len(outcome.complaints) == 1 and complaint in outcome.err, name


def test_poses_of_another_number_of_frames(lyra: Lyra, clip: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "path.npz", c2w=np.tile(np.eye(4), (11, 1, 1)))
    outcome = lyra("generate", clip, "-o", tmp_path / "out", "--cameras", tmp_path / "path.npz")
    assert outcome.code == 2 and "11 poses, the clip has 17 frames" in outcome.err


def test_choices_of_a_video_belong_to_a_video(lyra: Lyra, photo: Path, tmp_path: Path) -> None:
    outcome = lyra("generate", photo, "-o", tmp_path / "out", "--start", "1", "--times", "3")
    assert outcome.code == 2 and "--start, --times belong to a video" in outcome.err


def test_choices_are_handed_on_and_reported(
    lyra: Lyra, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    class Networks:
        device = "cpu"

    def produce(path: Path, out: Path, networks: Any, options: VideoOptions, *rest: Any) -> dict[str, Any]:
        seen.update(path=path, out=out, options=options)
        return {"gaussians": [10, 2000], "dropped": [0, 1300]}

    monkeypatch.setattr(pipeline.Pipeline, "load", staticmethod(lambda device: Networks()))
    monkeypatch.setattr(video, "produce", produce)
    outcome = lyra("generate", clip, "-o", tmp_path / "out", "--start", "0.25", "--frames", "9", "--stride", "1",
                   "--times", "2", "--fps", "8", "--cameras", "static", "--trajectories", "left,zoom-in")  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert seen["options"] == VideoOptions(
        start=0.25, frames=9, stride=1, times="2", fps=8.0, cameras="static", trajectories=("left", "zoom_in")
    )
    assert seen["path"] == clip and "2, 10 to 2,000 Gaussians each, up to 1,300 " in outcome.out
