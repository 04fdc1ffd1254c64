"""Which tokenizer latents belong to, and the statistics between raw latents and those a teacher works on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lyra.models.tokenizer import SIGMA_DATA, Tokenizer
from lyra.structures import InputError

_TOLERANCE = 1e-5
"""Relative; statistics of two trainings differ by far more, a trip through JSON by far less."""


@dataclass(frozen=True)
class LatentSpace:
    """The space of one trained tokenizer.

    Attributes:
        tokenizer: its name.
        mean, std: [C] or [C, P] float32 statistics of raw latents, P one value for each latent frame.
    """

    tokenizer: str
    mean: Tensor
    std: Tensor

    @staticmethod
    def of(tokenizer: Tokenizer) -> "LatentSpace":
        """The space that ``tokenizer`` encodes into."""
        mean, std = tokenizer.latent_mean, tokenizer.latent_std
        return LatentSpace(tokenizer.name, mean.detach().cpu().float().clone(), std.detach().cpu().float().clone())

    @property
    def channels(self) -> int:
        """C of the latents."""
        return self.mean.shape[0]

    def normalize(self, z: Tensor) -> Tensor:
        """Raw latents [B, C, t, h, w] to mean 0 and deviation `SIGMA_DATA`, as `Tokenizer.normalize` does."""
        mean, std = self._statistics(z)
        return (z - mean) / std * SIGMA_DATA

    def denormalize(self, z: Tensor) -> Tensor:
        """Inverse of `normalize`."""
        mean, std = self._statistics(z)
        return z / SIGMA_DATA * std + mean

    def require(self, other: "LatentSpace", whose: str) -> None:
        """Refuse latents of another space.

        Args:
            other: the space that the latents are in.
            whose: what the message calls them, such as ``store DIR``.

        Raises:
            InputError: another tokenizer, or another training of it.
        """
        if other.tokenizer != self.tokenizer:
            raise InputError(
                f"{whose} holds latents of the tokenizer {other.tokenizer}, needed are those of {self.tokenizer}; "
                "use the networks that it was made with, or synthesize it again"
            )
        same = other.mean.shape == self.mean.shape and all(
            torch.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE)
            for a, b in ((self.mean, other.mean), (self.std, other.std))
        )
        if not same:
            raise InputError(
                f"{whose} holds latents of another training of {self.tokenizer}, their statistics differ; "
                "use the networks that it was made with, or synthesize it again"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values; float32 survives the trip exactly."""
        return {"name": self.tokenizer, "mean": self.mean.tolist(), "std": self.std.tolist()}

    @staticmethod
    def from_json(values: Mapping[str, Any], where: str) -> "LatentSpace":
        """Inverse of `to_json`; ``where`` is what messages call the values.

        Raises:
            InputError: entries are missing or no statistics.
        """
        try:
            mean, std = (torch.tensor(values[name], dtype=torch.float32) for name in ("mean", "std"))
            space = LatentSpace(str(values["name"]), mean, std)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where} does not describe a latent space ({error!r}); restore the file") from error
        if mean.dim() not in (1, 2) or mean.shape != std.shape or not bool((std > 0).all() & mean.isfinite().all()):
            raise InputError(f"{where} has latent statistics that are none; restore the file")
        return space

    def _statistics(self, z: Tensor) -> tuple[Tensor, Tensor]:
        frames = z.shape[2]
        if z.shape[1] != self.channels:
            raise InputError(
                f"latents have {z.shape[1]} channels, those of the tokenizer {self.tokenizer} have {self.channels}; "
                "use the networks that they were made with"
            )
        if self.mean.dim() == 2 and frames > self.mean.shape[1]:
            raise InputError(
                f"latents have {frames} frames, the statistics of the tokenizer {self.tokenizer} cover "
                f"{self.mean.shape[1]}; split them into shorter clips"
            )
        shape = (self.channels, -1, 1, 1)
        mean, std = self.mean.to(z).view(shape)[:, :frames], self.std.to(z).view(shape)[:, :frames]
        return mean, std
