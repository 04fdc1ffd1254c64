"""What `pip install` puts on a user's disk: all modules, the weights with their cards, the viewer, and nothing else."""

from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

WEIGHTS_LIMIT_MIB = 48
VIEWER_LIMIT_KIB = 128


@pytest.fixture(scope="module")
def shipped() -> dict[str, Path]:
    """Path in the wheel → file here, as the build back end selects them."""
    root = Path(__file__).resolve().parents[2]
    return {file.distribution_path: Path(file.path) for file in WheelBuilder(str(root)).recurse_included_files()}


def test_every_module_is_shipped(shipped: dict[str, Path], repository: Path) -> None:
    ours = {str(file.relative_to(repository / "src")) for file in (repository / "src").rglob("*.py")}
    assert ours <= set(shipped)
    assert "lyra/py.typed" in shipped


def test_nothing_but_the_package_is_shipped(shipped: dict[str, Path]) -> None:
    assert all(name.startswith("lyra/") for name in shipped)
    assert not [name for name in shipped if "__pycache__" in name or name.endswith((".pyc", ".pt", ".part"))]


def test_the_viewer_is_shipped_whole(shipped: dict[str, Path]) -> None:
    page = {name for name in shipped if name.startswith("lyra/viewer/assets/")}
    assert page == {f"lyra/viewer/assets/{name}" for name in ("build.json", "page.html", "viewer.css", "viewer.js")}
    assert all(shipped[name].stat().st_size for name in page)
    assert sum(shipped[name].stat().st_size for name in page) <= VIEWER_LIMIT_KIB * 2**10


def test_weights_are_shipped_with_their_cards_and_stay_small(shipped: dict[str, Path]) -> None:
    weights = {name for name in shipped if name.endswith(".safetensors")}
    assert weights, "no weights are shipped"
    assert all(name.startswith("lyra/hub/weights/") for name in weights)
    assert {name.removesuffix(".safetensors") + ".json" for name in weights} <= set(shipped)
    assert sum(shipped[name].stat().st_size for name in weights) <= WEIGHTS_LIMIT_MIB * 2**20
