"""Multi-view video in the tokenizer's space."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lyra.structures.shapes import check_shapes
from lyra.structures.trajectory import Trajectory


@dataclass(frozen=True)
class Latents:
    """Latent clips, one per trajectory, with the cameras that produced them.

    Attributes:
        z: [V, C, t, h, w] float, unnormalised tokenizer latents.
        trajectories: V camera paths, in the order of ``z``.
        tokenizer: name of the tokenizer that decodes ``z``.
    """

    z: Tensor
    trajectories: tuple[Trajectory, ...]
    tokenizer: str

    def __post_init__(self) -> None:
        sizes = check_shapes("Latents", z=(self.z, "V C t h w"))
        if sizes["V"] != len(self.trajectories):
            raise ValueError(f"Latents: {sizes['V']} clips but {len(self.trajectories)} trajectories")

    def to(self, device: torch.device | str) -> "Latents":
        return replace(
            self,
            z=self.z.to(device),
            trajectories=tuple(trajectory.to(device) for trajectory in self.trajectories),
        )
