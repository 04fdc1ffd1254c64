"""The diffusion teacher: conditioning channels, EDM preconditioning, and the Cosmos backbone of diffusers."""

from typing import Any

import torch
from torch import Tensor, nn

from lyra.diffusion import precondition
from lyra.models.teacher.config import TeacherConfig
from lyra.models.teacher.inputs import TeacherInputs

PATCH = (1, 2, 2)
"""Latent cells of a token: frames, rows, columns."""


class Teacher(nn.Module):
    """Denoises latent clips that start at a given picture and follow a warped 3D cache.

    The order of the input channels is that of GEN3C: noisy latent, condition mask, then (latent, mask) of each
    buffer. The condition mask is 1 where a latent frame is given, and zero throughout where the first frame is unknown.
    The padding-mask channel is built here: it is all zeros, and the library's own path for it needs an extra package.
    """

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone: Any = self._backbone(config)

    def _backbone(self, config: TeacherConfig) -> nn.Module:
        from diffusers import CosmosTransformer3DModel  # seconds, which `lyra.models.teacher.swift` does without

        return CosmosTransformer3DModel(
            in_channels=config.in_channels,
            out_channels=config.latent_channels,
            num_attention_heads=config.heads,
            attention_head_dim=config.head_dim,
            num_layers=config.layers,
            mlp_ratio=config.mlp_ratio,
            text_embed_dim=config.text_dim,
            adaln_lora_dim=config.adaln_lora_dim,
            max_size=config.max_size,
            patch_size=PATCH,
            rope_scale=config.rope_scale,
            concat_padding_mask=False,
            extra_pos_embed_type="learnable" if config.learnable_positions else None,
        )

    def start_as_identity(self) -> None:
        """Zero the output layer, so that training begins at the warped cache (``residual``) or at c_skip x."""
        nn.init.zeros_(self.backbone.proj_out.weight)
        for block in self.backbone.transformer_blocks:
            nn.init.zeros_(block.attn1.to_out[0].weight)
            nn.init.zeros_(block.attn2.to_out[0].weight)
            nn.init.zeros_(block.ff.net[-1].weight)

    def base(self, inputs: TeacherInputs) -> Tensor:
        """[B, C, t, h, w] what the diffused quantity is counted from: the warped cache, or zero."""
        return inputs.warped[:, 0] if self.config.residual else torch.zeros_like(inputs.warped[:, 0])

    def network(self, x: Tensor, sigma: Tensor, inputs: TeacherInputs) -> Tensor:
        """The raw network output F [B, C, t, h, w] for noisy latents ``x`` at noise levels ``sigma`` [B]."""
        config = self.config
        factors = precondition(sigma.float(), config.sigma_data)
        scaled = (x - self.base(inputs)) * _wide(factors.input)
        condition = torch.zeros_like(x[:, :1])
        if inputs.source is not None:
            first = (inputs.source - self.base(inputs)[:, :, :1]) / config.sigma_data
            scaled = torch.cat([first.to(scaled.dtype), scaled[:, :, 1:]], dim=2)
            condition[:, :, :1].fill_(1)
        channels = [scaled, condition]
        for buffer in range(config.buffers):
            channels += [inputs.warped[:, buffer], inputs.mask[:, buffer]]
        if config.padding_channel:
            channels.append(torch.zeros_like(x[:, :1]))
        hidden = torch.cat([channel.to(x.dtype) for channel in channels], dim=1)
        text, mask = self._text(x, inputs)
        output: Tensor = self.backbone(hidden, factors.noise, text, attention_mask=mask, return_dict=False)[0]
        return output

    def _text(self, x: Tensor, inputs: TeacherInputs) -> tuple[Tensor, Tensor | None]:
        """Tokens [B, L, D] and the mask [B, L] of those that are attended to, ``None`` for all.

        Keys and values have no bias, so that zero tokens add nothing, whatever their number: that is the null text.
        """
        if inputs.text is None:
            return x.new_zeros(x.shape[0], self.config.text_tokens, self.config.text_dim), None
        text, mask = inputs.text.to(x.dtype), inputs.text_mask
        if mask is None:
            return text, None
        return torch.where(mask[..., None], text, 0.0), mask | ~mask.any(dim=1, keepdim=True)

    def forward(self, x: Tensor, sigma: Tensor, inputs: TeacherInputs) -> Tensor:
        """Estimate the clean latents.

        Args:
            x: [B, C, t, h, w] noisy normalised latents.
            sigma: [B] noise levels (> 0).
            inputs: conditioning.

        Returns:
            [B, C, t, h, w]; its first latent frame is exactly ``inputs.source`` where that is given.
        """
        factors = precondition(sigma.float(), self.config.sigma_data)
        base = self.base(inputs)
        output = self.network(x, sigma, inputs).float()
        clean = base + _wide(factors.skip) * (x - base) + _wide(factors.out) * output
        if inputs.source is None:
            return clean
        return torch.cat([inputs.source.to(clean.dtype), clean[:, :, 1:]], dim=2)

    def target(self, clean: Tensor, x: Tensor, sigma: Tensor, inputs: TeacherInputs) -> Tensor:
        """What ``network`` should return for ``x`` = clean + noise (EDM equation 8): [B, C, t, h, w]."""
        factors = precondition(sigma.float(), self.config.sigma_data)
        base = self.base(inputs)
        return ((clean - base) - _wide(factors.skip) * (x - base)) / _wide(factors.out)


def _wide(factor: Tensor) -> Tensor:
    return factor[:, None, None, None, None]
