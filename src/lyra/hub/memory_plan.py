"""What a run of the published networks will hold where, reckoned before anything is loaded.

The road has phases, and the networks of one phase need not be there in another. The plan takes the fastest way that
fits: weights on the device before weights that stream from host memory, large pieces before small ones. Nothing but
8-bit storage changes the result, and that is chosen by the caller alone. Numbers of intermediate values are counted
from the code of the networks; `SLACK` covers what the count and the allocator miss.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import nn

from lyra.models.decoder import DecoderConfig, GaussianDecoder
from lyra.models.teacher import PublishedTeacher, TeacherConfig
from lyra.models.teacher.null_text import drop_text
from lyra.models.teacher.offload import BLOCKS_ON_DEVICE
from lyra.models.teacher.speed import Float8Linear, multiply_in_8_bits
from lyra.models.tokenizer import CosmosTokenizer, CosmosTokenizerConfig
from lyra.structures import InputError

GIB = 1 << 30
DEVICE_RESERVE = int(0.7 * GIB)
"""Device memory left to the driver's context and to what is not counted."""

SLACK = 1.08
"""Share by which intermediate values may exceed what is counted."""

HOST_BASE = 3 * GIB
"""Host memory of the programme itself, its libraries, and one file of weights on its way."""

TEACHER_UNITS, TEACHER_UNITS_LEAN = 14, 9.2
"""Tensors of tokens x width that a block holds at once, by the library's code and by `lyra.models.teacher.lean`
(measured on an H100 with what `SLACK` adds: 14.5 and 9.6)."""

CODEC_UNITS = 16
"""Feature maps of the finest level that the tokenizer holds at once: inputs, norms, activations, padded copies, outputs
and cuDNN's workspace (measured on an H100, decoding 4, 8 and 16 latent frames at once: 15.5, 15.3 and 14.0)."""

TRUNK_UNITS, TRUNK_UNITS_IN_PIECES, PIECE_UNITS = 23, 7, 72
"""Tensors of tokens x width that the 3D decoder's trunk holds at once: with all tokens (measured on an H100: 20 with
the fused scan, 23 without), in pieces, and for the tokens of a piece beside those."""

GAUSSIAN_BYTES, KEPT_BYTES = 190, 460
"""Per Gaussian of the head: raw channels twice, rays, activated values, sorting; per kept one: values, rasteriser."""

PIECES_OF_CLIP = (16, 8, 4, 2, 1)
TOKENS_TOGETHER = (None, 1 << 15, 1 << 14, 1 << 13)
Where = Literal["resident", "streamed"]
WAYS: tuple[tuple[Where, bool], ...] = (
    ("resident", False), ("resident", True), ("streamed", False), ("streamed", True),
)  # fmt: skip
"""Where the teacher's weights lie, and whether its blocks compute in parts: the fastest first."""


@dataclass(frozen=True)
class Workload:
    """What is to be computed.

    Attributes:
        teacher, tokenizer, decoder: the networks.
        frames, height, width: of a clip.
        views: clips.
        compute: bytes of a number in the networks.
        text: whether the teacher reads a text; without, its cross-attention is left out (`drop_text`).
    """

    teacher: TeacherConfig
    tokenizer: CosmosTokenizerConfig
    decoder: DecoderConfig
    frames: int
    height: int
    width: int
    views: int
    compute: int = 2
    text: bool = True

    @property
    def latent_frames(self) -> int:
        """Latent frames of a clip."""
        return 1 + (self.frames - 1) // 8

    @property
    def tokens(self) -> int:
        """Tokens of a clip, of the teacher and of the 3D decoder."""
        return self.latent_frames * (self.height // 16) * (self.width // 16)


@dataclass(frozen=True)
class Choice:
    """How the networks are held.

    Attributes:
        teacher: weights on the device, or in host memory and streamed a block at a time.
        eight_bits: whether the teacher's large weights are stored in 8 bits.
        lean: whether its blocks compute in parts.
        clip_together: latent frames that pass the tokenizer at once, None for all.
        tokens_together: tokens that pass the 3D decoder at once, None for all.
        products: whether the teacher's large weights are 8-bit numbers that are multiplied as such.
    """

    teacher: Where = "resident"
    eight_bits: bool = False
    lean: bool = False
    clip_together: int | None = None
    tokens_together: int | None = None
    products: bool = False


@dataclass(frozen=True)
class Phase:
    """One part of the road.

    Attributes:
        name: of the part.
        holds: what lies on the device, in words.
        device: bytes there.
        host: bytes in host memory.
    """

    name: str
    holds: str
    device: int
    host: int


@dataclass(frozen=True)
class MemoryPlan:
    """A choice that fits, and what it holds.

    Attributes:
        choice: how the networks are held.
        phases: in order.
        device_limit, host_limit: bytes that may be used.
        teacher: bytes of the teacher's weights.
    """

    choice: Choice
    phases: tuple[Phase, ...]
    device_limit: int
    host_limit: int
    teacher: int

    @property
    def teacher_stays(self) -> bool:
        """Whether the teacher may stay where it is while the other phases run."""
        if self.choice.teacher == "streamed":
            return True
        return self.teacher + max(one.device for one in self.phases if one.name != "imagine") <= self.device_limit

    @property
    def device(self) -> int:
        """Largest use of the device, bytes."""
        return max(phase.device for phase in self.phases)

    @property
    def host(self) -> int:
        """Largest use of host memory, bytes."""
        return max(phase.host for phase in self.phases)

    def lines(self) -> tuple[str, ...]:
        """The plan for people to read."""
        head = (
            f"memory plan: {self.device / GIB:.1f} of {self.device_limit / GIB:.1f} GiB on the device, "
            f"{self.host / GIB:.1f} of {self.host_limit / GIB:.1f} GiB in host memory"
        )
        return (head, *(f"  {one.name:<8} {one.device / GIB:5.1f} GiB  {one.holds}" for one in self.phases))


@dataclass(frozen=True)
class _Weights:
    """Bytes of the networks as they are stored."""

    teacher: int
    block: int
    tokenizer: int
    decoder: int


def plan_memory(work: Workload, device: int, host: int, eight_bits: bool = False, products: bool = False) -> MemoryPlan:
    """The fastest way to hold the networks that fits.

    Args:
        work: what is to be computed.
        device, host: bytes that may be used there.
        eight_bits: store the teacher's large weights in 8 bits.
        products: keep the teacher's large weights as 8-bit numbers that are multiplied as such, if all weights then
            fit on the device.

    Raises:
        InputError: no way fits; the message says what the smallest would need.
    """
    codec = _pieces(work)
    plain = _weights(work, eight_bits, False)
    clip = next((k for k in codec if max(_clip_phases(work, plain, k)) <= device), min(codec))
    tokens = next((n for n in TOKENS_TOGETHER if _decode(work, plain, clip, n) <= device), TOKENS_TOGETHER[-1])
    ways: list[tuple[Where, bool, bool]] = [(where, lean, False) for where, lean in WAYS]
    if products:
        ways = [(where, lean, True) for where, lean in WAYS if where == "resident"] + ways
    for where, lean, multiplied in ways:
        pieces = clip if clip < max(codec) else None
        choice = Choice(where, eight_bits and not multiplied, lean, pieces, tokens, multiplied)
        phases = phases_of(work, choice)
        if max(p.device for p in phases) <= device and max(p.host for p in phases) <= host:
            teacher = _weights(work, choice.eight_bits, choice.products).teacher
            return MemoryPlan(choice, phases, device, host, teacher)
    phases = phases_of(work, Choice("streamed", eight_bits, True, min(codec), TOKENS_TOGETHER[-1]))
    needed, beside = max(p.device for p in phases), max(p.host for p in phases)
    if needed > device:
        worst = max(phases, key=lambda phase: phase.device)
        raise InputError(
            f"the device has {device / GIB:.1f} GiB to use, at least {needed / GIB:.1f} GiB are needed ({worst.name}); "
            "close other programs, or use a larger device"
        )
    hint = "" if eight_bits else ", or add --eight-bits"
    raise InputError(
        f"host memory has {host / GIB:.1f} GiB free, {beside / GIB:.1f} GiB are needed to stream the teacher's weights "
        f"from there; close other programs{hint}"
    )


def _pieces(work: Workload) -> tuple[int, ...]:
    """Latent frames that may pass at once, the whole clip first."""
    return (work.latent_frames, *(k for k in PIECES_OF_CLIP if k < work.latent_frames))


@lru_cache(maxsize=8)
def _weights(work: Workload, eight_bits: bool, products: bool) -> _Weights:
    with torch.device("meta"):
        teacher, decoder = PublishedTeacher(work.teacher), GaussianDecoder(work.decoder)
        tokenizer = CosmosTokenizer(work.tokenizer)
    if not work.text:
        drop_text(teacher)
    if products:
        multiply_in_8_bits(teacher)
    blocks = teacher.backbone.transformer_blocks
    return _Weights(
        _bytes(teacher, work.compute, eight_bits),
        max(_bytes(block, work.compute, eight_bits) for block in blocks),
        _bytes(tokenizer, work.compute, False),
        _bytes(decoder, work.compute, False),
    )


def _bytes(module: nn.Module, compute: int, eight_bits: bool) -> int:
    """Bytes of the weights; under 8-bit storage norms, modulation and embeddings keep their type."""
    kept = ("norm", "patch_embed", "pos_embed")
    stored = sum(
        p.numel() * (1 if eight_bits and not any(part in name for part in kept) else compute)
        for name, p in module.named_parameters()
    )
    products = (part for part in module.modules() if isinstance(part, Float8Linear))
    return stored + sum(b.numel() * b.element_size() for part in products for b in part.buffers())


def _codec(work: Workload, together: int) -> int:
    """Bytes of intermediate values of the tokenizer for so many latent frames at once."""
    cells = (work.height // 4) * (work.width // 4) * 2 * together  # its finest level: patches of 4 x 4 x 4
    channels = max(work.tokenizer.decoder_widths[1], work.tokenizer.encoder_widths[1])
    pixels = 8 * together * 3 * work.height * work.width
    return int(SLACK * (CODEC_UNITS * channels * cells * work.compute + 2 * pixels * 4))


def _clip_phases(work: Workload, weights: _Weights, together: int) -> tuple[int, int]:
    """Bytes on the device while the cache is warped and encoded, and while clips are decoded to pictures."""
    pixels = work.frames * work.height * work.width
    cache = work.teacher.buffers * pixels * (4 * 4 + 1)
    codec = weights.tokenizer + _codec(work, together)
    return cache + codec, codec + pixels * 3 * 4


def _decode(work: Workload, weights: _Weights, together: int, tokens: int | None) -> int:
    """Bytes on the device while latents become Gaussians."""
    pixels = work.frames * work.height * work.width
    count = work.views * work.tokens
    rays = pixels * 6 * (2 if work.decoder.ray_dtype == "bfloat16" else 4)
    encode = weights.tokenizer + rays + _codec(work, together)
    units = TRUNK_UNITS if tokens is None else TRUNK_UNITS_IN_PIECES
    piece = 0 if tokens is None else min(tokens, count) * work.decoder.width * PIECE_UNITS * work.compute
    trunk = int(SLACK * (count * work.decoder.width * units * work.compute + piece))
    gaussians = work.views * pixels // 64
    return weights.decoder + max(encode, weights.tokenizer + max(trunk, gaussians * GAUSSIAN_BYTES))


def phases_of(work: Workload, choice: Choice) -> tuple[Phase, ...]:
    """What a choice holds where, whether it fits or not."""
    weights = _weights(work, choice.eight_bits, choice.products)
    together = choice.clip_together or work.latent_frames
    width = work.teacher.heads * work.teacher.head_dim
    units = TEACHER_UNITS_LEAN if choice.lean else TEACHER_UNITS
    thinking = int(SLACK * units * work.tokens * width * work.compute)
    streamed = choice.teacher == "streamed"
    blocks = work.teacher.layers * weights.block
    held = weights.teacher - blocks + BLOCKS_ON_DEVICE * weights.block if streamed else weights.teacher
    if choice.eight_bits:
        thinking += 2 * weights.block  # one block widened
    warp, pictures = _clip_phases(work, weights, together)
    gaussians = work.views * work.frames * work.height * work.width // 64
    kept = int(gaussians * (1 - work.decoder.prune_ratio))
    bits = "8 bits" if choice.eight_bits or choice.products else f"{8 * work.compute} bits"
    where = "two of its blocks, the rest streams from host memory" if streamed else "all of its weights"
    pieces = "whole clips" if choice.clip_together is None else f"{choice.clip_together} of its latent frames at once"
    at_once = "all tokens" if choice.tokens_together is None else f"{choice.tokens_together:,} tokens at once"
    host, decode = HOST_BASE, _decode(work, weights, together, choice.tokens_together)
    return (
        Phase("warp", f"cache, tokenizer: {pieces}", warp, host),
        Phase(
            "imagine",
            f"teacher in {bits}: {where}{', blocks in parts' if choice.lean else ''}",
            held + thinking,
            host + (weights.teacher if streamed else 0),
        ),
        Phase("frames", f"tokenizer: {pieces}", pictures, host),
        Phase("decode", f"tokenizer, 3D decoder: {at_once}", decode, host),
        Phase("render", f"{kept:,} Gaussians", kept * KEPT_BYTES + work.height * work.width * 64, host),
    )
