"""The result: an explicit 3D (or, with several times, 4D) scene."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from lyra.structures.cameras import Cameras
from lyra.structures.gaussians import Gaussians


@dataclass(frozen=True)
class Scene:
    """Gaussians with the cameras to look from.

    Attributes:
        gaussians: one set per time; a static scene has one.
        source: the camera of the input picture (one frame).
        times: seconds of each set.
        provenance: model names, licences, seed, version: whatever reproduces the scene.
    """

    gaussians: tuple[Gaussians, ...]
    source: Cameras
    times: tuple[float, ...] = (0.0,)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.gaussians) != len(self.times) or not self.gaussians:
            raise ValueError(f"Scene: {len(self.gaussians)} Gaussian sets for {len(self.times)} times")

    def to(self, device: torch.device | str) -> "Scene":
        return replace(self, gaussians=tuple(g.to(device) for g in self.gaussians), source=self.source.to(device))
