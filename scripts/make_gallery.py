"""Make the pictures of docs/gallery: of every photo, the photo and its scene at the end of five camera paths.

python scripts/make_gallery.py examples/photos/*.jpg examples/photos/eval/{autumn_meadow,dogs_at_window}.jpg \\
  -o docs/gallery
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lyra.metrics import psnr
from lyra.pipeline import Pipeline
from lyra.results import Result

ROWS = (("photo", "left", "right"), ("zoom_in", "up", "zoom_out"))
CELL = 336
"""Pixels along the longer side of one picture."""
QUALITY = 88


def sheet(result: Result) -> Image.Image:
    """Two rows of three: the photo, and the last frames of the scene's renders."""
    pictures = {
        path.name: render.rgb[-1] for path, render in zip(result.latents.trajectories, result.renders, strict=True)
    }
    pictures["photo"] = result.views.frames.rgb[0]
    whole = torch.cat([torch.cat([pictures[name] for name in row], dim=2) for row in ROWS], dim=1)
    picture = Image.fromarray(as_bytes(whole).numpy())
    scale = CELL / max(result.views.frames.rgb.shape[-2:])
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def as_bytes(rgb: Tensor) -> Tensor:
    """[3, H, W] 0…1 as [H, W, 3] uint8."""
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)


def main() -> None:
    """Run the photos and save a sheet of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pipeline = Pipeline.load()
    for photo in given.photos:
        result = pipeline.run(photo)
        sheet(result).save(given.out / f"{photo.stem}.jpg", quality=QUALITY)
        own = float(psnr(result.rerender.rgb.clamp(0, 1), result.views.frames.rgb))
        renders = torch.cat([r.rgb for r in result.renders]).clamp(0, 1)
        told = float(psnr(renders, result.frames.flatten(0, 1)).mean())
        print(f"{photo.name}: own camera {own:.1f} dB, renders against teacher {told:.1f} dB", flush=True)


if __name__ == "__main__":
    main()
