"""Every number of the decoder, and the sets of numbers that have a name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Head = Literal["official", "anchored"]
Rays = Literal["latents", "pooled"]


@dataclass(frozen=True)
class Anchor:
    """A frame that carries Gaussians.

    Attributes:
        frame: pixel frame of the clip.
        stride: pixels per Gaussian along each side: 1, 2 or 4.
        views: every view, or only the first (the first frame is the source picture in all of them).
        sharpness: the standard deviations are divided by this.
        solidity: the transparency 1 - opacity is raised to this power.

    Sharpness and solidity are set after training: what learns from a teacher's soft frames comes out soft, and the
    pixels of a photograph need not be.
    """

    frame: int
    stride: int
    views: Literal["first", "all"] = "all"
    sharpness: float = 1.0
    solidity: float = 1.0

    def __post_init__(self) -> None:
        if self.stride not in (1, 2, 4):
            raise ValueError(f"Anchor: stride {self.stride} is not 1, 2 or 4")
        if self.views not in ("first", "all"):
            raise ValueError(f"Anchor: views {self.views!r} is neither 'first' nor 'all'")
        if self.sharpness <= 0 or self.solidity <= 0:
            raise ValueError(f"Anchor: sharpness {self.sharpness} and solidity {self.solidity} must be positive")


@dataclass(frozen=True)
class DecoderConfig:
    """Defaults are the official numbers; ``nano`` shows its differences.

    Attributes:
        latent_channels: channels of the tokenizer's latents.
        temporal, spatial: compression of the tokenizer: T = temporal (t - 1) + 1, H = spatial h.
        patch: latent cells per token along each side; one latent frame per token.
        width, depth, heads, mlp_ratio: trunk.
        attention_every: block i is attention when (i + 1) is a multiple of this, Mamba-2 otherwise; 1: attention only.
        fuse_views: the trunk mixes the tokens of all views; without, those of each view apart.
        views_apart: each view is decoded as a scene of its own, which has no other view; their Gaussians are put
            together, and then pruned.
        ssm_state, ssm_head, ssm_expand, ssm_conv, ssm_chunk: Mamba-2 (the chunk length changes rounding only).
        zero_init_residual: start every trunk block as the identity.
        checkpoint_blocks: recompute trunk blocks in the backward pass instead of storing them.
        rays: cameras as tokenizer latents of Plücker maps given by the caller, or as pooled Plücker maps.
        ray_channels: channels of the given Plücker latents (``rays="latents"``).
        ray_dtype: precision of the Gaussians' rays; released weights were trained with bfloat16.
        zero_init_rays: start without the cameras.
        time_layers: the two time embeddings exist (they do in static weights, too).
        use_time: they are used: moving scenes, one Gaussian set per target time.
        pooled_time: moving scenes without latents of times: the times of the frames of each latent frame are added to
            its tokens as numbers, that of the target after the trunk: one pass of the trunk serves all targets.
        guides: add pooled log depth and visibility of the anchor frames to the tokens.
        head: ``official``: Gaussians of every frame from the tokens alone; ``anchored``: residuals on lifted frames.
        output_factor: official head: Gaussians per pixel are 1 / product of this (frames, rows, columns).
        distance_shift, distance_near, distance_far: official ray length, interpolated by sigmoid(x + shift).
        scale_shift, scale_cap: official scale, min(cap * exp(x - shift), cap).
        opacity_shift: official opacity, sigmoid(x + shift).
        prune_ratio: share of the Gaussians with the lowest opacity to drop; 0 keeps all, in order.
        anchors: anchored head: where the Gaussians sit.
        feature_channels, hidden_channels: anchored head: per-cell features and width of its convolutions.
        depth_near, depth_far: anchored head: given depth is clamped to this range.
        edge_gap: log-depth step above which a cell takes the nearer side instead of a mean.
        distance_limit: largest change of the log ray length.
        footprint: start value of the standard deviation in units of the cell size at the anchor's depth.
        scale_limit: largest change of the log scale.
        color_limit: largest change of the colour before clamping.
        opacity_start: start value of the opacity.
        hide_visible: cells of later frames that the 3D cache shows carry no Gaussian: the picture of the first anchor
            carries that surface already, and copies of it would only veil it.
    """

    latent_channels: int = 16
    temporal: int = 8
    spatial: int = 8
    patch: int = 2
    width: int = 512
    depth: int = 16
    heads: int = 8
    mlp_ratio: float = 4.0
    attention_every: int = 8
    fuse_views: bool = True
    views_apart: bool = False
    ssm_state: int = 256
    ssm_head: int = 64
    ssm_expand: int = 2
    ssm_conv: int = 4
    ssm_chunk: int = 256
    zero_init_residual: bool = False
    checkpoint_blocks: bool = False
    rays: Rays = "latents"
    ray_channels: int = 32
    ray_dtype: Literal["float32", "bfloat16"] = "bfloat16"
    zero_init_rays: bool = True
    time_layers: bool = True
    use_time: bool = False
    pooled_time: bool = False
    guides: bool = False
    head: Head = "official"
    output_factor: tuple[int, int, int] = (1, 8, 8)
    distance_shift: float = -1.65
    distance_near: float = 0.1
    distance_far: float = 500.0
    scale_shift: float = 1.0
    scale_cap: float = 0.3
    opacity_shift: float = -2.0
    prune_ratio: float = 0.8
    anchors: tuple[Anchor, ...] = ()
    feature_channels: int = 24
    hidden_channels: int = 32
    depth_near: float = 0.05
    depth_far: float = 30.0
    edge_gap: float = 0.05
    distance_limit: float = 0.5
    footprint: float = 0.5
    scale_limit: float = 1.5
    color_limit: float = 0.5
    opacity_start: float = 0.8
    hide_visible: bool = False

    def __post_init__(self) -> None:
        # A config read back from JSON has dictionaries and lists where it had anchors and tuples.
        object.__setattr__(self, "anchors", tuple(_as_anchor(anchor) for anchor in self.anchors))
        object.__setattr__(self, "output_factor", tuple(self.output_factor))
        if self.head == "anchored" and not self.anchors:
            raise ValueError("DecoderConfig: the anchored head needs at least one anchor")
        if self.guides and not self.anchors:
            raise ValueError("DecoderConfig: guides are maps of the anchor frames; give anchors or switch them off")
        if self.use_time and not self.time_layers:
            raise ValueError("DecoderConfig: use_time needs time_layers")
        if self.use_time and self.pooled_time:
            raise ValueError("DecoderConfig: times are read as latents or pooled, not both")
        if not 0 <= self.prune_ratio < 1:
            raise ValueError(f"DecoderConfig: prune_ratio {self.prune_ratio} is not in [0, 1)")

    @property
    def cell(self) -> int:
        """Pixels per token along each side; height and width of the clips must be multiples of it."""
        return self.spatial * self.patch

    @property
    def anchor_frames(self) -> tuple[int, ...]:
        """The A distinct frames, rising, of which ``DecoderInputs`` holds pictures and depth."""
        return anchor_frames(self.anchors)

    def latent_frame(self, frame: int) -> int:
        """Index of the latent frame that covers a pixel frame: frame 0 has its own, then groups of ``temporal``."""
        return -(-frame // self.temporal)

    def is_attention(self, block: int) -> bool:
        """Whether trunk block ``block`` (from 0) is attention."""
        return (block + 1) % self.attention_every == 0


def anchor_frames(anchors: tuple[Anchor, ...]) -> tuple[int, ...]:
    """The distinct frames of anchors, rising."""
    return tuple(sorted({anchor.frame for anchor in anchors}))


def _as_anchor(value: Anchor | Mapping[str, Any]) -> Anchor:
    return value if isinstance(value, Anchor) else Anchor(**value)


def official_static() -> DecoderConfig:
    """The released decoder of static scenes (32,753,996 parameters), as its last training stage runs it."""
    return DecoderConfig()


def official_dynamic() -> DecoderConfig:
    """The released decoder of moving scenes: the same network with its time signal switched on."""
    return DecoderConfig(use_time=True)


def nano() -> DecoderConfig:
    """The small decoder: 17 frames, 64 latent channels, Gaussians anchored on frames 0, 8 and 16."""
    return DecoderConfig(
        latent_channels=64,
        width=384,
        depth=6,
        heads=6,
        attention_every=1,
        zero_init_residual=True,
        rays="pooled",
        ray_dtype="float32",
        zero_init_rays=False,
        time_layers=False,
        guides=True,
        head="anchored",
        anchors=(Anchor(0, 1, "first"), Anchor(8, 2, "all"), Anchor(16, 2, "all")),
        prune_ratio=0.0,
        footprint=0.45,
        opacity_start=0.88,
        hide_visible=True,
    )


def nano_dynamic() -> DecoderConfig:
    """The small decoder for moving scenes: `nano`, told the time of every frame and of the target."""
    return replace(nano(), pooled_time=True)
