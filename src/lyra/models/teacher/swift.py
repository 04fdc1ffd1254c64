"""The nano teacher for inference: the numbers of the library's backbone for less work, and without its import.

Importing diffusers takes longer than decoding a scene's frames, so the main road does without it: `SwiftTeacher` holds
the weights of `Teacher` by the same names in a backbone of our own. It differs from ``CosmosTransformer3DModel`` in
rounding only:

- the zero text adds exactly nothing (keys and values have no bias), so its cross-attention is not computed,
- the modulation of a single clip is the affine part of its layer norm,
- the weights of the norms of queries and keys are folded into the cosines and sines of their rotation,
- what is added to the stream is added in place: no gradient passes.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lyra.models.teacher.config import TeacherConfig
from lyra.models.teacher.model import PATCH, Teacher

_PERIOD = 10000.0
"""Longest period of the embeddings of time and of position."""
_NORM_EPS, _HEAD_EPS = 1e-6, 1e-5

Turn = tuple[Tensor, Tensor]
"""Cosines and sines [N, head size / 2] of the rotary embedding."""


class SwiftTeacher(Teacher):
    """`Teacher` for inference: the same weights and, up to rounding, the same estimates; batches of any size.

    Learnable positions, which only the published network has, are left to the library.
    """

    def _backbone(self, config: TeacherConfig) -> nn.Module:
        return super()._backbone(config) if config.learnable_positions else SwiftBackbone(config)


class SwiftBackbone(nn.Module):
    """A Cosmos transformer as `TeacherConfig` describes it, without learnable positions."""

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        self.config = config
        width = config.heads * config.head_dim
        cell = math.prod(PATCH)
        self.patch_embed = _named(proj=nn.Linear(config.in_channels * cell, width, bias=False))
        self.time_embed = _TimeEmbedding(width)
        self.transformer_blocks = nn.ModuleList(_Block(config, width) for _ in range(config.layers))
        self.norm_out = _Modulation(width, config.adaln_lora_dim, 2)
        self.proj_out = nn.Linear(width, config.latent_channels * cell, bias=False)

    @torch.no_grad()
    def forward(
        self,
        hidden: Tensor,
        time: Tensor,
        text: Tensor,
        attention_mask: Tensor | None = None,
        return_dict: bool = False,
    ) -> tuple[Tensor]:
        """What ``CosmosTransformer3DModel.forward`` returns without a dictionary.

        Args:
            hidden: [B, in, t, h, w] input channels.
            time: [B] c_noise.
            text: [B, L, D] tokens; all zero for no text.
            attention_mask: [B, L] bool, tokens that are attended to, ``None`` for all.
            return_dict: of the library's interface, not used.

        Returns:
            [B, C, t, h, w], in a tuple.
        """
        batch, _, frames, height, width = hidden.shape
        rows, columns = height // PATCH[1], width // PATCH[2]
        cells = hidden.reshape(batch, -1, frames, rows, PATCH[1], columns, PATCH[2]).permute(0, 2, 3, 5, 1, 4, 6)
        x = self.patch_embed.get_submodule("proj")(cells.flatten(4).flatten(1, 3))
        shared, embedded = self.time_embed(time, x.dtype)
        turn = self._turn((frames, rows, columns), x.device)
        told = text if bool(text.any()) else None
        mask = None if attention_mask is None else attention_mask[:, None, None]
        for block in self.transformer_blocks:
            x = block(x, shared, embedded, turn, told, mask)
        x = self.proj_out(_modulated(x, *self.norm_out(shared, embedded)))
        # the library's order of a cell's values on the way out is row, column, channel
        x = x.view(batch, frames, rows, columns, PATCH[1], PATCH[2], -1).permute(0, 6, 1, 2, 4, 3, 5)
        return (x.reshape(batch, -1, frames, height, width),)

    def _turn(self, grid: tuple[int, int, int], device: torch.device) -> Turn:
        """Cosines and sines [N, head size / 2] of the tokens of a grid (frames, rows, columns)."""
        size = self.config.head_dim
        across = size // 6 * 2
        angles = []
        for axis, (length, dim, scale) in enumerate(
            zip(grid, (size - 2 * across, across, across), self.config.rope_scale, strict=True)
        ):
            longest = _PERIOD * scale ** (dim / (dim - 2))
            rates = 1 / longest ** (torch.arange(0, dim, 2, dtype=torch.float32, device=device) / dim)
            shape = [length if other == axis else 1 for other in range(3)]
            place = torch.arange(length, dtype=torch.float32, device=device).view(*shape, 1)
            angles.append((place * rates).expand(*grid, -1))
        joined = torch.cat(angles, dim=-1).flatten(0, 2)
        return joined.cos(), joined.sin()


class _Block(nn.Module):
    """Self-attention, cross-attention and MLP, each behind a modulated norm and a gate."""

    def __init__(self, config: TeacherConfig, width: int) -> None:
        super().__init__()
        lora = config.adaln_lora_dim
        self.norm1, self.norm2, self.norm3 = (_Modulation(width, lora, 3) for _ in range(3))
        self.attn1 = _Attention(config.heads, width, width)
        self.attn2 = _Attention(config.heads, width, config.text_dim)
        wide = int(width * config.mlp_ratio)
        first, last = nn.Linear(width, wide, bias=False), nn.Linear(wide, width, bias=False)
        self.ff = _named(net=nn.ModuleList((_named(proj=first), nn.Identity(), last)))

    def forward(
        self, x: Tensor, shared: Tensor, embedded: Tensor, turn: Turn, text: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Tokens [B, N, D], which it may overwrite; ``mask`` [B, 1, 1, L] belongs to ``text`` [B, L, D]."""
        shift, scale, gate = self.norm1(shared, embedded)
        y = _modulated(x, shift, scale)
        x = _added(x, gate, self.attn1(y, y, turn))
        if text is not None:
            shift, scale, gate = self.norm2(shared, embedded)
            x = _added(x, gate, self.attn2(_modulated(x, shift, scale), text, mask=mask))
        shift, scale, gate = self.norm3(shared, embedded)
        first, last = self.ff.get_submodule("net.0.proj"), self.ff.get_submodule("net.2")
        return _added(x, gate, last(F.gelu(first(_modulated(x, shift, scale)))))


class _Attention(nn.Module):
    """Softmax attention with a norm per head on queries and keys."""

    def __init__(self, heads: int, width: int, other: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(other, width, bias=False)
        self.to_v = nn.Linear(other, width, bias=False)
        self.norm_q, self.norm_k = (nn.RMSNorm(width // heads) for _ in range(2))  # only their weights are used
        self.to_out = nn.ModuleList((nn.Linear(width, width, bias=False),))

    def forward(self, x: Tensor, other: Tensor, turn: Turn | None = None, mask: Tensor | None = None) -> Tensor:
        """Tokens [B, N, D] that look at ``other`` [B, M, E]; queries and keys are turned where ``turn`` is given."""
        q, k, v = (each.unflatten(2, (self.heads, -1)) for each in (self.to_q(x), self.to_k(other), self.to_v(other)))
        q, k = _normed(q, self.norm_q.weight, turn), _normed(k, self.norm_k.weight, turn)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2).to(q), mask)
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))


class _Modulation(nn.Module):
    """What the noise level says about a norm: ``parts`` vectors [B, 1, D], of shift, scale and gate."""

    def __init__(self, width: int, lora: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.linear_1 = nn.Linear(width, lora, bias=False)
        self.linear_2 = nn.Linear(lora, parts * width, bias=False)

    def forward(self, shared: Tensor, embedded: Tensor) -> tuple[Tensor, ...]:
        """From what all norms share [B, 3 D] and the embedded time [B, D], after its SiLU."""
        own = self.linear_2(self.linear_1(embedded))
        return (own + shared[:, : own.shape[1]])[:, None].chunk(self.parts, dim=-1)


class _TimeEmbedding(nn.Module):
    """Time [B] to what all norms share [B, 3 D] and the embedding of each [B, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = nn.Linear(width, width, bias=False), nn.Linear(width, 3 * width, bias=False)
        self.t_embedder = _named(linear_1=first, linear_2=second)
        self.norm = nn.RMSNorm(width, eps=_NORM_EPS)

    def forward(self, time: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        half = self.norm.weight.shape[0] // 2
        rates = torch.exp(-math.log(_PERIOD) / half * torch.arange(half, dtype=torch.float32, device=time.device))
        angles = time.float()[:, None] * rates
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1).to(dtype)
        first, second = self.t_embedder.get_submodule("linear_1"), self.t_embedder.get_submodule("linear_2")
        return second(F.silu(first(waves))), F.silu(self.norm(waves.float()))


def _named(**modules: nn.Module) -> nn.ModuleDict:
    """A level of names, as the library's classes have it."""
    return nn.ModuleDict(modules)


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm of tokens [B, N, D], times 1 + ``scale`` [B, 1, D], plus ``shift``."""
    size = x.shape[-1:]
    if len(x) == 1:
        return F.layer_norm(x, size, (1 + scale).flatten().to(x.dtype), shift.flatten().to(x.dtype), _NORM_EPS)
    return F.layer_norm(x, size, eps=_NORM_EPS) * (1 + scale) + shift


def _added(x: Tensor, gate: Tensor, change: Tensor) -> Tensor:
    """x + gate * change; in the place of ``x``."""
    return x.addcmul_(gate.to(x.dtype), change.to(x.dtype))


def _normed(x: Tensor, weight: Tensor, turn: Turn | None) -> Tensor:
    """RMS norm of the heads in [B, N, heads, head size], then the rotation of the pairs (i, i + half), in float32."""
    x = x.float()
    scale = (x.norm(dim=-1, keepdim=True).square_() / x.shape[-1]).add_(_HEAD_EPS).rsqrt_()
    if turn is None:
        return x * scale * weight
    (first, second), (low, high) = x.chunk(2, dim=-1), weight.chunk(2)
    cos, sin = (part[:, None] for part in turn)
    turned = x * torch.cat([cos * low, cos * high], dim=-1)
    near, far = turned.chunk(2, dim=-1)
    near.addcmul_(second, sin * -high)
    far.addcmul_(first, sin * low)
    return turned.mul_(scale)
