"""Train the 3DGS decoder by self-distillation: its renders must equal the teacher's own RGB decodes."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lyra.geometry.cameras import invert_rigid
from lyra.hub import load_model, save_model
from lyra.metrics import psnr
from lyra.models.decoder import DecoderConfig, DecoderInputs, GaussianBatch, GaussianDecoder
from lyra.models.depth import DepthNet
from lyra.models.tokenizer import Tokenizer
from lyra.raster import RenderOptions, rasterize
from lyra.stages.decode import Anchors, prepare_inputs
from lyra.structures import InputError
from lyra.training.credits import CREDITS, LICENCE
from lyra.training.deferred import rasterize_deferred
from lyra.training.device_data import PathBank, PhotoTiles
from lyra.training.first_pictures import first_pictures
from lyra.training.frame_choice import choose_targets, choose_view_count
from lyra.training.imagined_scenes import ImaginedScenes, imagine_scenes
from lyra.training.losses import gradient_loss, scale_invariant_depth_loss
from lyra.training.networks import load_frame_decoder, load_part, load_start, load_teacher
from lyra.training.options import TrainOptions
from lyra.training.pool import ExamplePool, RefreshPlan, is_upright
from lyra.training.processes import rank_and_size
from lyra.training.recipes import DecoderRecipe, DecoderStage, decoder_recipe
from lyra.training.recorded import records_calls
from lyra.training.recorded_trunk import RecordedTrunk
from lyra.training.seeds import REFRESH, SHARED, first_world, mixed_seed, own_randomness
from lyra.training.stored_scenes import StoredScenes
from lyra.training.task import PooledTask
from lyra.training.world_feed import WorldFeed
from lyra.worlds import Split, TextureStore, load_textures

SCENES_PER_REFRESH = 4
TOKEN, DEPTH_CELL = 16, 32
"""Height and width are multiples of the first for the decoder, of the second for the depth network."""


class DecoderTask(PooledTask):
    """MSE, gradients, perceptual distance and scale-invariant depth between renders and the teacher's frames.

    Nothing that was rendered from a world is ever a target: worlds and photographs lend the first picture only. That
    picture is the input, and frame 0 of every clip is the picture itself: there the target is the picture where the
    anchors show it, and the tokenizer's decode of it where the anchors show that.

    The recipe's stages set sizes, views and losses; a new stage begins with new scenes.

    Attributes:
        recorded: replays the trunk in training steps; ``None`` where all kernels are launched one by one.
    """

    recorded: RecordedTrunk | None = None

    def __init__(self, options: TrainOptions, device: torch.device) -> None:
        self.options, self.device = options, device
        self.recipe = decoder_recipe(options.recipe, options.from_stage)
        self.follow(self.recipe, options)
        for stage in self.recipe.stages:
            check_size(stage, options)
        self.tokenizer: Tokenizer = load_part("tokenizer/nano", Tokenizer, options, device)
        if not options.init:  # said before the teacher and the frame decoder are missed: they alone would not help
            check_network(self.recipe.network(), self.tokenizer, self.recipe)
        self.depth_net = load_part("depth/nano", DepthNet, options, device)
        self.teacher = load_teacher(self.tokenizer, options, device)
        self.frame_decoder = load_frame_decoder(self.tokenizer, options, device)
        self.perceptual = load_model("perceptual/squeeze", device=device)
        textures = load_textures(options.textures, "train")
        self.store = textures.to(device)
        self.photos = PhotoTiles(textures, device)
        self.worlds = (SCENES_PER_REFRESH + 1) // 2
        first_seed = first_world(1_300_000_007, options.seed)
        self.feed = WorldFeed(textures, "train", self.worlds, first_seed, device, options.workers, shared=True)
        self._train_on(starting_network(options, self.recipe.network))
        check_network(self.model.config, self.tokenizer, self.recipe)
        self.stored: StoredScenes | None = None
        if options.checkpoint_activations:
            self.model.trunk.checkpoint_blocks = True
        self._enter(self.recipe.stages[0])
        if not options.resume:  # where a resumed run stands in its recipe is known with its first step
            self._catch_up(self.plan.before(0))
        if options.compile:
            self.model.compile()

    def _train_on(self, model: GaussianDecoder) -> None:
        self.network: nn.Module = model.to(self.device).train()
        self.model = model
        self.use(self.network)
        self.anchor_frames = tuple(model.config.anchor_frames)

    def use(self, network: nn.Module) -> None:
        """Take the network for the following steps; alone on a GPU its trunk is recorded and replayed."""
        super().use(network)
        self.recorded = RecordedTrunk(self.model.trunk) if records_calls(self.options, self.device) else None

    def _replaying(self) -> AbstractContextManager[None]:
        """Inside, the network runs for one step."""
        return nullcontext() if self.recorded is None else self.recorded.step()

    def stage(self, progress: float) -> str:
        """The recipe's stage, where it has several."""
        return self.recipe.at(progress).name if len(self.recipe.stages) > 1 else ""

    def _enter(self, stage: DecoderStage) -> None:
        """Begin a stage: sizes, pruning, and an empty pool for scenes made for it."""
        self.now = stage
        if self.recorded is not None:
            self.recorded.forget()
        self.batch = self.options.batch or stage.batch
        self.model.config = replace(self.model.config, prune_ratio=stage.prune_ratio)
        self.pool = ExamplePool(self.options.pool or self.recipe.pool, SCENES_PER_REFRESH)
        self.paths = PathBank(stage.frames, self.device, self.options.seed)
        if self.options.store is not None:
            self.stored = StoredScenes(
                self.options.store, self.tokenizer, self.depth_net, self.anchor_frames, stage.views[1], stage.frames,
                *self.size, self.options.seed, rank_and_size(), frame_decoder=self.frame_decoder,
            )  # fmt: skip
        start = min(self.pool.size, 48 if self.device.type == "cuda" else self.pool.size)
        self.plan = RefreshPlan(self.pool.refreshes_for(start, SCENES_PER_REFRESH), every=4)

    @property
    def turns(self) -> int:
        """How often scenes are of portrait format; those of a store have the format they have."""
        return 0 if self.stored is not None else self.recipe.upright_every

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures of the present stage."""
        return self.options.height // self.now.reduce, self.options.width // self.now.reduce

    @property
    def clips(self) -> int:
        """How many clips the scenes have, from which a step draws those that it looks at."""
        return self.now.views[1]

    def _sources(
        self, feed: WorldFeed, store: TextureStore, photos: PhotoTiles, upright: bool = False
    ) -> tuple[Tensor, Tensor]:
        """First pictures [B, 3, H, W] and intrinsics [B, 3, 3] in the format of the present stage."""
        height, width = self.size[::-1] if upright else self.size
        return first_pictures(feed, store, photos, SCENES_PER_REFRESH, height, width)

    def _imagine(self, source: Tensor, K: Tensor, paths: PathBank) -> ImaginedScenes:
        return imagine_scenes(
            source, K, paths, self.now.views[1], self.anchor_frames, self.tokenizer, self.depth_net, self.teacher,
            self.teacher.config.steps, self.frame_decoder,
        )  # fmt: skip

    def _refresh(self, number: int) -> None:
        upright = is_upright(number, self.turns)
        with own_randomness(self.device, REFRESH, self.options.seed, number, rank_and_size()[0]):
            if self.stored is not None:
                scenes = self.stored.batch(number, SCENES_PER_REFRESH)
            else:
                self.feed.seek(number)
                scenes = self._imagine(*self._sources(self.feed, self.store, self.photos, upright), self.paths)
        self.pool.put(number, (scenes.turned() if upright else scenes).tensors())

    def _draw(self, step: int, views: Tensor) -> ImaginedScenes:
        """Scenes of this step, seen in the clips ``views``."""
        with torch.autocast(self.device.type, enabled=False):
            self._catch_up(self.plan.until(step))
        if not self.turns:
            return ImaginedScenes(*self.pool.store).pick(self.pool.draw(self.batch), views)
        slots, upright = self.pool.draw_turned(self.batch, self.turns, is_upright(step, self.turns))
        scenes = ImaginedScenes(*self.pool.store).pick(slots, views)
        return scenes.turned() if upright else scenes

    def _decode(self, network: nn.Module, scenes: ImaginedScenes, clean_source: bool) -> GaussianBatch:
        anchors = scenes.anchors(self.anchor_frames, clean_source)
        gaussians: GaussianBatch = network(self._inputs(scenes, anchors))
        return gaussians

    def _inputs(self, scenes: ImaginedScenes, anchors: Anchors) -> DecoderInputs:
        return prepare_inputs(self.model, self.tokenizer, scenes.latents, scenes.c2w, scenes.K, anchors)

    def _render(
        self, gaussians: GaussianBatch, item: int, c2w: Tensor, K: Tensor, size: torch.Size
    ) -> tuple[Tensor, Tensor, Tensor]:
        height, width = size
        draw = rasterize_deferred if self.now.deferred and torch.is_grad_enabled() else rasterize
        with torch.autocast(self.device.type, enabled=False):
            return draw(
                means=gaussians.means[item].float(),
                quats=gaussians.quats[item].float(),
                scales=gaussians.scales[item].float(),
                opacities=gaussians.opacities[item].float(),
                colors=gaussians.colors[item].float(),
                w2c=invert_rigid(c2w),
                K=K,
                height=height,
                width=width,
                options=RenderOptions(),
            )

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Distillation loss on random frames of the views that were decoded."""
        if (stage := self.recipe.at(progress)) is not self.now:
            self._enter(stage)
        shared = torch.Generator().manual_seed(mixed_seed(SHARED, self.options.seed, step))
        count = choose_view_count(stage, shared)
        views = torch.randperm(self.clips, device=self.device)[:count].sort().values
        scenes = self._draw(step, views)
        clean_source = bool(step % 2) and 0 in self.anchor_frames
        with self._replaying():
            gaussians = self._decode(self.wrapped, scenes, clean_source)
        rendered, targets, depths, truths = [], [], [], []
        shape = scenes.source.shape[-2:]
        for item in range(self.batch):
            view, frame = choose_targets(stage, count, self.device)
            rgb, depth, _ = self._render(gaussians, item, scenes.c2w[item, view, frame], scenes.K[item, view], shape)
            rendered.append(rgb)
            depths.append(depth)
            target = scenes.frames[item, view, frame]
            if clean_source:
                target = torch.where((frame == 0)[:, None, None, None], scenes.source[item], target)
            targets.append(target.float() / 255)
            truths.append(scenes.cache_depth[item, view, frame].float())
        image, target, depth, truth = (torch.cat(p) for p in (rendered, targets, depths, truths))
        mse = (image - target).square().mean()
        perceptual = self.perceptual(image, target).mean()
        geometry = scale_invariant_depth_loss(depth, truth, truth > 0)
        opacities = gaussians.opacities.float()
        opacity = (torch.sigmoid(opacities) if self.recipe.squashed_opacity else opacities).mean()
        loss = mse + self.recipe.gradient * gradient_loss(image, target)
        loss = loss + self.recipe.perceptual * perceptual + self.recipe.depth * geometry
        loss = loss + stage.opacity_weight * opacity
        return loss, {
            "psnr": -10 * mse.detach().log10(),
            "perceptual": perceptual.detach(),
            "depth": geometry.detach(),
            "opacity": opacities.detach().mean(),
        }

    @torch.no_grad()
    def _validate(self, split: Split, rounds: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sources [B, 3, H, W], and renders and teacher frames [B, V, T', 3, H, W] of scenes from unseen pictures.

        T' = every fourth frame; the size is that of the present stage.
        """
        textures = load_textures(self.options.textures, split)
        store = textures.to(self.device)
        feed = WorldFeed(textures, split, self.worlds, 0, self.device, 0)
        photos = PhotoTiles(textures, self.device)
        torch.manual_seed(13)
        self.model.eval()
        sources, images, truths = [], [], []
        for _ in range(rounds):
            scenes = self._imagine(*self._sources(feed, store, photos), self.paths)
            gaussians = self._decode(self.model, scenes, clean_source=0 in self.anchor_frames)
            sources.append(scenes.source.float() / 255)
            for item in range(len(scenes.source)):
                c2w = scenes.c2w[item, :, ::4].flatten(0, 1)
                K = scenes.K[item, :, None].expand(-1, scenes.c2w[:, :, ::4].shape[2], -1, -1).flatten(0, 1)
                rgb, _, _ = self._render(gaussians, item, c2w, K, scenes.source.shape[-2:])
                images.append(rgb.unflatten(0, (scenes.c2w.shape[1], -1)))
                truths.append(scenes.frames[item, :, ::4].float() / 255)
        self.model.train()
        return torch.cat(sources), torch.stack(images), torch.stack(truths)

    def pictures(self) -> Tensor | None:
        """Of each unseen scene, a row of its source, of the teacher's last frames, and of their renders."""
        sources, images, truths = self._validate("val", 1)
        rows = []
        for source, image, truth in zip(sources, images, truths, strict=True):
            row = torch.cat([source.expand(len(image), -1, -1, -1), truth[:, -1], image[:, -1]])
            rows.append(row)
        return torch.cat(rows)

    def scores(self) -> dict[str, float]:
        """PSNR of renders against the teacher's frames on unseen scenes: all frames, last frames, first frames."""
        _, images, truths = self._validate("test", 4 if self.device.type == "cuda" else 1)
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
            self.network, "decoder/nano", self.model.config, storage="int8", recipe=recipe,
            seed=self.options.seed, scores=scores, licence=LICENCE, credits=CREDITS, weights_dir=folder,
        )  # fmt: skip


def starting_network(options: TrainOptions, config: Callable[[], DecoderConfig]) -> GaussianDecoder:
    """The decoder that ``options.init`` names, else a new one; layers that no step would reach are frozen."""
    model = load_start(options.init, GaussianDecoder) if options.init else GaussianDecoder(config())
    if config().pooled_time and not model.config.pooled_time:
        model = told_times(model)
    if not model.config.use_time:
        for embed in (model.embed_source_time, model.embed_target_time):
            if embed is not None:
                embed.requires_grad_(False)
    return model


def told_times(model: GaussianDecoder) -> GaussianDecoder:
    """A decoder that stands still, with layers for times that do nothing yet."""
    timed = GaussianDecoder(replace(model.config, pooled_time=True))
    timed.load_state_dict({**timed.state_dict(), **model.state_dict()})
    return timed


def check_network(config: DecoderConfig, tokenizer: Tokenizer, recipe: DecoderRecipe) -> None:
    """Refuse a decoder that the material of this training does not fit.

    Raises:
        InputError: another tokenizer's, one that needs more than training makes, or anchors behind the last frame.
    """
    remedy = "give a decoder that fits with --init, such as decoder/nano"
    if (config.latent_channels, config.temporal) != (tokenizer.channels, tokenizer.temporal):
        raise InputError(
            f"the decoder reads latents of {config.latent_channels} channels for {config.temporal} pictures, the "
            f"tokenizer makes {tokenizer.channels} channels for {tokenizer.temporal}, for which no recipe makes a "
            f"decoder; {remedy}, or the other tokenizer with --models"
        )
    if config.rays != "pooled" or config.use_time:
        raise InputError(f"the decoder reads cameras or times as latents, which training does not make; {remedy}")
    for stage in recipe.stages:
        if config.anchors and config.anchor_frames[-1] >= stage.frames:
            raise InputError(
                f"the decoder stands on frame {config.anchor_frames[-1]}, the clips of stage {stage.name} have "
                f"{stage.frames} frames; {remedy}"
            )


def check_size(stage: DecoderStage, options: TrainOptions) -> None:
    """Refuse pictures that a stage cannot divide.

    Raises:
        InputError: a reduced side does not consist of whole tokens, or of what the depth network needs.
    """
    least = stage.reduce * (TOKEN if options.store else DEPTH_CELL)
    if options.height % least or options.width % least:
        raise InputError(
            f"stage {stage.name} divides {options.height}x{options.width} by {stage.reduce}, and too little is left; "
            f"give --height and --width as multiples of {least}"
        )
