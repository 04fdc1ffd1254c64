"""Numbers of the teacher; every value of the published network is a field."""

from dataclasses import dataclass

from torch import Tensor

from lyra.diffusion import karras_sigmas, nested_sigmas


@dataclass(frozen=True)
class TeacherConfig:
    """Configuration of the backbone, its conditioning channels and its noise levels."""

    latent_channels: int = 64
    mask_channels: int = 8
    """Channels of one validity mask: 8 pooled sub-frames (nano) or an encoded clip (official)."""
    buffers: int = 1
    """Sources of the 3D cache that are warped separately."""
    heads: int = 6
    head_dim: int = 64
    layers: int = 8
    mlp_ratio: float = 4.0
    text_dim: int = 384
    text_tokens: int = 1
    """Tokens of the null text; no weight depends on their number."""
    text: bool = False
    """Whether training showed captions; without, a prompt would be noise to it."""
    illustrates: bool = False
    """Whether training showed empty caches, so that it can make a first frame from text alone."""
    adaln_lora_dim: int = 32
    max_size: tuple[int, int, int] = (16, 64, 64)
    rope_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    learnable_positions: bool = False
    padding_channel: bool = False
    """A constant zero channel at the end, as the published network has."""
    residual: bool = True
    """Diffuse the difference to the first warped buffer instead of the latent itself (nano)."""
    sigma_data: float = 0.5
    sigma_min: float = 0.02
    sigma_max: float = 80.0
    sigma_condition: float = 0.001
    """Noise on the conditioning frame inside the network (published: 0.001)."""
    steps: int = 1
    """Sampling steps when the caller names none: with two the second begins at ``sigma_min`` and changes nothing."""
    level_grid: int = 0
    """Clips in fewer steps take every n-th level of a schedule of so many, which is what a network distilled to few
    steps knows; 0: each number of steps has a schedule of its own."""
    illustrate_steps: int = 16
    """Sampling steps for a first frame from text alone."""

    @property
    def in_channels(self) -> int:
        """Input channels: noisy latent, condition mask, buffers, and the padding channel."""
        conditioning = self.buffers * (self.latent_channels + self.mask_channels)
        return self.latent_channels + 1 + conditioning + int(self.padding_channel)

    def levels(self, steps: int | None = None) -> Tensor:
        """[steps + 1] falling noise levels of a clip, the last one 0; ``None`` for the network's own number."""
        steps = steps or self.steps
        if self.level_grid and self.level_grid % steps == 0:
            return nested_sigmas(steps, self.level_grid, self.sigma_min, self.sigma_max)
        return karras_sigmas(steps, self.sigma_min, self.sigma_max)


def nano() -> TeacherConfig:
    """The embedded teacher: 21.0 M parameters, 1344 tokens for a clip of 17 x 256 x 448."""
    return TeacherConfig()


def official() -> TeacherConfig:
    """GEN3C on Cosmos-Predict1-7B (7,237,257,216 parameters)."""
    return TeacherConfig(
        latent_channels=16,
        mask_channels=16,
        buffers=2,
        heads=32,
        head_dim=128,
        layers=28,
        text_dim=1024,
        text_tokens=512,
        adaln_lora_dim=256,
        max_size=(128, 240, 240),
        rope_scale=(2.0, 1.0, 1.0),
        learnable_positions=True,
        padding_channel=True,
        residual=False,
        sigma_min=0.0002,
        steps=35,
    )
