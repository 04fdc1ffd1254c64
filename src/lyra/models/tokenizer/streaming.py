"""The Cosmos tokenizer a few frames at a time, with the same result as all at once.

Everything in it is causal in time and works frame by frame in space, so a clip can pass in pieces if each layer
remembers what it has seen: a convolution its last inputs, attention over time its keys and values. Memory then depends
on the length of a piece, not of the clip. (Cutting in space would change the result: each frame is normalised whole.)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_cosmos import (
    CosmosCausalAttention,
    CosmosCausalConv3d,
    CosmosDownsample3d,
    CosmosPatchEmbed3d,
    CosmosTemporalAttentionProcessor2_0,
    CosmosUnpatcher3d,
    CosmosUpsample3d,
)
from torch import Tensor, nn


@contextmanager
def streaming(module: nn.Module) -> Iterator[None]:
    """Inside, every call of ``module`` continues the clip of the calls before; the first one begins it."""
    changed: list[nn.Module] = []
    for part in module.modules():
        forward = _continued(part)
        if forward is not None:
            part.forward = forward
            changed.append(part)
    try:
        yield
    finally:
        for part in changed:
            del part.forward


def _continued(part: nn.Module) -> Callable[..., Tensor] | None:
    """A forward that remembers, for the layers that look along time."""
    if isinstance(part, CosmosCausalConv3d) and part.temporal_pad > 0:
        return _Convolution(part)
    if isinstance(part, CosmosPatchEmbed3d):
        return _Wavelets(part, part._dwt)
    if isinstance(part, CosmosUnpatcher3d):
        return _Wavelets(part, part._idwt)
    if isinstance(part, CosmosDownsample3d) and part.temporal_downsample:
        return _Downsampling(part)
    if isinstance(part, CosmosUpsample3d) and part.temporal_upsample:
        return _Upsampling(part)
    if isinstance(part, CosmosCausalAttention) and isinstance(part.processor, CosmosTemporalAttentionProcessor2_0):
        return _Attention(part)
    return None


class _Layer:
    """A layer and whether its clip has begun."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.begun = False


class _Convolution(_Layer):
    """Instead of the first frame, repeated, the last inputs stand before a later piece."""

    def __call__(self, x: Tensor) -> Tensor:
        part = self.part
        if not self.begun:
            self.before = x[:, :, :1].repeat(1, 1, part.temporal_pad, 1, 1)
            self.begun = True
        x = torch.cat([self.before, x], dim=2)
        self.before = x[:, :, x.shape[2] - part.temporal_pad :].clone()
        x = F.pad(x, (*part.spatial_pad, 0, 0), mode=part.pad_mode, value=0.0)
        return F.conv3d(x, part.weight, part.bias, part.stride, part.padding, part.dilation, part.groups)


class _Wavelets(_Layer):
    """Pixels to patches or back: only the very first frame is repeated to fill a patch, and its copies cut off again.

    Args:
        part: the layer.
        step: its transform by a factor of 2, there or back.
    """

    def __init__(self, part: Any, step: Callable[..., Tensor]) -> None:
        super().__init__(part)
        self.step = step

    def __call__(self, x: Tensor) -> Tensor:
        part = self.part
        if not self.begun:
            self.begun = True
            return type(part).forward(part, x)
        for _ in range(part.patch_size.bit_length() - 1):
            x = self.step(x, rescale=True)
        return x


class _Downsampling(_Layer):
    """The very first frame makes a pair with itself."""

    def __call__(self, x: Tensor) -> Tensor:
        part = self.part
        if not self.begun:
            self.begun = True
            return type(part).forward(part, x)
        if part.spatial_downsample:
            x = F.pad(x, (0, 1, 0, 1, 0, 0))
            x = part.conv1(x) + F.avg_pool3d(x, kernel_size=(1, 2, 2), stride=(1, 2, 2))
        x = part.conv2(x) + F.avg_pool3d(x, kernel_size=(2, 1, 1), stride=(2, 1, 1))
        return part.conv3(x)


class _Upsampling(_Layer):
    """Every frame but the very first is doubled."""

    def __call__(self, x: Tensor) -> Tensor:
        part = self.part
        x = x.repeat_interleave(2, dim=2)
        if not self.begun:
            self.begun = True
            x = x[:, :, 1:]
        x = part.conv1(x) + x
        if part.spatial_upsample:
            x = x.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
            x = part.conv2(x) + x
        return part.conv3(x)


class _Attention(_Layer):
    """Frames attend to themselves and to all before, whose keys and values are kept."""

    seen: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        part = self.part
        height, width = x.shape[-2:]
        normal = part.norm(x)
        query, key, value = (
            to(normal).permute(0, 3, 4, 2, 1).flatten(0, 2).unflatten(2, (part.num_attention_heads, -1)).transpose(1, 2)
            for to in (part.to_q, part.to_k, part.to_v)
        )
        if self.seen is not None:
            key, value = (torch.cat(pair, dim=2) for pair in zip(self.seen, (key, value), strict=True))
        self.seen = key, value
        new, seen = query.shape[2], key.shape[2]
        causal = torch.ones(new, seen, dtype=torch.bool, device=x.device).tril(seen - new)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=causal)
        mixed = mixed.transpose(1, 2).flatten(2, 3).unflatten(0, (-1, height, width)).permute(0, 4, 3, 1, 2)
        return part.to_out[1](part.to_out[0](mixed)) + x
