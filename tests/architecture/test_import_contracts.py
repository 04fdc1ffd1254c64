"""The house rules of pyproject.toml hold, and each of them can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"

ROOMS = ["structures", "geometry", "diffusion", "nn", "models", "raster", "io", "metrics", "hub", "worlds", "stages"]
ROOMS += ["training", "evaluation", "exports", "cli"]

FAULTS = {
    "network imports the rasteriser": ("models/decoder/model.py", "import lyra.raster", "one way"),
    "geometry imports a file format": ("geometry/rays.py", "from lyra.io import ply", "one way"),
    "the road knows the published one": ("pipeline.py", "import lyra.published", "one way"),
    "io imports the pipeline": ("io/ply.py", "def write():\n    import lyra.pipeline", "one way"),
    "a room nobody placed": ("helpers/__init__.py", "", "one way"),
    "stage calls stage": ("stages/warp.py", "from lyra.stages import imagine", "stages do not call stages"),
    "network borrows from network": (
        "models/teacher/model.py",
        "from lyra.models.tokenizer import nano",
        "networks share only through nn",
    ),
    "main road reads worlds": ("stages/plan.py", "import lyra.worlds", "the main road needs no workshop"),
    "geometry imports a viewer": ("geometry/rays.py", "import viser", "heavy packages have one home"),
    "decoder imports diffusers": ("models/decoder/model.py", "import diffusers", "heavy packages have one home"),
    "hub downloads": ("hub/load.py", "import huggingface_hub", "heavy packages have one home"),
    "a format borrows another's package": ("io/formats/glb.py", "import pxr", "heavy packages have one home"),
    "stage borrows the video library of io": ("stages/perceive.py", "import av", "heavy packages have one home"),
}


def lint(folder: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of ``folder``/pyproject.toml on the first ``lyra`` found in ``paths``."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}; {LINT}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def skeleton(repository: Path, tmp_path: Path) -> Path:
    """The same rooms and files as ours, all empty, under the same contracts."""
    source, copy = repository / "src" / "lyra", tmp_path / "src" / "lyra"
    for file in [*source.rglob("*.py"), *(source / room / "__init__.py" for room in ROOMS)]:
        empty = copy / file.relative_to(source)
        empty.parent.mkdir(parents=True, exist_ok=True)
        empty.touch()
    shutil.copy(repository / "pyproject.toml", tmp_path)
    return tmp_path


def test_our_code_keeps_every_contract(repository: Path) -> None:
    outcome = lint(repository, repository / "src")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "0 broken" in outcome.stdout


def test_an_empty_house_keeps_every_contract(skeleton: Path) -> None:
    outcome = lint(skeleton, skeleton / "src")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_reported(skeleton: Path, fault: str) -> None:
    place, line, contract = FAULTS[fault]
    file = skeleton / "src" / "lyra" / place
    file.parent.mkdir(exist_ok=True)
    file.write_text(line + "\n")
    outcome = lint(skeleton, skeleton / "src")
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert f"{contract} BROKEN" in outcome.stdout
    assert "1 broken" in outcome.stdout


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("raster/cuda.py", "import gsplat"),
        ("io/video.py", "import av"),
        ("io/formats/usd.py", "import pxr"),
        ("exports/mesh/surface.py", "import skimage"),
        ("models/tokenizer/cosmos.py", "import diffusers"),
        ("models/teacher/model.py", "from diffusers import CosmosTransformer3DModel"),
    ],
)
def test_a_heavy_package_is_welcome_in_its_home(skeleton: Path, place: str, line: str) -> None:
    file = skeleton / "src" / "lyra" / place
    file.write_text(line + "\n")
    (skeleton / "src" / "lyra" / "pipeline.py").write_text(
        "import lyra.raster.cuda, lyra.io.video, lyra.io.formats.usd\n"
        "import lyra.models.tokenizer, lyra.models.teacher.model\n"
    )
    outcome = lint(skeleton, skeleton / "src")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
