"""The 3D Gaussian decoder: multi-view latents in, Gaussians out, in one forward pass."""

from lyra.models.decoder.config import Anchor, DecoderConfig, nano, nano_dynamic, official_dynamic, official_static
from lyra.models.decoder.gaussian_batch import GaussianBatch
from lyra.models.decoder.inputs import DecoderInputs, anchor_inputs
from lyra.models.decoder.model import GaussianDecoder
from lyra.models.decoder.rays import relative_to_first_pose
from lyra.models.decoder.times import clip_times

__all__ = [
    "Anchor",
    "DecoderConfig",
    "DecoderInputs",
    "GaussianBatch",
    "GaussianDecoder",
    "anchor_inputs",
    "clip_times",
    "nano",
    "nano_dynamic",
    "official_dynamic",
    "official_static",
    "relative_to_first_pose",
]
