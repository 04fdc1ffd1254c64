"""Noise levels, preconditioning and the sampling loop of EDM; takes any callable as denoiser."""

from lyra.diffusion.edm import Denoiser, Preconditioning, guide, karras_sigmas, nested_sigmas, precondition, sample
from lyra.diffusion.guidance import Guidance, guided
from lyra.diffusion.multistep import sample_placed

__all__ = [
    "Denoiser",
    "Guidance",
    "Preconditioning",
    "guide",
    "guided",
    "karras_sigmas",
    "nested_sigmas",
    "precondition",
    "sample",
    "sample_placed",
]
