"""Train the depth network on filmed worlds under strong photometric change."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lyra.hub import save_model
from lyra.metrics import depth_error
from lyra.models.depth import DepthConfig, DepthNet, depth_loss
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
        self.feed = WorldFeed(self.textures, "train", worlds, first_seed, device, options.workers, shared=True)
        self.feed.seek(step * options.accumulate)
        self.paths = PathBank(FRAMES, device, options.seed)
        if options.init:
            model = load_start(options.init, DepthNet)
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
        """Loss of one batch of newly filmed pictures, half of them mirrored."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            clip, focal = self._examples(self.feed, self.store, 2)
            rgb, depth, sky = self._photographed(clip), clip.depth.flatten(0, 2), clip.sky.flatten(0, 2)
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
