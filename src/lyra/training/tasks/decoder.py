"""Train the 3DGS decoder by self-distillation: its renders must equal the teacher's own RGB decodes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lyra.geometry.cameras import invert_rigid
from lyra.hub import load_model, save_model
from lyra.metrics import psnr
from lyra.models.decoder import GaussianBatch, GaussianDecoder, nano
from lyra.models.depth import DepthNet
from lyra.models.teacher import Teacher
from lyra.models.tokenizer import Tokenizer
from lyra.raster import RenderOptions, rasterize
from lyra.stages.decode import prepare_inputs
from lyra.training.credits import CREDITS, LICENCE
from lyra.training.device_data import PathBank, PhotoTiles, random_intrinsics
from lyra.training.imagined_scenes import ImaginedScenes, ScenePool, imagine_scenes
from lyra.training.losses import gradient_loss, scale_invariant_depth_loss
from lyra.training.networks import load_part
from lyra.training.options import TrainOptions
from lyra.training.world_feed import WorldFeed
from lyra.worlds import Split, TextureStore, film_source, load_textures

FRAMES = 17
VIEWS = 6
SCENES_PER_REFRESH = 4
TARGETS = 9
SOURCE_TARGETS = 1
"""Of these, so many are the input picture at its own camera."""
PERCEPTUAL_WEIGHT = 0.15
DEPTH_WEIGHT = 0.05
OPACITY_WEIGHT = 0.01


class DecoderTask:
    """MSE, gradients, perceptual distance and scale-invariant depth between renders and the teacher's frames.

    Nothing that was rendered from a world is ever a target: worlds and photographs lend the first picture only. That
    picture is the input, and frame 0 of every clip is the picture itself: there the target is the picture where the
    anchors show it, and the tokenizer's decode of it where the anchors show that.
    """

    learning_rate = 6e-4
    weight_decay = 0.01
    ema_decay = 0.998
    slow_prefixes: tuple[str, ...] = ()

    def __init__(self, options: TrainOptions, device: torch.device) -> None:
        self.options, self.device = options, device
        self.batch = options.batch or 2
        self.tokenizer: Tokenizer = load_part("tokenizer/nano", Tokenizer, options, device)
        self.depth_net = load_part("depth/nano", DepthNet, options, device)
        self.teacher = load_part("teacher/nano", Teacher, options, device)
        self.perceptual = load_model("perceptual/squeeze", device=device)
        textures = load_textures(options.textures, "train")
        self.store = textures.to(device)
        self.photos = PhotoTiles(textures, device)
        self.worlds = (SCENES_PER_REFRESH + 1) // 2
        self.feed = WorldFeed(textures, "train", self.worlds, 1_300_000_007 + options.seed, device, options.workers)
        self.paths = PathBank(FRAMES, device, options.seed)
        if options.init:
            model = load_model(options.init, device=device, kind=GaussianDecoder)
        else:
            model = GaussianDecoder(nano())
        self.network: nn.Module = model.to(device).train()
        self.model = model
        self.anchor_frames = tuple(self.model.config.anchor_frames)
        self.pool = ScenePool(options.pool or 256)
        start = min(self.pool.size, 48 if device.type == "cuda" else self.pool.size)
        while self.pool.filled < start:
            self._refresh()
        if options.compile:
            self.model.compile()

    def use(self, network: nn.Module) -> None:
        """Train through the wrapped network."""
        self.network = network

    def _sources(self, feed: WorldFeed, store: TextureStore, photos: PhotoTiles) -> tuple[Tensor, Tensor]:
        """First pictures [B, 3, H, W] and intrinsics [B, 3, 3]: half worlds, half photographs."""
        height, width = self.options.height, self.options.width
        pictures = film_source(feed.next(), store, height, width)
        count = SCENES_PER_REFRESH - len(pictures.rgb)
        K = torch.cat([pictures.K, random_intrinsics(count, height, width, self.device)])
        return torch.cat([pictures.rgb.clamp(0, 1), photos.stills(count, height, width)]), K

    def _imagine(self, source: Tensor, K: Tensor) -> ImaginedScenes:
        return imagine_scenes(
            source, K, self.paths, VIEWS, self.anchor_frames, self.tokenizer, self.depth_net, self.teacher,
            self.teacher.config.steps,
        )  # fmt: skip

    def _refresh(self) -> None:
        self.pool.put(self._imagine(*self._sources(self.feed, self.store, self.photos)))

    def _decode(self, network: nn.Module, scenes: ImaginedScenes, clean_source: bool) -> GaussianBatch:
        anchors = scenes.anchors(self.anchor_frames, clean_source)
        inputs = prepare_inputs(self.model, self.tokenizer, scenes.latents, scenes.c2w, scenes.K, anchors)
        gaussians: GaussianBatch = network(inputs)
        return gaussians

    def _render(self, gaussians: GaussianBatch, item: int, c2w: Tensor, K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(self.device.type, enabled=False):
            return rasterize(
                means=gaussians.means[item].float(),
                quats=gaussians.quats[item].float(),
                scales=gaussians.scales[item].float(),
                opacities=gaussians.opacities[item].float(),
                colors=gaussians.colors[item].float(),
                w2c=invert_rigid(c2w),
                K=K,
                height=self.options.height,
                width=self.options.width,
                options=RenderOptions(),
            )

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Distillation loss on random frames of the views that were decoded."""
        if step % 4 == 0:
            with torch.autocast(self.device.type, enabled=False):
                self._refresh()
        order = torch.randperm(VIEWS, device=self.device)
        count = 1 + step % VIEWS if step % 3 == 0 else VIEWS
        views = order[:count].sort().values
        scenes = self.pool.draw(self.batch, views)
        clean_source = bool(step % 2)
        gaussians = self._decode(self.network, scenes, clean_source)
        rendered, targets, depths, truths = [], [], [], []
        for item in range(self.batch):
            view = torch.randint(count, (TARGETS,), device=self.device)
            late = torch.rand(TARGETS, device=self.device) ** 0.6
            frame = (late * FRAMES).long().clamp(max=FRAMES - 1)
            frame[:SOURCE_TARGETS] = 0
            rgb, depth, _ = self._render(gaussians, item, scenes.c2w[item, view, frame], scenes.K[item, view])
            rendered.append(rgb)
            depths.append(depth)
            target = scenes.frames[item, view, frame]
            if clean_source:
                target[frame == 0] = scenes.source[item]
            targets.append(target.float() / 255)
            truths.append(scenes.cache_depth[item, view, frame].float())
        image, target, depth, truth = (torch.cat(p) for p in (rendered, targets, depths, truths))
        mse = (image - target).square().mean()
        perceptual = self.perceptual(image, target).mean()
        geometry = scale_invariant_depth_loss(depth, truth, truth > 0)
        opacity = gaussians.opacities.float().mean()
        loss = mse + 0.05 * gradient_loss(image, target)
        loss = loss + PERCEPTUAL_WEIGHT * perceptual + DEPTH_WEIGHT * geometry + OPACITY_WEIGHT * opacity
        return loss, {
            "psnr": -10 * mse.detach().log10(),
            "perceptual": perceptual.detach(),
            "depth": geometry.detach(),
            "opacity": opacity.detach(),
        }

    @torch.no_grad()
    def _validate(self, split: Split, rounds: int) -> tuple[Tensor, Tensor]:
        """Renders and teacher frames [B, V, T', 3, H, W] of scenes from unseen pictures, T' = every fourth frame."""
        textures = load_textures(self.options.textures, split)
        store = textures.to(self.device)
        feed = WorldFeed(textures, split, self.worlds, 0, self.device, 0)
        photos = PhotoTiles(textures, self.device)
        torch.manual_seed(13)
        self.model.eval()
        images, truths = [], []
        for _ in range(rounds):
            scenes = self._imagine(*self._sources(feed, store, photos))
            gaussians = self._decode(self.model, scenes, clean_source=True)
            for item in range(len(scenes.source)):
                c2w = scenes.c2w[item, :, ::4].flatten(0, 1)
                K = scenes.K[item, :, None].expand(-1, scenes.c2w[:, :, ::4].shape[2], -1, -1).flatten(0, 1)
                rgb, _, _ = self._render(gaussians, item, c2w, K)
                images.append(rgb.unflatten(0, (VIEWS, -1)))
                truths.append(scenes.frames[item, :, ::4].float() / 255)
        self.model.train()
        return torch.stack(images), torch.stack(truths)

    def pictures(self) -> Tensor | None:
        """Last frames of unseen scenes: teacher above render."""
        images, truths = self._validate("val", 1)
        return torch.cat([torch.cat([t[:, -1], i[:, -1]]) for i, t in zip(images, truths, strict=True)])

    def scores(self) -> dict[str, float]:
        """PSNR of renders against the teacher's frames on unseen scenes: all frames, last frames, first frames."""
        images, truths = self._validate("test", 4 if self.device.type == "cuda" else 1)
        values = psnr(images.flatten(0, 2).clamp(0, 1), truths.flatten(0, 2)).unflatten(0, truths.shape[:3])
        return {
            "psnr_teacher": round(float(values.mean()), 2),
            "psnr_teacher_worlds": round(
                float(values.unflatten(0, (-1, SCENES_PER_REFRESH))[:, : self.worlds].mean()), 2
            ),
            "psnr_teacher_last": round(float(values[:, :, -1].mean()), 2),
            "psnr_teacher_first": round(float(values[:, :, 0].mean()), 2),
        }

    def pack(self, folder: Path, recipe: dict[str, Any], scores: dict[str, float]) -> Path:
        """Store the decoder in int8."""
        return save_model(
            self.model, "decoder/nano", self.model.config, storage="int8", recipe=recipe,
            seed=self.options.seed, scores=scores, licence=LICENCE, credits=CREDITS, weights_dir=folder,
        )  # fmt: skip
