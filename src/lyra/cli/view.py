"""``lyra view``: look around in a scene, in the browser."""

import os
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class View:
    """Look around in a scene, in the browser.

    lyra view out/photo
    lyra view scene.spz
    lyra view out/photo --port 8080 --no-open
    """

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    """Scene folder, or a file of Gaussians."""
    port: Annotated[int, arg(metavar="N")] = 0
    """Port on this computer; 0 takes a free one."""
    no_open: bool = False
    """Only print the address, open no browser."""

    def run(self) -> int:
        """Read the scene, then serve it until Ctrl-C."""
        from lyra.io.scene_folder import load_scene, read_trajectories
        from lyra.viewer import SceneServer, scene_site

        source = _folder_of(self.scene)
        scene = load_scene(source)
        own_camera = source.is_dir()
        trajectories = read_trajectories(source) if own_camera else ()
        with SceneServer(scene_site(scene, trajectories, source, own_camera), self.port) as server:
            counts = [len(gaussians) for gaussians in scene.gaussians]
            print(f"scene      {self.scene}")
            print(f"Gaussians  {max(counts):,}" + (f" at each of {len(counts)} times" if len(counts) > 1 else ""))
            print(f"address    {server.address}")
            print("Ctrl-C ends it.", flush=True)
            if not self.no_open and _has_window():
                webbrowser.open(server.address)
            try:
                server.serve_forever()
            except KeyboardInterrupt:  # the way to end it, so no fault
                return 0
        return 0

    def interrupted(self) -> str:
        """Nothing is written at any time."""
        return "nothing was shown"


def _folder_of(path: Path) -> Path:
    """The scene folder that a ``scene.ply`` lies in, for its cameras belong to it; else ``path`` itself."""
    from lyra.io.scene_folder import CAMERAS_FILE, RUN_FILE, SCENE_FILE

    folder = path.parent
    ours = path.name == SCENE_FILE and (folder / RUN_FILE).is_file() and (folder / CAMERAS_FILE).is_file()
    return folder if ours and path.is_file() else path


def _has_window() -> bool:
    """Whether a browser could open a window; without one, some systems start a browser inside the terminal."""
    if sys.platform in ("darwin", "win32") or "BROWSER" in os.environ:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
