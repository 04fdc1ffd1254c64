"""The Gaussians of a batch of scenes."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lyra.structures import Gaussians, check_shapes


@dataclass(frozen=True)
class GaussianBatch:
    """N Gaussians for each of B scenes, activated; fields as in ``structures.Gaussians``.

    Attributes:
        means: [B, N, 3] in the world of the given cameras.
        quats: [B, N, 4] unit quaternions w, x, y, z.
        scales: [B, N, 3] standard deviations.
        opacities: [B, N] 0…1.
        colors: [B, N, 3]; while training they may leave 0…1 a little, ``item`` clamps them.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor

    def __post_init__(self) -> None:
        check_shapes(
            "GaussianBatch",
            means=(self.means, "B N 3"),
            quats=(self.quats, "B N 4"),
            scales=(self.scales, "B N 3"),
            opacities=(self.opacities, "B N"),
            colors=(self.colors, "B N 3"),
        )

    @staticmethod
    def concatenate(parts: Sequence["GaussianBatch"]) -> "GaussianBatch":
        """Join sets of the same B scenes, in the given order."""
        return GaussianBatch(
            torch.cat([part.means for part in parts], dim=1),
            torch.cat([part.quats for part in parts], dim=1),
            torch.cat([part.scales for part in parts], dim=1),
            torch.cat([part.opacities for part in parts], dim=1),
            torch.cat([part.colors for part in parts], dim=1),
        )

    def united(self, count: int) -> "GaussianBatch":
        """The sets of every ``count`` scenes that follow each other put together: B of N to B / count of count N."""
        return GaussianBatch(
            *(getattr(self, field.name).unflatten(0, (-1, count)).flatten(1, 2) for field in fields(self))
        )

    def item(self, index: int) -> Gaussians:
        """The Gaussians of scene ``index``, colours clamped to 0…1."""
        return Gaussians(
            self.means[index],
            self.quats[index],
            self.scales[index],
            self.opacities[index],
            self.colors[index].clamp(0, 1),
        )

    def prune(self, keep_fraction: float) -> "GaussianBatch":
        """Keep the int(N * keep_fraction) most opaque Gaussians of each scene, sorted by falling opacity.

        The product is taken in doubles and cut off, so ``1 - 0.8`` (slightly less than 0.2) of 10,222,080 is 2,044,415.
        """
        kept = int(self.opacities.shape[1] * keep_fraction)
        opacities, order = self.opacities.sort(dim=1, descending=True, stable=True)
        order = order[:, :kept]

        def take(values: Tensor) -> Tensor:
            return values.gather(1, order[..., None].expand(-1, -1, values.shape[-1]))

        return GaussianBatch(
            take(self.means), take(self.quats), take(self.scales), opacities[:, :kept], take(self.colors)
        )
