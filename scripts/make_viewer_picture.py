"""Photograph the viewer for the README: ``python scripts/make_viewer_picture.py SCENE -o docs/images/viewer.jpg``.

Serves a scene folder, opens it in headless Chromium, orbits a little to the side, and saves what a visitor sees.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

from PIL import Image

from lyra.io import load_scene, read_trajectories
from lyra.viewer import SceneServer, scene_site

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "tools"))
from headless_chromium import Chromium, find_chromium

SIZE = (1280, 720)
STILL = "document.documentElement.dataset.state === 'still'"


def main() -> None:
    """Serve, look, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--orbit", type=float, default=0.0, help="pixels to drag to the right")
    arguments = parser.parse_args()
    program = find_chromium()
    if program is None:
        raise SystemExit("no Chromium on this machine (on Debian and Ubuntu: apt install chromium)")
    site = scene_site(load_scene(arguments.scene), read_trajectories(arguments.scene), arguments.scene, own_camera=True)
    with SceneServer(site) as server, Chromium(program) as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.page(*SIZE)
        page.open(server.address)
        page.wait(STILL)
        if arguments.orbit:
            middle = SIZE[0] / 2, SIZE[1] / 2
            page.drag(middle, (middle[0] + arguments.orbit, middle[1]))
        page.wait("document.getElementById('hint').classList.contains('gone')")
        time.sleep(1.5)  # the hint fades
        page.wait(STILL)
        Image.fromarray(page.picture()).save(arguments.out, quality=88, optimize=True)
        server.shutdown()


if __name__ == "__main__":
    main()
