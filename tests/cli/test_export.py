"""What ``lyra export`` prints, and how it leaves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from lyra.cli.export import Format
from lyra.exports.exporting import MESH
from lyra.exports.kinds import KINDS
from lyra.io import write_ply
from lyra.structures import Gaussians

Lyra = Callable[..., Any]  # the fixture of conftest.py


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with two blobs before the camera; the current folder is that of the file."""
    monkeypatch.chdir(tmp_path)
    blobs = Gaussians(
        torch.tensor([[-0.2, 0.1, 1.0], [0.3, -0.1, 1.5]]),
        torch.tensor([[1.0, 0, 0, 0], [0.8, 0.6, 0, 0]]),
        torch.tensor([[0.2, 0.1, 0.05], [0.1, 0.2, 0.1]]),
        torch.tensor([0.95, 0.7]),
        torch.tensor([[1.0, 0.2, 0.1], [0.1, 0.4, 0.9]]),
    )
    write_ply("scene.ply", blobs)
    return Path("scene.ply")


def test_the_formats_of_the_command_are_those_of_the_room() -> None:
    assert set(get_args(Format)) == {*KINDS, MESH}


def test_the_report_names_the_file_what_is_lost_size_and_likeness(lyra: Lyra, scene: Path) -> None:
    outcome = lyra("export", scene, "--to", "glb")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    lines = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert lines["file"] == str(Path("scene.glb").resolve())
    assert lines["format"].startswith("glb: ") and "y up" in lines["format"] and "lost" in lines["format"]
    assert lines["Gaussians"] == "2"
    assert lines["size"].endswith("bytes each")
    assert lines["PSNR"] == "over 100 dB in the worst of 13 views, over 100 dB mean"
    assert lines["time"].endswith("in all")
    assert sorted(each.name for each in Path().iterdir()) == ["scene.glb", "scene.ply"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--to", "ply"], "is the input itself; give another name with -o"),
        (["--to", "glb", "-o", "scene.usdc"], "should end in .glb; give another name"),
        (["--to", "frames"], "the scene has one time only; write it as"),
        (["--to", "mesh-glb", "-o", "."], "is a folder; give a file name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line_and_leaves_nothing(lyra: Lyra, scene: Path, words: list[str], complaint: str) -> None:
    outcome = lyra("export", scene, *words)
    assert outcome.code == 2
    assert len(outcome.complaints) == 1
    assert complaint in outcome.err
    assert outcome.out == ""
    assert [each.name for each in Path().iterdir()] == ["scene.ply"]


def test_an_unknown_format_is_refused_by_the_parser(lyra: Lyra, scene: Path) -> None:
    assert lyra("export", scene, "--to", "obj").code == 2
    assert [each.name for each in Path().iterdir()] == ["scene.ply"]
