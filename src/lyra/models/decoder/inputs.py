"""What the decoder sees of a batch of scenes."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from lyra.models.decoder.config import Anchor, DecoderConfig, anchor_frames
from lyra.structures import InputError, check_shapes


@dataclass(frozen=True)
class DecoderInputs:
    """B scenes of V views of T frames of H x W pixels; optional fields depend on the configuration.

    Attributes:
        latents: [B, V, C, t, h, w]. Official weights: raw tokenizer latents; nano: the normalised ones.
        c2w: [B, V, T, 4, 4] float32, camera-to-world; Gaussians come out in the same world.
        K: [B, V, 3, 3] float32, intrinsics in pixels of H x W.
        height, width: H and W.
        plucker: [B, V, 32, t, h, w], tokenizer latents of the moment maps, then of the direction maps
            (``rays="latents"``).
        time_latents: [B, C, t + 1, h, w], latents of the source-time clip, then one of the target time (``use_time``).
        rgb: [B, V, A, 3, H, W] 0…1, decoded pictures at ``config.anchor_frames`` (anchored head).
        depth: [B, V, A, H, W] z in scene units (anchored head, guides).
        visible: [B, V, A, H, W] float 0…1, where that depth comes from the 3D cache (anchored head, guides).
        anchors: frames that carry Gaussians instead of the config's; A counts theirs.
        frame_times: [B, T] the time each frame shows, 0…1 over the source (``pooled_time``).
        target_time: [B] the time that the Gaussians are for, in the same unit (``pooled_time``).
    """

    latents: Tensor
    c2w: Tensor
    K: Tensor
    height: int
    width: int
    plucker: Tensor | None = None
    time_latents: Tensor | None = None
    rgb: Tensor | None = None
    depth: Tensor | None = None
    visible: Tensor | None = None
    anchors: tuple[Anchor, ...] | None = None
    frame_times: Tensor | None = None
    target_time: Tensor | None = None

    def __post_init__(self) -> None:
        patterns = {
            "latents": "B V C t h w",
            "c2w": "B V T 4 4",
            "K": "B V 3 3",
            "plucker": "B V P t h w",
            "time_latents": "B C s h w",
            "rgb": f"B V A 3 {self.height} {self.width}",
            "depth": f"B V A {self.height} {self.width}",
            "visible": f"B V A {self.height} {self.width}",
            "frame_times": "B T",
            "target_time": "B",
        }
        given = {name: (getattr(self, name), pattern) for name, pattern in patterns.items()}
        check_shapes("DecoderInputs", **{name: pair for name, pair in given.items() if pair[0] is not None})

    def require(self, *names: str, reason: str) -> tuple[Tensor, ...]:
        """The named optional fields.

        Raises:
            InputError: one of them is missing.
        """
        values = tuple(getattr(self, name) for name in names)
        missing = [name for name, value in zip(names, values, strict=True) if value is None]
        if missing:
            raise InputError(f"decoder inputs lack {', '.join(missing)}: {reason}; give them in DecoderInputs")
        return values

    def placed(self, config: DecoderConfig) -> tuple[Anchor, ...]:
        """The anchors that count."""
        return config.anchors if self.anchors is None else self.anchors

    def check(self, config: DecoderConfig) -> None:
        """Compare sizes with a configuration.

        Raises:
            InputError: channels, grid, frames or anchor frames do not fit it.
        """
        channels, latent_frames, rows, columns = self.latents.shape[2:]
        frames = self.c2w.shape[2]
        grid = (self.height // config.spatial, self.width // config.spatial)
        anchors = anchor_frames(self.placed(config))
        if channels != config.latent_channels:
            raise InputError(f"latents have {channels} channels, not {config.latent_channels}: use the right tokenizer")
        if frames != config.temporal * (latent_frames - 1) + 1:
            raise InputError(f"{latent_frames} latent frames do not make {frames} frames: give one camera per frame")
        if self.height % config.cell or self.width % config.cell:
            raise InputError(f"{self.height}x{self.width} pixels: the decoder needs multiples of {config.cell}")
        if (rows, columns) != grid:
            raise InputError(f"a {rows}x{columns} latent grid is not that of {self.height}x{self.width} pixels")
        if anchors and anchors[-1] >= frames:
            raise InputError(f"Gaussians are anchored on frame {anchors[-1]} but the clip has {frames} frames")
        maps = self.rgb if self.rgb is not None else self.depth
        if anchors and maps is not None and maps.shape[2] != len(anchors):
            raise InputError(f"{maps.shape[2]} anchor frames given: give frames {', '.join(map(str, anchors))}")

    def apart(self) -> "DecoderInputs":
        """The same views as B V scenes of one view each; what belongs to a whole scene is repeated for each."""
        batch, views = self.latents.shape[:2]
        whole_scenes = ("time_latents", "frame_times", "target_time")
        split: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                value = (
                    value.repeat_interleave(views, dim=0)
                    if field.name in whole_scenes
                    else value.reshape(batch * views, 1, *value.shape[2:])
                )
            split[field.name] = value
        return replace(self, **split)

    def to(self, device: torch.device | str) -> "DecoderInputs":
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            moved[field.name] = value.to(device) if isinstance(value, Tensor) else value
        return replace(self, **moved)


def anchor_inputs(
    config: DecoderConfig, latents: Tensor, c2w: Tensor, K: Tensor, rgb: Tensor, depth: Tensor, visible: Tensor
) -> DecoderInputs:
    """Inputs of the anchored decoder from whole clips: picks the anchor frames.

    Args:
        config: the decoder's.
        latents: [B, V, C, t, h, w], normalised.
        c2w: [B, V, T, 4, 4].
        K: [B, V, 3, 3].
        rgb: [B, V, T, 3, H, W] 0…1.
        depth: [B, V, T, H, W].
        visible: [B, V, T, H, W] bool or float.
    """

    def pick(clip: Tensor) -> Tensor:
        return torch.stack([clip[:, :, frame] for frame in config.anchor_frames], dim=2)

    return DecoderInputs(
        latents=latents,
        c2w=c2w,
        K=K,
        height=rgb.shape[-2],
        width=rgb.shape[-1],
        rgb=pick(rgb),
        depth=pick(depth),
        visible=pick(visible).to(rgb.dtype),
    )
