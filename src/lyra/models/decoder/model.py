"""The decoder from end to end: embed, mix, split the views, read out Gaussians."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lyra.models.decoder.config import DecoderConfig, anchor_frames
from lyra.models.decoder.gaussian_batch import GaussianBatch
from lyra.models.decoder.head_anchored import AnchoredHead
from lyra.models.decoder.head_official import OfficialHead
from lyra.models.decoder.inputs import DecoderInputs
from lyra.models.decoder.rays import pooled_plucker
from lyra.models.decoder.times import PooledTimes
from lyra.models.decoder.trunk import Trunk
from lyra.nn import PatchEmbed3d, full_precision


class GaussianDecoder(nn.Module):
    """Latents and cameras of V views to one set of Gaussians.

        latents ─ embed_latents ─┐
        cameras ─ embed_rays ────┤ sum, per view      all views           per view again
        times ─── embed_*_time ──┼────────────► [B, V N, D] ─ trunk ─► [B, V, t, h/2, w/2, D] ─ head ─► Gaussians
        depth ─── embed_guides ──┘                                                               └► prune

    Any number of views, frames and any grid that is a multiple of the patch run with the same weights. The trunk
    has no order of its own: without Mamba-2 blocks, permuting the views permutes the Gaussians (as far as no
    anchor is limited to the first view).
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        patch = (1, config.patch, config.patch)
        ray_channels = 6 * config.temporal if config.rays == "pooled" else config.ray_channels
        self.embed_latents = PatchEmbed3d(config.latent_channels, config.width, patch)
        self.embed_rays = PatchEmbed3d(ray_channels, config.width, patch)
        self.embed_source_time: PatchEmbed3d | None = None
        self.embed_target_time: PatchEmbed3d | None = None
        self.embed_guides: PatchEmbed3d | None = None
        if config.time_layers:
            self.embed_source_time = PatchEmbed3d(config.latent_channels, config.width, patch)
            self.embed_target_time = PatchEmbed3d(config.latent_channels, config.width, patch)
        self.times = PooledTimes(config) if config.pooled_time else None
        if config.guides:
            self.embed_guides = PatchEmbed3d(2 * self._guide_slots(), config.width, patch, norm=False)
        self.trunk = Trunk(config)
        self.head = AnchoredHead(config) if config.head == "anchored" else OfficialHead(config)
        self._initialise()

    def forward(self, inputs: DecoderInputs) -> GaussianBatch:
        """Gaussians of each scene, in the world of ``inputs.c2w``; pruned when the config says so.

        Raises:
            InputError: sizes do not fit the config, or a field that it needs is missing.
        """
        return self.read(self.mix(inputs), inputs)

    def mix(self, inputs: DecoderInputs) -> Tensor:
        """The trunk's tokens [B, V, t, rows, columns, D]; with ``pooled_time`` they serve every target time.

        Raises:
            InputError: as `forward`.
        """
        inputs.check(self.config)
        views, _, frames, rows, columns = inputs.latents.shape[1:]
        grid = (frames, rows // self.config.patch, columns // self.config.patch)
        if self.config.views_apart:
            return self._mix(self.embed(inputs.apart()), 1).unflatten(0, (-1, views)).unflatten(2, grid)
        return self._mix(self.embed(inputs), views).unflatten(1, (views, *grid))

    def read(self, tokens: Tensor, inputs: DecoderInputs) -> GaussianBatch:
        """Gaussians from `mix`'s tokens, at the anchors and for the target time of ``inputs``; pruned as configured."""
        if self.config.views_apart:
            views = tokens.shape[1]
            gaussians = self._read(tokens.flatten(0, 1)[:, None], inputs.apart()).united(views)
        else:
            gaussians = self._read(tokens, inputs)
        return gaussians.prune(1 - self.config.prune_ratio) if self.config.prune_ratio > 0 else gaussians

    def _read(self, tokens: Tensor, inputs: DecoderInputs) -> GaussianBatch:
        """All Gaussians of tokens [B, V, t, rows, columns, D]."""
        if self.times is not None:
            tokens = self.times.for_target(tokens, inputs)
        gaussians: GaussianBatch = self.head(tokens, inputs)
        return gaussians

    def _mix(self, tokens: Tensor, views: int) -> Tensor:
        """The trunk over the tokens [B, V N, D] of all views, or over those of each view."""
        if self.config.fuse_views:
            mixed: Tensor = self.trunk(tokens)
            return mixed
        apart = tokens.unflatten(1, (views, -1)).flatten(0, 1)
        return self.trunk(apart).unflatten(0, (-1, views)).flatten(1, 2)

    def embed(self, inputs: DecoderInputs) -> Tensor:
        """The tokens of all views, [B, V N, D], views one after the other, inside each t, rows, columns."""
        config = self.config
        views, frames = inputs.latents.shape[1], inputs.latents.shape[3]
        tokens = self._per_view(self.embed_latents, inputs.latents)
        if config.rays == "pooled":
            rays = pooled_plucker(
                inputs.c2w, inputs.K, inputs.height, inputs.width, config.temporal, config.spatial
            ).to(inputs.latents.dtype)
        else:
            (rays,) = inputs.require("plucker", reason="this decoder reads cameras as latents of Plücker maps")
        tokens = tokens + self._per_view(self.embed_rays, rays)
        if config.use_time:
            (time,) = inputs.require("time_latents", reason="this decoder needs the times of its clips and its target")
            assert self.embed_source_time is not None and self.embed_target_time is not None
            source = self.embed_source_time(time[:, :, :frames])
            target = self.embed_target_time(time[:, :, frames:])
            tokens = tokens + (source + target.repeat(1, frames, 1))[:, None]
        if self.times is not None:
            tokens = self.times.for_frames(tokens, inputs)
        if self.embed_guides is not None:
            tokens = tokens + self._per_view(self.embed_guides, self._guides(inputs).to(inputs.latents.dtype))
        return tokens.reshape(tokens.shape[0], views * tokens.shape[2], -1)

    @staticmethod
    def _per_view(embed: PatchEmbed3d, volume: Tensor) -> Tensor:
        """Embed [B, V, C, t, h, w] to [B, V, N, D]."""
        return embed(volume.flatten(0, 1)).unflatten(0, volume.shape[:2])

    def _guide_slots(self) -> int:
        """The largest number of anchor frames inside one latent frame."""
        groups = [self.config.latent_frame(frame) for frame in self.config.anchor_frames]
        return max(groups.count(group) for group in groups)

    def _guides(self, inputs: DecoderInputs) -> Tensor:
        """Log depth and visibility of the anchor frames, averaged to the latent grid: [B, V, 2 slots, t, h, w].

        A latent frame without anchors holds zeros.
        """
        config = self.config
        depth, visible = inputs.require("depth", "visible", reason="depth guides the tokens of this decoder")
        log_depth = depth.float().clamp(config.depth_near, config.depth_far).log()
        maps = torch.stack([log_depth, visible.float()], dim=3).flatten(0, 2)
        with full_precision(maps.device):
            maps = F.avg_pool2d(maps, config.spatial).unflatten(0, depth.shape[:3])  # [B, V, A, 2, h, w]
        empty = torch.zeros_like(maps[:, :, 0])
        held = list(enumerate(anchor_frames(inputs.placed(config))))
        per_latent_frame = []
        for group in range(inputs.latents.shape[3]):
            slots = [maps[:, :, a] for a, f in held if config.latent_frame(f) == group][: self._guide_slots()]
            slots += [empty] * (self._guide_slots() - len(slots))
            per_latent_frame.append(torch.cat(slots, dim=2))
        return torch.stack(per_latent_frame, dim=3)

    def _initialise(self) -> None:
        """Published start values: Linear truncated normal 0.02, patches He-normal (fan out), rays and time zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, PatchEmbed3d):
                nn.init.kaiming_normal_(module.proj.weight, mode="fan_out")
                assert module.proj.bias is not None
                nn.init.zeros_(module.proj.bias)
        for embed in (self.embed_source_time, self.embed_target_time, self.embed_guides):
            if embed is not None:
                embed.zero_init()
        if self.times is not None:
            self.times.zero_init()
        if self.config.zero_init_rays:
            self.embed_rays.zero_init()
        if self.config.zero_init_residual:
            self.trunk.zero_init_residual()
        if isinstance(self.head, AnchoredHead):
            self.head.zero_init()
