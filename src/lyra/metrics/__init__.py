"""Scores as pure functions: batches in, one number per item out."""

from lyra.metrics.depth import DepthError, depth_error
from lyra.metrics.perceptual import lpips
from lyra.metrics.psnr import psnr
from lyra.metrics.ssim import ssim

__all__ = ["DepthError", "depth_error", "lpips", "psnr", "ssim"]
