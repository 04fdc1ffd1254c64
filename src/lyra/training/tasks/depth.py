"""Train the depth network on filmed worlds under strong photometric change."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lyra.hub import save_model
from lyra.metrics import depth_error
from lyra.models.depth import DepthConfig, DepthNet, depth_loss
from lyra.models.depth.decoder import ContextBlock
from lyra.models.depth.model import SIZE_MULTIPLE
from lyra.training.credits import ENCODER_CREDITS, LICENCE
from lyra.training.device_data import PathBank
from lyra.training.networks import load_start
from lyra.training.options import TrainOptions
from lyra.training.recipes import find_recipe
from lyra.training.seeds import first_world
from lyra.training.task import Task
from lyra.training.world_feed import WorldFeed
from lyra.worlds import Clip, Split, TextureStore, film, load_textures
from lyra.worlds.photographic import degrade, develop, draw_looks

FRAMES = 5
UPRIGHT = 0.35
"""Share of the batches in portrait format."""
CLEAN, STRENGTH = 0.1, 1.6
"""Pictures left as they are, and how much farther than usual the others are from them: depth must not care."""
ABSTRACT_SHARE = 0.25
"""Worlds that show things in no order, so that what usually stands where decides less."""
SIZES = (0.75, 1.0, 1.0, 1.25)
"""Factors on the size of the pictures, a batch at a time: `DepthNet.look_again` looks at more than one, too."""


class DepthTask(Task):
    """Scale-invariant log depth, its gradients, sky, and focal length; each world is seen from several cameras."""

    slow_prefixes: tuple[str, ...] = ("encoder.",)
    """What photographs taught the encoder must survive worlds that are not photographs."""

    def __init__(self, options: TrainOptions, device: torch.device, encoder: Path | None = None, step: int = 0) -> None:
        self.options, self.device = options, device
        self.follow(find_recipe("depth", options.recipe, options.from_stage), options)
        self.textures = load_textures(options.textures, "train")
        self.store = self.textures.to(device)
        worlds = max(1, self.batch // 2)
        first_seed = first_world(500_000_003, options.seed)
        self.feed = WorldFeed(
            self.textures, "train", worlds, first_seed, device, options.workers, shared=True,
            abstract=round(ABSTRACT_SHARE * worlds),
        )  # fmt: skip
        self.feed.seek(step * options.accumulate)
        self.paths = PathBank(FRAMES, device, options.seed)
        if options.init:
            model = deepened(load_start(options.init, DepthNet), DepthConfig().context_blocks)
        else:
            model = DepthNet(DepthConfig())
            if encoder is not None:
                model.load_encoder(encoder)
        self.network: nn.Module = model.to(device).train()
        self.wrapped: nn.Module = self.network
        self.model = model
        self.model.freeze_batchnorm()
        if options.compile:
            self.model.compile()

    @torch.no_grad()
    def _examples(self, feed: WorldFeed, store: TextureStore, views: int) -> tuple[Clip, Tensor]:
        """Source and end views of worlds, [W, 1, views, ...], and focal / width [W, views]."""
        worlds = feed.next()
        height, width = self.options.height, self.options.width
        if torch.rand(()) < UPRIGHT:
            height, width = width, height
        paths = self.paths.draw(len(worlds), 1)[:, :, [0, -1][:views]]
        clip = film(worlds, store, paths, height, width)
        return clip, (clip.K[:, 0, 0] / width)[:, None].expand(-1, views)

    @torch.no_grad()
    def _photographed(self, clip: Clip) -> Tensor:
        """[B, 3, H, W] the pictures of a clip, each by a camera of its own."""
        rgb, depth = clip.rgb.flatten(0, 2)[:, None], clip.depth.flatten(0, 2)[:, None]
        looks = draw_looks(len(rgb), CLEAN, STRENGTH)
        scale = clip.scale.repeat_interleave(len(rgb) // len(clip.scale))
        return degrade(develop(rgb, looks, depth, scale), looks)[:, 0]

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Loss of one batch of newly filmed pictures; half of the batches are mirrored."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            clip, focal = self._examples(self.feed, self.store, 2)
            factor = SIZES[int(torch.randint(len(SIZES), ()))]
            rgb, depth, sky = resized(
                self._photographed(clip), clip.depth.flatten(0, 2), clip.sky.flatten(0, 2), factor
            )
            if step % 2:
                rgb, depth, sky = rgb.flip(-1), depth.flip(-1), sky.flip(-1)
        terms = depth_loss(self.wrapped(rgb), depth, sky, focal.flatten())
        return terms.pop("total"), {name: term.detach() for name, term in terms.items()}

    @torch.no_grad()
    def _predict(self, split: Split, batches: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        textures = load_textures(self.options.textures, split)
        feed, store = WorldFeed(textures, split, 8, 0, self.device, 0), textures.to(self.device)
        parts = []
        for _ in range(batches):
            torch.manual_seed(7)
            clip, _ = self._examples(feed, store, 1)
            rgb, depth, sky = clip.rgb.flatten(0, 2), clip.depth.flatten(0, 2), clip.sky.flatten(0, 2)
            predicted, _, _ = self.model.infer(rgb)
            parts.append((rgb, predicted, depth, sky))
        rgb, predicted, depth, sky = (torch.cat(column) for column in zip(*parts, strict=True))
        return rgb, predicted, depth, sky

    def pictures(self) -> Tensor | None:
        """Unseen pictures above their true and predicted inverse depths."""
        self.model.eval()
        rgb, predicted, depth, _ = self._predict("val", 1)
        self.model.train()
        shades = [(0.5 / d)[:, None].clamp(0, 1).expand(-1, 3, -1, -1) for d in (depth, predicted)]
        return torch.cat([rgb[:6], shades[0][:6], shades[1][:6]])

    def scores(self) -> dict[str, float]:
        """AbsRel and delta1 after median scaling on unseen worlds, sky left out."""
        self.model.eval()
        _, predicted, depth, sky = self._predict("test", 4 if self.device.type == "cuda" else 1)
        error = depth_error(predicted, depth, ~sky & (depth < 29))
        return {"abs_rel": round(float(error.abs_rel.mean()), 4), "delta1": round(float(error.delta1.mean()), 4)}

    def pack(self, folder: Path, recipe: dict[str, Any], scores: dict[str, float]) -> Path:
        """Store the depth network in int8."""
        return save_model(
            self.model, "depth/nano", self.model.config, storage="int8", recipe=recipe,
            seed=self.options.seed, scores=scores, licence=LICENCE, credits=ENCODER_CREDITS, weights_dir=folder,
        )  # fmt: skip


def deepened(model: DepthNet, blocks: int) -> DepthNet:
    """The network with ``blocks`` context blocks, those beyond its own doing nothing yet; itself if it has as many."""
    if model.config.context_blocks >= blocks:
        return model
    deeper = DepthNet(replace(model.config, context_blocks=blocks))
    deeper.load_state_dict(model.state_dict(), strict=False)
    for block in list(deeper.decoder.context.blocks)[model.config.context_blocks :]:
        assert isinstance(block, ContextBlock)
        for layer in (block.position, block.attention_output, block.mlp[-1]):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
    return deeper


def resized(rgb: Tensor, depth: Tensor, sky: Tensor, factor: float) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures [B, 3, H, W] and their depth and sky [B, H, W] at about ``factor`` times their size."""
    if factor == 1:
        return rgb, depth, sky
    size = tuple(SIZE_MULTIPLE * round(factor * side / SIZE_MULTIPLE) for side in rgb.shape[-2:])
    rgb = F.interpolate(rgb, size=size, mode="bilinear", antialias=True, align_corners=False)
    depth, sky = (F.interpolate(part[:, None].float(), size=size, mode="nearest-exact")[:, 0] for part in (depth, sky))
    return rgb, depth, sky > 0.5
