"""Time the viewer: writing a single page, and its first picture in headless Chromium.

    python benchmarks/viewer.py --json
    python benchmarks/viewer.py --scene out/demo

The scene is that of benchmarks/raster.py: three wavy layers, Gaussians of about 1.2 pixels. The time to the first
picture counts from the request for the page until the whole scene has been drawn and the picture was taken from the
browser, in a window of 1280 x 720, WebGL in software. Each value is the median of the runs. With a scene folder, also
how far the page's picture is from that of the rasteriser (PSNR): at the camera's size, and four times as large,
averaged back to it; the latter for the rasteriser itself too, whose blur stays 0.3 of the larger picture's pixels.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn.functional import avg_pool2d

from lyra.io import load_scene
from lyra.raster import render
from lyra.structures import Cameras, Gaussians, Scene
from lyra.viewer import export_html

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "tools"))
from headless_chromium import Chromium, find_chromium

from raster import wavy_layers

STILL = "document.documentElement.dataset.state === 'still'"


def scene_of(count: int) -> Scene:
    height, width = 256, 448
    tensors, w2c, K = wavy_layers(count, height, width)
    return Scene((Gaussians(*tensors),), Cameras(torch.linalg.inv(w2c), K, height, width))


def writing(count: int, runs: int) -> tuple[float, float]:
    """Seconds to write the page, and its size in MB."""
    scene, seconds = scene_of(count), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.html"
        for _ in range(runs):
            start = time.perf_counter()
            export_html(path, scene)
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds), path.stat().st_size / 1e6


def first_picture(program: str, count: int, runs: int) -> float:
    """Seconds from asking for the page to a picture of the scene."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder, Chromium(program) as browser:
        path = Path(folder) / "scene.html"
        export_html(path, scene_of(count))
        for _ in range(runs):
            page = browser.page(1280, 720)
            start = time.perf_counter()
            page.open(path.as_uri())
            page.wait(STILL)
            picture = page.picture()
            seconds.append(time.perf_counter() - start)
            if page.complaints or picture[200:500, 300:900].std() < 10:
                raise SystemExit(f"the page shows no scene: {page.complaints}")
            page.close()
    return statistics.median(seconds)


def likeness(program: str, folder: Path) -> dict[str, float]:
    """PSNR, dB, against the rasteriser's picture at the scene's camera."""
    scene = load_scene(folder)
    gaussians, camera = scene.gaussians[0], scene.source
    wanted = render(gaussians, camera).rgb[0].clamp(0, 1)

    def decibels(picture: torch.Tensor) -> float:
        return round(float(-10 * torch.log10((picture - wanted).square().mean())), 2)

    with tempfile.TemporaryDirectory() as place, Chromium(program) as browser:
        path = Path(place) / "scene.html"
        export_html(path, scene)

        def shown(times: int) -> torch.Tensor:
            page = browser.page(times * camera.width, times * camera.height)
            page.open(path.as_uri())
            page.wait(STILL)
            page.run("document.body.classList.add('bare')")
            page.wait("getComputedStyle(document.querySelector('header')).opacity === '0'")
            picture = torch.from_numpy(page.picture().copy()).permute(2, 0, 1) / 255
            page.close()
            return avg_pool2d(picture, times)

        larger = render(gaussians, camera.resized(4 * camera.height, 4 * camera.width)).rgb[0].clamp(0, 1)
        return {
            "page_db": decibels(shown(1)),
            "page_4x_db": decibels(shown(4)),
            "rasteriser_4x_db": decibels(avg_pool2d(larger, 4)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write-count", type=int, default=200_000)
    parser.add_argument("--show-count", type=int, default=180_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scene", type=Path, default=None, help="scene folder to compare pictures of")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    program = find_chromium()
    if program is None:
        raise SystemExit("no Chromium on this machine (on Debian and Ubuntu: apt install chromium)")
    seconds, megabytes = writing(arguments.write_count, arguments.runs)
    result = {
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "written_gaussians": arguments.write_count,
        "write_seconds": round(seconds, 3),
        "page_megabytes": round(megabytes, 2),
        "shown_gaussians": arguments.show_count,
        "first_picture_seconds": round(first_picture(program, arguments.show_count, arguments.runs), 3),
    }
    if arguments.scene is not None:
        result |= likeness(program, arguments.scene)
    print(json.dumps(result) if arguments.json else "\n".join(f"{name:>24}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
