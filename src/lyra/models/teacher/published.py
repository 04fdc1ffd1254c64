"""The teacher as GEN3C conditions it: a slightly noisy first frame that stands in the sampler's state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lyra.diffusion import precondition
from lyra.models.teacher.inputs import TeacherInputs
from lyra.models.teacher.model import Teacher


@dataclass(frozen=True)
class PublishedInputs(TeacherInputs):
    """Conditioning of B clips for `PublishedTeacher`.

    Attributes:
        noise: [B, C, 1, h, w] standard normal, what the first frame is made noisy with at every step (`frame_noise`);
            None for none.
    """

    noise: Tensor | None = None

    def without_cache(self) -> "PublishedInputs":
        """The unconditional side of the guidance: empty buffers and masks; first frame and its mark stay."""
        return replace(self, warped=torch.zeros_like(self.warped), mask=torch.zeros_like(self.mask))


def frame_noise(shape: Sequence[int], seed: int) -> Tensor:
    """The noise of the conditioning frame [B, C, 1, h, w] for latents of ``shape`` [B, C, t, h, w].

    Drawn for the whole clip by NumPy's old generator, seeded anew for every step, as published; a clip of another
    length therefore has other noise.
    """
    values = np.random.RandomState(seed).standard_normal(tuple(shape))[:, :, :1]
    return torch.from_numpy(values.astype(np.float32))


class PublishedTeacher(Teacher):
    """The teacher with the published treatment of the first latent frame; weights and channels are those of `Teacher`.

    Above the noise level ``sigma_condition`` (0.001) the first frame of the state is
    (z + 0.001 n) c_in(0.001) / c_in(sigma), which the network sees as about 2 z, and the estimate there is z. At and
    below that level the frame is denoised like the others; the channel that marks it stays set.
    """

    def given(self, level: float) -> bool:
        """Whether the first frame is put in at a noise level."""
        return level > self.config.sigma_condition

    def place(self, x: Tensor, level: float, inputs: TeacherInputs) -> Tensor:
        """State [B, C, t, h, w] at a noise level with the first frame put in; changes nothing where it is not given."""
        if not self.given(level) or inputs.source is None:
            return x
        config = self.config
        first = inputs.source.float()
        noise = inputs.noise if isinstance(inputs, PublishedInputs) else None
        if noise is not None:
            first = first + config.sigma_condition * noise.to(first)
        levels = torch.tensor([config.sigma_condition, level], dtype=torch.float32, device=x.device)
        own, outer = precondition(levels, config.sigma_data).input
        return torch.cat([(first * own / outer).to(x.dtype), x[:, :, 1:]], dim=2)

    def network(self, x: Tensor, sigma: Tensor, inputs: TeacherInputs) -> Tensor:
        """The raw network output F for a state ``x`` that `place` has prepared; in the type of the backbone inside."""
        config = self.config
        scale = precondition(sigma.float(), config.sigma_data).input[:, None, None, None, None]
        # `Teacher` shows the network source / sigma_data on the first frame; here that must be the scaled state
        shown = replace(inputs, source=x[:, :, :1].float() * scale * config.sigma_data)
        return super().network(x.to(self.backbone.dtype), sigma, shown)

    def forward(self, x: Tensor, sigma: Tensor, inputs: TeacherInputs) -> Tensor:
        """Estimate the clean latents.

        Args:
            x: [B, C, t, h, w] state at one noise level, normalised latents.
            sigma: [B] that level (> 0), the same for all.
            inputs: conditioning; `PublishedInputs` to have the noise of the first frame.

        Returns:
            [B, C, t, h, w] float32; the first latent frame is ``inputs.source`` above ``sigma_condition``.
        """
        level = float(sigma[0])
        x = self.place(x.float(), level, inputs)
        factors = precondition(sigma.float(), self.config.sigma_data)
        skip, out = (factor[:, None, None, None, None] for factor in (factors.skip, factors.out))
        clean = skip * x + out * self.network(x, sigma, inputs).float()
        if not self.given(level) or inputs.source is None:
            return clean
        return torch.cat([inputs.source.to(clean), clean[:, :, 1:]], dim=2)
