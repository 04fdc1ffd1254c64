"""Settings of the depth network and of its training loss."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DepthConfig:
    """Sizes of `DepthNet`; the encoder is always EfficientNet-Lite0.

    Attributes:
        width: channels of the fusion stages at strides 16, 8 and 4.
        context_width: channels of the tokens at stride 32 that see the whole picture.
        context_blocks: self-attention blocks over these tokens.
        context_heads: attention heads of each block; divides ``context_width``.
        fine_width: channels at stride 2.
        refine_width: channels of the full-resolution convolutions.
        freeze_batchnorm: keep the encoder's normalisation statistics fixed in training too.
    """

    width: int = 64
    context_width: int = 192
    context_blocks: int = 5
    context_heads: int = 6
    fine_width: int = 32
    refine_width: int = 16
    freeze_batchnorm: bool = True


@dataclass(frozen=True)
class DepthLossConfig:
    """Weights of the terms of `depth_loss`.

    Attributes:
        scale_invariant: weight of the aligned log-depth difference.
        gradient: weight of the log-depth gradients, averaged over the scales.
        sky: weight of the sky's binary cross-entropy.
        focal: weight of the log focal length difference.
        scales: how many scales the gradient term has, each half the size of the one before.
        softness: log-depth difference below which the robust L1 distance turns quadratic.
    """

    scale_invariant: float = 1.0
    gradient: float = 2.0
    sky: float = 0.5
    focal: float = 0.5
    scales: int = 4
    softness: float = 0.01
