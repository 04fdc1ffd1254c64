"""Gaussians to pixels: one front door, three backends (Numba on the CPU, gsplat on CUDA, plain torch as oracle)."""

from lyra.raster.front import available_backends, rasterize, render
from lyra.raster.options import RenderOptions
from lyra.raster.settling import settled

__all__ = ["RenderOptions", "available_backends", "rasterize", "render", "settled"]
