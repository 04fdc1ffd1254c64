"""One scene as far as the teacher takes it: what a store keeps and self-distillation learns from."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lyra.structures.latents import Latents
from lyra.structures.shapes import check_shapes
from lyra.structures.views import Views


@dataclass(frozen=True)
class SceneRecord:
    """Latents that the teacher imagined, with the picture and the geometry that they came from.

    The 3D cache that the teacher was shown is not part of it: `lyra.stages.warp` makes it again from ``views`` and the
    cameras of ``latents``.

    Attributes:
        key: name of the record, unique in a store.
        latents: V clips of T pictures with their cameras.
        views: the source, S pictures with depth and camera; a photo has one. A mask without a single True says that the
            depth is not known.
        frames: [V, T, 3, H, W] uint8, the clips as pictures, where they are kept.
        depth: [V, T, H, W] float, z of the clips in the units of the cameras, where it is known.
        mask: [V, T, H, W] bool, where ``depth`` is valid; given exactly when ``depth`` is.
        times: [T] float seconds, the time of the source that each frame shows; ``None`` for a scene that stands still.
        meta: plain JSON values: source, seed, steps, strength, version.
    """

    key: str
    latents: Latents
    views: Views
    frames: Tensor | None = None
    depth: Tensor | None = None
    mask: Tensor | None = None
    times: Tensor | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fields = {f"c2w of {path.name}": (path.cameras.c2w, "T 4 4") for path in self.latents.trajectories}
        for name, axes in (("frames", "V T 3 H W"), ("depth", "V T H W"), ("mask", "V T H W"), ("times", "T")):
            value = getattr(self, name)
            if value is not None:
                fields[name] = (value, axes)
        check_shapes("SceneRecord", z=(self.latents.z, "V C t h w"), **fields)
        if (self.depth is None) != (self.mask is None):
            raise ValueError("SceneRecord: depth and mask come together")

    def to(self, device: torch.device | str) -> "SceneRecord":
        return replace(
            self,
            latents=self.latents.to(device),
            views=self.views.to(device),
            frames=None if self.frames is None else self.frames.to(device),
            depth=None if self.depth is None else self.depth.to(device),
            mask=None if self.mask is None else self.mask.to(device),
            times=None if self.times is None else self.times.to(device),
        )
