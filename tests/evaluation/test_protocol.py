"""Numbers that leave nothing to measure, or that the road refuses, are one line before anything is loaded."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lyra.cli import main
from lyra.evaluation import text as texts
from lyra.evaluation.camera import CameraProtocol
from lyra.evaluation.moving_worlds import MovingProtocol
from lyra.evaluation.probe_scores import ProbeProtocol
from lyra.evaluation.text import TextProtocol
from lyra.evaluation.worlds import WorldsProtocol
from lyra.pipeline import Pipeline
from lyra.structures import InputError
from lyra.studies.ablations import AblationsProtocol
from lyra.studies.optimisation import OptimisationProtocol
from lyra.worlds.captions import Caption
from lyra.worlds.description import Description

WORLDS = (WorldsProtocol, MovingProtocol, CameraProtocol, OptimisationProtocol)


@pytest.mark.parametrize("protocol", [*WORLDS, TextProtocol])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"count": 0}, "count 0 should be at least"),
        ({"steps": 0}, "steps 0 is outside 1…"),
        ({"steps": 10**9}, "steps 1000000000 is outside 1…"),
        ({"seed": -1}, "seed -1 is outside 0…"),
        ({"seed": 10**20}, "seed 100000000000000000000 is outside 0…"),
    ],
)
def test_every_protocol_refuses_it(protocol: Callable[..., object], wrong: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        protocol(**wrong)


@pytest.mark.parametrize("protocol", WORLDS)
def test_sizes_that_the_networks_cannot_take(protocol: Callable[..., object]) -> None:
    protocol(height=64, width=96)
    for size in ((64, 100), (0, 96), (-32, 96)):
        with pytest.raises(InputError, match=f"size {size[0]}x{size[1]} must be multiples of 32"):
            protocol(height=size[0], width=size[1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: WorldsProtocol(stride=17), "stride 17 is outside 1…16; clips have 17 frames"),
        (lambda: WorldsProtocol(first=-1), "first -1 should be at least 0"),
        (lambda: MovingProtocol(stride=0), "stride 0 is outside 1…16"),
        (lambda: MovingProtocol(frames=11), "frames 11 should be at least 12"),
        (lambda: MovingProtocol(cameras=-1), "cameras -1 should be at least 0"),
        (lambda: CameraProtocol(trajectories=("sideways",)), "unknown trajectory 'sideways'"),
        (lambda: TextProtocol(count=1), "count 1 should be at least 2"),
        (lambda: TextProtocol(seeds=0), "seeds 0 should be at least 1"),
        (lambda: TextProtocol(guidance=-2), "guidance -2 is outside 0…30"),
        (lambda: TextProtocol(workers=-1), "workers -1 should be at least 0"),
        (lambda: ProbeProtocol(workers=-1), "workers -1 should be at least 0"),
        (lambda: ProbeProtocol(count=0), "count 0 should be at least 1"),
        (lambda: AblationsProtocol(Path("runs"), steps=2, seed=-1), "seed -1 is outside"),
        (lambda: AblationsProtocol(Path("runs"), steps=2, height=100), "size 100x448 must be multiples of 32"),
        (lambda: AblationsProtocol(Path("runs"), steps=2, workers=-1), "workers -1 is negative"),
        (lambda: AblationsProtocol(Path("runs"), steps=2, stride=17), "stride 17 is outside 1…16"),
    ],
)
def test_what_only_one_of_them_has(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    "words",
    [
        ["worlds", "--steps", "-1"],
        ["worlds", "--dynamic", "--steps", "-1"],
        ["worlds", "--seed", "-1"],
        ["worlds", "--gaussians", "-1"],
        ["worlds", "--dynamic", "--gaussians", "-1"],
        ["camera", "--steps", "-1"],
        ["text", "--guidance", "99"],
        ["ablations", "--out", "runs", "--steps", "-1"],
        ["ablations", "--out", "runs", "--steps", "2", "--width", "100"],
        ["optimisation", "--steps", "-1"],
    ],
)
def test_the_commands_say_so_in_one_line(words, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Pipeline, "load", lambda *_: pytest.fail("networks were loaded"))
    assert main(["evaluate", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lyra: ") and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_whole_scenes_of_captions_take_the_guidance() -> None:
    """The options of a scene need its prompt, or guidance would be refused when all pictures are drawn."""
    asked = []

    class Stop(Exception):
        pass

    class Road:
        def run_prompt(self, prompt, options):
            asked.append((prompt, options))
            raise Stop

    caption = Caption("two chairs in a room", Description("room"))
    with pytest.raises(Stop):
        texts._consistency(Road(), [caption], TextProtocol(guidance=2.0, seed=3), print)
    (prompt, options) = asked[0]
    assert prompt == options.prompt == caption.text and (options.guidance, options.seed) == (2.0, 3)
