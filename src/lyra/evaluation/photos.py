"""Photographs: does the scene show the photo again from the photo's own camera?"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from lyra.hub import load_model
from lyra.metrics import lpips, psnr, ssim
from lyra.pipeline import Pipeline
from lyra.results import GenerateOptions


@torch.no_grad()
def evaluate_photos(
    photos: Sequence[Path],
    options: GenerateOptions | None = None,
    pipeline: Pipeline | None = None,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """PSNR, SSIM and lpips_squeeze of each photo against its scene seen from the photo's camera.

    Returns:
        ``photos``: scores by file name, with the renders' agreement with the teacher; ``mean``: their averages.
    """
    options = options or GenerateOptions()
    pipeline = pipeline or Pipeline.load(options.device)
    perceptual = load_model("perceptual/squeeze", device=pipeline.device)
    rows: dict[str, dict[str, float]] = {}
    for photo in photos:
        result = pipeline.run(photo, options)
        truth, image = result.views.frames.rgb, result.rerender.rgb.clamp(0, 1)
        renders = torch.stack([r.rgb for r in result.renders]).clamp(0, 1)
        rows[photo.name] = {
            "psnr": round(float(psnr(image, truth)), 2),
            "ssim": round(float(ssim(image, truth)), 4),
            "lpips_squeeze": round(float(lpips(perceptual, image, truth)), 4),
            "psnr_renders_vs_teacher": round(float(psnr(renders.flatten(0, 1), result.frames.flatten(0, 1)).mean()), 2),
            "gaussians": len(result.scene.gaussians[0]),
        }
        progress(f"{photo.name}: {rows[photo.name]}")
    names = next(iter(rows.values())).keys() if rows else ()
    mean = {name: round(sum(row[name] for row in rows.values()) / len(rows), 4) for name in names}
    return {"photos": rows, "mean": mean}
