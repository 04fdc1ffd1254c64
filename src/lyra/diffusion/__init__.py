"""Noise levels, preconditioning and the sampling loop of EDM; takes any callable as denoiser."""

from lyra.diffusion.edm import Preconditioning, karras_sigmas, precondition, sample

__all__ = ["Preconditioning", "karras_sigmas", "precondition", "sample"]
