"""Volumes to tokens."""

from torch import Tensor, nn


class PatchEmbed3d(nn.Module):
    """Non-overlapping patches of a volume, one token each, optionally layer-normalised.

    Args:
        channels: channels of the volume.
        width: size of a token.
        patch: patch size (t, h, w); the volume must be divisible by it.
        norm: whether a LayerNorm (eps 1e-5) follows the projection.
    """

    def __init__(self, channels: int, width: int, patch: tuple[int, int, int] = (1, 2, 2), norm: bool = True) -> None:
        super().__init__()
        self.proj = nn.Conv3d(channels, width, kernel_size=patch, stride=patch)
        self.norm = nn.LayerNorm(width, eps=1e-5) if norm else nn.Identity()

    def zero_init(self) -> None:
        """Make every token zero (exactly: LayerNorm of a zero vector is its zero bias)."""
        assert self.proj.bias is not None
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, volume: Tensor) -> Tensor:
        """Map [B, C, t, h, w] to tokens [B, N, D] in the order t, h, w."""
        return self.norm(self.proj(volume).flatten(2).transpose(1, 2))
