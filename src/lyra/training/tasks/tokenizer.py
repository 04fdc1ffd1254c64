"""Train the video tokenizer: reconstruct filmed worlds and moving photographs on small crops."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lyra.hub import load_model, save_model
from lyra.metrics import psnr
from lyra.models.tokenizer import NanoTokenizer, NanoTokenizerConfig, equalise
from lyra.training.credits import CREDITS, LICENCE
from lyra.training.device_data import PathBank, PhotoTiles
from lyra.training.losses import gradient_loss
from lyra.training.options import TrainOptions
from lyra.training.world_feed import WorldFeed
from lyra.worlds import Split, film, load_textures

FRAMES = 17
CROP = 128
WORLDS_PER_REFRESH = 4
VIEWS_PER_WORLD = 2
PERCEPTUAL_WEIGHT = 0.05


class TokenizerTask:
    """L1 + 2 MSE + a little perceptual distance on 17-frame crops; two thirds filmed worlds, the rest photographs."""

    learning_rate = 1e-3
    weight_decay = 0.0
    ema_decay = 0.998
    slow_prefixes: tuple[str, ...] = ("patch_in", "merge", "to_latent", "from_latent", "split", "patch_out")
    """The linear code starts near its optimum; large steps would only destroy it."""

    def __init__(self, options: TrainOptions, device: torch.device) -> None:
        self.options, self.device = options, device
        self.batch = options.batch or 48
        self.crop = min(CROP, options.height, options.width)
        textures = load_textures(options.textures, "train")
        self.store = textures.to(device)
        self.photos = PhotoTiles(textures, device)
        self.feed = WorldFeed(textures, "train", WORLDS_PER_REFRESH, options.seed * 10_000_019, device, options.workers)
        self.paths = PathBank(FRAMES, device, options.seed)
        self.perceptual = load_model("perceptual/squeeze", device=device)
        if options.init:
            model = load_model(options.init, device=device, kind=NanoTokenizer)
        else:
            model = NanoTokenizer(NanoTokenizerConfig())
        self.model = model.to(device).train()
        self.network: nn.Module = self.model
        size = options.pool or 512
        self.pool = torch.empty(size, FRAMES, 3, options.height, options.width, dtype=torch.uint8, device=device)
        self.filled = 0
        while self.filled < min(size, 64 if device.type == "cuda" else size):
            self._refresh()
        if not options.init:
            equalise(self.model, torch.cat([self._crops() for _ in range(2)]))
        if options.compile:
            self.model.compile()

    def use(self, network: nn.Module) -> None:
        """Train through the wrapped network."""
        self.network = network

    def _film(self) -> Tensor:
        worlds = self.feed.next()
        paths = self.paths.draw(len(worlds), VIEWS_PER_WORLD)
        clip = film(worlds, self.store, paths, self.options.height, self.options.width)
        return clip.rgb.flatten(0, 1)

    def _refresh(self) -> None:
        clips = (self._film().clamp(0, 1) * 255).round().to(torch.uint8)
        room = len(self.pool)
        start = self.filled if self.filled < room else int(torch.randint(room, (1,)))
        index = torch.arange(start, start + len(clips), device=self.device) % room
        self.pool[index] = clips
        self.filled = min(room, self.filled + len(clips))

    def _crops(self) -> Tensor:
        """[B, 3, T, crop, crop]: filmed crops and moving photographs; a fifth of each stands still."""
        filmed = (2 * self.batch + 2) // 3
        clips = self.pool[torch.randint(self.filled, (filmed,), device=self.device)]
        top = int(torch.randint(self.options.height - self.crop + 1, (1,)))
        left = int(torch.randint(self.options.width - self.crop + 1, (1,)))
        worlds = clips[..., top : top + self.crop, left : left + self.crop].float() / 255
        photos = self.photos.clips(self.batch - filmed, FRAMES, self.crop, self.crop)
        batch = torch.cat([worlds, photos])
        still = torch.rand(len(batch), 1, 1, 1, 1, device=self.device) < 0.2
        return torch.where(still, batch[:, :1], batch).transpose(1, 2)

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Reconstruction loss of one batch of crops."""
        if step % 4 == 0:
            self._refresh()
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            video = self._crops()
        decoded, latents = self.network(video)
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
        """Last frames of unseen clips above their reconstructions."""
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
            self._refresh()
            index = torch.randint(self.filled, (2,), device=self.device)
            clips = self.pool[index].float() / 255
            photos = self.photos.clips(1, FRAMES, self.options.height, self.options.width)
            sums.append(self.model.encode(torch.cat([clips, photos]).transpose(1, 2)).transpose(0, 1).flatten(1))
        values = torch.cat(sums, dim=1)
        self.model.set_latent_statistics(values.mean(dim=1), values.std(dim=1))

    def pack(self, folder: Path, recipe: dict[str, Any], scores: dict[str, float]) -> Path:
        """Measure the latent statistics, which belong to the weights, and store the tokenizer in int8."""
        self._measure_latents()
        return save_model(
            self.model, "tokenizer/nano", self.model.config, storage="int8", recipe=recipe,
            seed=self.options.seed, scores=scores, licence=LICENCE, credits=CREDITS, weights_dir=folder,
        )  # fmt: skip
