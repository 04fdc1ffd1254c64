"""The page to look around in, as a part of every scene folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lyra.structures import Scene, Trajectory


def write_page(folder: Path, scene: "Scene", trajectories: "Sequence[Trajectory]") -> None:
    """Write ``scene.html`` into a scene folder that is being made."""
    from lyra.viewer import PAGE_FILE, export_html

    export_html(folder / PAGE_FILE, scene, trajectories)
