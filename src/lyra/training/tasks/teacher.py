"""Train the teacher: denoise latent clips of worlds, told what the 3D cache shows from the same cameras."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lyra.diffusion import karras_sigmas, precondition, sample
from lyra.hub import save_model
from lyra.metrics import psnr
from lyra.models.depth import DepthNet
from lyra.models.teacher import Teacher, TeacherConfig, TeacherInputs
from lyra.models.tokenizer import Tokenizer
from lyra.stages.imagine import teacher_inputs
from lyra.stages.warp import fill_holes, warp_clips
from lyra.training.channel_importance import channel_importance
from lyra.training.credits import CREDITS, LICENCE
from lyra.training.device_data import PathBank, PhotoTiles
from lyra.training.networks import load_part, load_start
from lyra.training.options import TrainOptions
from lyra.training.pool import ExamplePool, RefreshPlan
from lyra.training.processes import rank_and_size
from lyra.training.recipes import find_recipe
from lyra.training.seeds import REFRESH, own_randomness
from lyra.training.task import Task
from lyra.training.world_feed import WorldFeed
from lyra.worlds import Split, TextureStore, film, load_textures

FRAMES = 17
WORLDS_PER_REFRESH = 3
VIEWS_PER_WORLD = 2
PHOTO_CLIPS = 2
HOLE_WEIGHT = 5.0


class TeacherTask(Task):
    """EDM loss on clips whose cache is built from predicted depth half of the time.

    A fifth of the examples are photographs that move as flat pictures under the visibility masks of worlds, so that
    holes are also filled with what photographs look like.
    """

    def __init__(self, options: TrainOptions, device: torch.device, step: int = 0) -> None:
        self.options, self.device = options, device
        recipe = find_recipe("teacher", options.recipe, options.from_stage)
        self.follow(recipe, options)
        self.tokenizer: Tokenizer = load_part("tokenizer/nano", Tokenizer, options, device)
        self.depth_net = load_part("depth/nano", DepthNet, options, device)
        self.importance = channel_importance(self.tokenizer, device)[:, None, None, None]
        textures = load_textures(options.textures, "train")
        self.store = textures.to(device)
        self.photos = PhotoTiles(textures, device)
        self.feed = WorldFeed(
            textures, "train", WORLDS_PER_REFRESH, 900_000_011 + options.seed, device, options.workers, shared=True
        )
        self.paths = PathBank(FRAMES, device, options.seed)
        if options.init:
            model = load_start(options.init, Teacher)
        else:
            model = Teacher(TeacherConfig())
            model.start_as_identity()
        self.network: nn.Module = model.to(device).train()
        self.wrapped: nn.Module = self.network
        self.model = model
        if options.checkpoint_activations:
            self.model.backbone.enable_gradient_checkpointing()
        self.pool = ExamplePool(options.pool or recipe.pool, WORLDS_PER_REFRESH * VIEWS_PER_WORLD + PHOTO_CLIPS)
        start = min(self.pool.size, 192 if device.type == "cuda" else self.pool.size)
        self.plan = RefreshPlan(self.pool.refreshes_for(start, self.pool.per_refresh), every=2)
        self._catch_up(self.plan.before(step))
        if options.compile:
            self.model.backbone.compile()

    def use(self, network: nn.Module) -> None:
        """Train through the wrapped network."""
        self.wrapped = network

    @torch.no_grad()
    def _film(self, feed: WorldFeed, store: TextureStore, views: int, predicted: Tensor) -> tuple[Tensor, ...]:
        """Clips [B, T, 3, H, W], their warps, visibility [B, T, H, W]; ``predicted`` [W] bool picks the cache depth."""
        worlds = feed.next()
        paths = self.paths.draw(len(worlds), views)
        clip = film(worlds, store, paths, self.options.height, self.options.width)
        source, truth = clip.rgb[:, 0, 0], clip.depth[:, 0, 0]
        estimate, _, _ = self.depth_net.infer(source)
        depth = torch.where(predicted[:, None, None], estimate, truth)
        repeat = torch.arange(len(worlds), device=self.device).repeat_interleave(views)
        warped, _, mask = warp_clips(source[repeat], depth[repeat], clip.K[repeat], paths.flatten(0, 1))
        return clip.rgb.flatten(0, 1), warped, mask

    def _catch_up(self, until: int) -> None:
        for number in self.pool.missing(until, self.plan.first):
            self._refresh(number)

    @torch.no_grad()
    def _refresh(self, number: int) -> None:
        self.feed.seek(number)
        with own_randomness(self.device, REFRESH, self.options.seed, number, rank_and_size()[0]):
            clean, inputs = self._examples()
        # what training rounds to bfloat16 in its first layer need not be kept in more
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.pool.put(number, [part.to(dtype) for part in (clean, inputs.source, inputs.warped, inputs.mask)])

    def _examples(self) -> tuple[Tensor, TeacherInputs]:
        """New clips as normalised latents, and what the teacher is told of them."""
        predicted = torch.rand(WORLDS_PER_REFRESH, device=self.device) < 0.5
        clips, warped, mask = self._film(self.feed, self.store, VIEWS_PER_WORLD, predicted)
        moving = self.photos.clips(PHOTO_CLIPS, FRAMES, self.options.height, self.options.width, motion=0.12)
        borrowed = mask[torch.randint(len(mask), (PHOTO_CLIPS,), device=self.device)].flip(-1)
        holed = fill_holes(moving.flatten(0, 1), borrowed.flatten(0, 1)).unflatten(0, moving.shape[:2])
        clips, warped, mask = (torch.cat(p) for p in ((clips, moving), (warped, holed), (mask, borrowed)))
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            clean = self.tokenizer.normalize(self.tokenizer.encode(clips.transpose(1, 2)))
            return clean, teacher_inputs(self.tokenizer, clips[:, 0], warped, mask)

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Weighted EDM loss of one batch from the pool; every second step some new clips replace old ones."""
        with torch.autocast(self.device.type, enabled=False):
            self._catch_up(self.plan.until(step))
        slots = self.pool.draw(self.batch)
        clean, *told = (part[slots].float() for part in self.pool.store)
        inputs = TeacherInputs(*told)
        config = self.model.config
        sigma = torch.exp(torch.randn(self.batch, device=self.device) * 1.7 + 0.4).clamp(0.005, config.sigma_max)
        high = torch.rand(self.batch, device=self.device) < 0.2
        sigma = torch.where(high, config.sigma_max * (0.3 + 0.7 * torch.rand_like(sigma)), sigma)
        noisy = clean + sigma[:, None, None, None, None] * torch.randn_like(clean)
        estimate = self.wrapped(noisy, sigma, inputs)
        scale = precondition(sigma, config.sigma_data).out[:, None, None, None, None]
        hole = 0.5 - inputs.mask[:, 0].mean(dim=1, keepdim=True) / 2
        weight = self.importance * (1 + HOLE_WEIGHT * hole[:, :, 1:])
        error = ((estimate - clean)[:, :, 1:] / scale).square()
        loss = (weight * error).mean()
        return loss, {
            "error": error.detach().mean(),
            "hole_error": (hole[:, :, 1:] * error.detach().mean(dim=1, keepdim=True)).mean()
            / hole[:, :, 1:].mean().clamp(min=1e-6),
            "high_noise": (error.detach().mean(dim=(1, 2, 3, 4)) * high).sum() / high.sum().clamp(min=1),
        }

    @torch.no_grad()
    def _validate(self, split: Split, worlds: int, steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """True clips, warps, imagined clips [B, T, 3, H, W] and visibility, all with predicted depth."""
        textures = load_textures(self.options.textures, split)
        feed, store = WorldFeed(textures, split, worlds, 0, self.device, 0), textures.to(self.device)
        torch.manual_seed(11)
        everything = torch.ones(worlds, dtype=torch.bool, device=self.device)
        clips, warped, mask = self._film(feed, store, 1, everything)
        config = self.model.config
        inputs = teacher_inputs(self.tokenizer, clips[:, 0], warped, mask)
        sigmas = karras_sigmas(steps, config.sigma_min, config.sigma_max)
        self.model.eval()
        noise = torch.randn_like(inputs.warped[:, 0])
        latents = sample(lambda x, s: self.model(x, s, inputs), noise, sigmas)
        self.model.train()
        imagined = [self.tokenizer.decode(z[None]) for z in self.tokenizer.denormalize(latents)]
        return clips, warped, torch.cat(imagined).transpose(1, 2).clamp(0, 1), mask

    def pictures(self) -> Tensor | None:
        """Last frames: warped cache, truth, imagined."""
        clips, warped, imagined, _ = self._validate(
            "val", 6 if self.device.type == "cuda" else 2, self.model.config.steps
        )
        return torch.cat([warped[:, -1], clips[:, -1], imagined[:, -1]])

    def scores(self) -> dict[str, float]:
        """PSNR of warp and teacher against true novel views, whole frames and holes, for several step counts.

        Holes are scored where a frame has enough of them; a clip set without any has no such score.
        """
        count = 12 if self.device.type == "cuda" else 1
        scores: dict[str, float] = {}
        for steps in (1, 2, 4, 8, 16) if self.device.type == "cuda" else (1,):
            clips, warped, imagined, mask = self._validate("test", count, steps)
            truth, holes = clips[:, 1:].flatten(0, 1), ~mask[:, 1:].flatten(0, 1)
            some = holes.flatten(1).sum(dim=1) > 200
            for name, video in (("warp", warped), (f"steps{steps}", imagined)):
                frames = video[:, 1:].flatten(0, 1)
                scores[f"psnr_{name}"] = round(float(psnr(frames, truth).mean()), 2)
                if bool(some.any()):
                    scores[f"holes_{name}"] = round(float(psnr(frames[some], truth[some], holes[some]).mean()), 2)
        return scores

    def pack(self, folder: Path, recipe: dict[str, Any], scores: dict[str, float]) -> Path:
        """Store the teacher in int8."""
        return save_model(
            self.network, "teacher/nano", self.model.config, storage="int8", recipe=recipe,
            seed=self.options.seed, scores=scores, licence=LICENCE, credits=CREDITS, weights_dir=folder,
        )  # fmt: skip
