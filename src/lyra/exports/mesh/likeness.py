"""How much of the Gaussians' solid surface a mesh covers, how far off it is, and how much it looks like them."""

from dataclasses import dataclass

import torch

from lyra.exports.mesh.picture import picture_mesh
from lyra.exports.mesh.pictures import FARTHEST, SOLID
from lyra.metrics import psnr
from lyra.raster import render
from lyra.structures import Cameras, Gaussians, Mesh


@dataclass(frozen=True)
class MeshLikeness:
    """A mesh against the Gaussians that it was made of.

    Attributes:
        coverage: share of the pixels with a solid surface where the mesh is seen too, over all views.
        depth_error: median of |z of the mesh / z of the Gaussians - 1| over those; NaN if there are none.
        worst_psnr, mean_psnr: dB over those, of the worst view and in the mean.
    """

    coverage: float
    depth_error: float
    worst_psnr: float
    mean_psnr: float


def mesh_likeness(mesh: Mesh, gaussians: Gaussians, cameras: Cameras) -> MeshLikeness:
    """Compare pictures of both from every camera; solid is what has alpha of at least 0.9 and is not too far away."""
    solid_pixels = 0
    values, errors = [], []
    for index in range(len(cameras)):
        truth, seen = render(gaussians, cameras[index]), picture_mesh(mesh, cameras[index])
        solid = (truth.alpha >= SOLID) & (truth.depth <= FARTHEST)
        both = solid & (seen.depth > 0)
        solid_pixels += int(solid.sum())
        errors.append((seen.depth[both] / truth.depth[both] - 1).abs())
        if both.any():
            values.append(float(psnr(seen.rgb, truth.rgb, both)[0]))
    off = torch.cat(errors)
    if not values:
        return MeshLikeness(0.0, torch.nan, torch.nan, torch.nan)
    coverage = len(off) / solid_pixels
    return MeshLikeness(coverage, float(off.median()), min(values), sum(values) / len(values))
