"""Noise levels, preconditioning and the sampling loop of EDM; takes any callable as denoiser."""

from lyra.diffusion.edm import Denoiser, Preconditioning, guide, karras_sigmas, precondition, sample

__all__ = ["Denoiser", "Preconditioning", "guide", "karras_sigmas", "precondition", "sample"]
