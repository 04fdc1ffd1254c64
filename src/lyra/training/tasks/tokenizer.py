"""Train the video tokenizer: reconstruct filmed worlds and moving photographs on small crops."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lyra.hub import load_model, save_model
from lyra.metrics import psnr
from lyra.models.tokenizer import NanoTokenizer, NanoTokenizerConfig, equalise
from lyra.structures import InputError
from lyra.training.credits import CREDITS, LICENCE
from lyra.training.device_data import PathBank, PhotoTiles
from lyra.training.losses import gradient_loss
from lyra.training.networks import load_start, require_shape, shaped
from lyra.training.options import TrainOptions
from lyra.training.pool import ExamplePool, RefreshPlan
from lyra.training.processes import rank_and_size
from lyra.training.recipes import DECODE, Recipe, find_recipe
from lyra.training.recorded import RecordedCalls, records_calls
from lyra.training.seeds import REFRESH, first_world, own_randomness
from lyra.training.task import PooledTask
from lyra.training.world_feed import WorldFeed
from lyra.worlds import Split, film, load_textures
from lyra.worlds.photographic import degrade, develop, draw_looks

FRAMES = 17
CROP = 128
WORLDS_PER_REFRESH = 4
VIEWS_PER_WORLD = 2
PERCEPTUAL_WEIGHT = 0.05
ENCODING = ("patch_in", "fine_encoder", "merge", "coarse_encoder", "to_latent")
"""Parts that make latents; the recipe ``decode`` leaves them, so that networks that know these latents stay valid."""


class TokenizerTask(PooledTask):
    """L1 + 2 MSE + a little perceptual distance on 17-frame crops; two thirds filmed worlds, the rest photographs.

    Raises:
        InputError: the recipe ``decode`` without a tokenizer to start from, or one of another shape than the recipe's.
    """

    slow_prefixes: tuple[str, ...] = ("patch_in", "merge", "to_latent", "from_latent", "split", "patch_out")
    """The linear code starts near its optimum; large steps would only destroy it."""

    def __init__(self, options: TrainOptions, device: torch.device, step: int = 0) -> None:
        self.options, self.device = options, device
        recipe = find_recipe("tokenizer", options.recipe, options.from_stage)
        self.follow(recipe, options)
        self.latents_stay = recipe.name == DECODE
        if self.latents_stay and not options.init:
            raise InputError("the recipe decode needs a tokenizer whose latents stay; give --init tokenizer/nano")
        self.crop = min(CROP, options.height, options.width)
        textures = load_textures(options.textures, "train")
        self.store = textures.to(device)
        self.photos = PhotoTiles(textures, device)
        self.feed = WorldFeed(
            textures, "train", WORLDS_PER_REFRESH, first_world(0, options.seed), device, options.workers, shared=True
        )
        self.paths = PathBank(FRAMES, device, options.seed)
        self.perceptual = load_model("perceptual/squeeze", device=device)
        self.model = self._first_model(recipe).to(device).train()
        if self.latents_stay:
            for name in ENCODING:
                getattr(self.model, name).requires_grad_(False)
        self.network: nn.Module = self.model
        self.use(self.network)
        self.pool = ExamplePool(options.pool or recipe.pool, WORLDS_PER_REFRESH * VIEWS_PER_WORLD)
        start = min(self.pool.size, 64 if device.type == "cuda" else self.pool.size)
        self.plan = RefreshPlan(self.pool.refreshes_for(start, self.pool.per_refresh), every=4)
        self._catch_up(self.plan.before(step))
        if not options.init and step == 0:
            equalise(self.model, torch.cat([self._crops() for _ in range(2)]))
        if options.compile:
            self.model.compile()

    def _first_model(self, recipe: Recipe) -> NanoTokenizer:
        given = self.options.init
        if not given:
            return NanoTokenizer(shaped(NanoTokenizerConfig(), recipe))
        start = load_start(given, NanoTokenizer)
        require_shape(start.config, recipe, given)
        return start

    def use(self, network: nn.Module) -> None:
        """Take the network for the following steps; alone on a GPU its kernels are recorded and replayed."""
        super().use(network)
        self.code = RecordedCalls(network) if records_calls(self.options, self.device) else network

    def _film(self) -> Tensor:
        worlds = self.feed.next()
        paths = self.paths.draw(len(worlds), VIEWS_PER_WORLD)
        clip = film(worlds, self.store, paths, self.options.height, self.options.width)
        looks = draw_looks(len(worlds) * VIEWS_PER_WORLD)
        scale = clip.scale.repeat_interleave(VIEWS_PER_WORLD)
        return develop(clip.rgb.flatten(0, 1), looks, clip.depth.flatten(0, 1), scale)

    def _clips(self) -> Tensor:
        """[B, T, 3, H, W] uint8: newly filmed worlds."""
        return (self._film().clamp(0, 1) * 255).round().to(torch.uint8)

    def _refresh(self, number: int) -> None:
        self.feed.seek(number)
        with own_randomness(self.device, REFRESH, self.options.seed, number, rank_and_size()[0]):
            self.pool.put(number, [self._clips()])

    def _crops(self) -> Tensor:
        """[B, 3, T, crop, crop]: filmed crops and moving photographs; a fifth of each stands still.

        Only what stands still has new noise and JPEG traces: the code must carry them, for the first frame is a
        photograph. In clips they would be drawn anew for every frame, which no code of eight frames can hold.
        """
        filmed = (2 * self.batch + 2) // 3
        clips = self.pool.store[0][self.pool.draw(filmed)]
        top = int(torch.randint(self.options.height - self.crop + 1, (1,)))
        left = int(torch.randint(self.options.width - self.crop + 1, (1,)))
        worlds = clips[..., top : top + self.crop, left : left + self.crop].float() / 255
        photos = self.photos.clips(self.batch - filmed, FRAMES, self.crop, self.crop)
        batch = torch.cat([worlds, photos])
        still = torch.rand(len(batch), 1, 1, 1, 1, device=self.device) < 0.2
        taken = degrade(batch[:, :1], draw_looks(len(batch)))
        return torch.where(still, taken, batch).transpose(1, 2)

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Reconstruction loss of one batch of crops."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            self._catch_up(self.plan.until(step))
            video = self._crops()
        decoded, latents = self.code(video)
        error = decoded.float() - video
        l1, mse = error.abs().mean(), error.square().mean()
        flat, truth = (v.float().transpose(1, 2).flatten(0, 1) for v in (decoded, video))
        picked = torch.randint(len(flat), (min(64, len(flat)),), device=self.device)
        perceptual = self.perceptual(flat[picked], truth[picked]).mean()
        spread = latents.float().square().mean()
        loss = l1 + 2 * mse + PERCEPTUAL_WEIGHT * perceptual + 0.1 * gradient_loss(flat, truth) + 1e-4 * spread
        return loss, {"l1": l1, "psnr": -10 * mse.detach().log10(), "perceptual": perceptual, "latent": spread}

    @torch.no_grad()
    def _full_batch(self, split: Split, count: int) -> Tensor:
        """[N, T, 3, H, W] unseen clips at full size: worlds first, then photographs, then still photographs."""
        textures = load_textures(self.options.textures, split)
        feed = WorldFeed(textures, split, count, 0, self.device, 0)
        store = textures.to(self.device)
        worlds = feed.next()
        paths = self.paths.draw(count, 1)
        filmed = film(worlds, store, paths, self.options.height, self.options.width).rgb[:, 0]
        photos = PhotoTiles(textures, self.device).clips(count, FRAMES, self.options.height, self.options.width)
        return torch.cat([filmed, photos, photos[:, :1].expand(-1, FRAMES, -1, -1, -1)])

    @torch.no_grad()
    def _reconstruct(self, clips: Tensor) -> Tensor:
        model = self.model.eval()
        parts = [model.decode(model.encode(clip[None].transpose(1, 2))).transpose(1, 2) for clip in clips]
        model.train()
        return torch.cat(parts).clamp(0, 1)

    def pictures(self) -> Tensor | None:
        """Last frames of unseen clips, which are input and target, above their reconstructions."""
        torch.manual_seed(1)
        clips = self._full_batch("val", 2)
        return torch.cat([clips[:, -1], self._reconstruct(clips)[:, -1]])

    def scores(self) -> dict[str, float]:
        """PSNR on unseen worlds, photographs and stills."""
        torch.manual_seed(2)
        count = 8 if self.device.type == "cuda" else 1
        clips = self._full_batch("test", count)
        values = psnr(self._reconstruct(clips).flatten(0, 1), clips.flatten(0, 1)).unflatten(0, (3 * count, -1))
        worlds, photos, stills = values.mean(dim=1).split(count)
        return {
            "psnr_worlds": round(float(worlds.mean()), 2),
            "psnr_photos": round(float(photos.mean()), 2),
            "psnr_stills": round(float(stills.mean()), 2),
        }

    @torch.no_grad()
    def _measure_latents(self) -> None:
        sums = []
        for _ in range(16 if self.device.type == "cuda" else 1):
            worlds = self._clips()
            clips = worlds[torch.randint(len(worlds), (2,), device=self.device)].float() / 255
            photos = self.photos.clips(1, FRAMES, self.options.height, self.options.width)
            sums.append(self.model.encode(torch.cat([clips, photos]).transpose(1, 2)).transpose(0, 1).flatten(1))
        values = torch.cat(sums, dim=1)
        self.model.set_latent_statistics(values.mean(dim=1), values.std(dim=1))

    def pack(self, folder: Path, recipe: dict[str, Any], scores: dict[str, float]) -> Path:
        """Measure the latent statistics, which belong to the weights, and store the tokenizer in int8."""
        if not self.latents_stay:
            self._measure_latents()
        return save_model(
            self.model, "tokenizer/nano", self.model.config, storage="int8", recipe=recipe,
            seed=self.options.seed, scores=scores, licence=LICENCE, credits=CREDITS, weights_dir=folder,
        )  # fmt: skip
