"""Make the pictures of docs/gallery: of every photo, the photo and its scene at the end of five camera paths.

python scripts/make_gallery.py examples/photos/*.jpg examples/photos/eval/{autumn_meadow,dogs_at_window}.jpg \\
  -o docs/gallery
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lyra.io.images import fit_photo
from lyra.metrics import psnr
from lyra.pipeline import Pipeline
from lyra.raster import render
from lyra.results import Result

ROWS = (("photo", "left", "right"), ("zoom_in", "up", "zoom_out"))
CELL = 560
"""Pixels along the longer side of one picture."""
QUALITY = 84


def sheet(result: Result) -> Image.Image:
    """Two rows of three: the photo, and the scene at the last cameras, all as fine as the scene is."""
    pictures = {"photo": photo_of(result)}
    for path in result.latents.trajectories:
        finer = path.cameras[-1].resized(*pictures["photo"].shape[1:])
        pictures[path.name] = render(result.scene.gaussians[0], finer, result.preset.render).rgb[0]
    whole = torch.cat([torch.cat([pictures[name] for name in row], dim=2) for row in ROWS], dim=1)
    picture = Image.fromarray(as_bytes(whole).numpy())
    scale = CELL / max(pictures["photo"].shape[1:])
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def photo_of(result: Result) -> Tensor:
    """[3, H, W] the photo at the size of the scene's own camera."""
    height, width = result.views.frames.height, result.views.frames.width
    factor = result.scene.source.height // height
    return fit_photo(result.photo.frames.rgb[0], height, width, result.options.fit, factor)[0]


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
        source = result.scene.source
        fine = render(result.scene.gaussians[0], source, result.preset.render).rgb.clamp(0, 1)
        sharp = float(psnr(fine, photo_of(result)[None]))
        print(
            f"{photo.name}: own camera {own:.1f} dB, at {source.width} x {source.height} {sharp:.1f} dB, "
            f"renders against teacher {told:.1f} dB",
            flush=True,
        )


if __name__ == "__main__":
    main()
