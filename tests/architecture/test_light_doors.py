"""Opening a door costs nothing: help and ``import lyra`` load no heavy package."""

import subprocess
import sys

HEAVY = ("torch", "numpy", "numba", "diffusers", "av", "PIL", "safetensors")

SHOW_HELP = """
import contextlib, io, sys
import lyra
from lyra.cli import main
for command in ("", "generate", "render", "view", "export", "models", "models list", "models show",
                "models import-official", "models embed-text", "film", "evaluate",
                "evaluate worlds", "evaluate photos", "train", "synthesize", "reconstruct", "worlds", "doctor"):
    words = [*command.split(), "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as text:
        try:
            code = main(words)
        except SystemExit as leaving:
            code = leaving.code
    assert code == 0, words
    assert "usage: lyra" in text.getvalue(), words
print(" ".join(name for name in sys.modules))
"""

PREPARE_A_SCENE = """
import sys
from lyra.cli.entry import parse
from lyra.cli.published import PublishedChoices
assert PublishedChoices.of(parse(["generate", "photo.jpg", "-o", "out"])) is None
import lyra.scene_writer
from lyra.pipeline import Pipeline
Pipeline.load("cpu")
print(" ".join(sys.modules))
"""


def loaded_by(program: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after ``program``."""
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 0, outcome.stderr
    return set(outcome.stdout.split())


def test_help_of_every_command_loads_nothing_heavy() -> None:
    modules = loaded_by(SHOW_HELP)
    assert "lyra.cli.generate" in modules
    assert not modules.intersection(HEAVY)


def test_the_check_sees_torch_when_it_is_loaded() -> None:
    assert "torch" in loaded_by("import sys, lyra; lyra.Frames; print(' '.join(sys.modules))")


def test_a_scene_of_the_embedded_networks_waits_for_no_library_of_others() -> None:
    """Importing diffusers, and what it imports of torch, takes longer than to load the networks."""
    modules = loaded_by(PREPARE_A_SCENE)
    assert "lyra.models.teacher.swift" in modules
    assert not modules.intersection({"diffusers", "transformers", "torch._dynamo"})
