"""One training example of self-distillation, as the store keeps it."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lyra.structures.latents import Latents
from lyra.structures.shapes import check_shapes


@dataclass(frozen=True)
class SceneRecord:
    """Latents that the teacher imagined, with the depth that anchors them.

    Attributes:
        key: unique name in the store.
        latents: V clips with their cameras.
        depth: [V, T, H, W] float, depth of the imagined frames (cache where visible, aligned network elsewhere).
        mask: [V, T, H, W] bool, where the 3D cache was visible.
        meta: seed, source, version.
    """

    key: str
    latents: Latents
    depth: Tensor
    mask: Tensor
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_shapes("SceneRecord", depth=(self.depth, "V T H W"), mask=(self.mask, "V T H W"))
