"""Train the frame decoder: true frames out of imagined latents and the 3D cache."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lyra.hub import load_model, save_model
from lyra.metrics import psnr
from lyra.models.depth import DepthNet
from lyra.models.perceptual import SqueezePerceptual
from lyra.models.tokenizer import FrameDecoder, FrameDecoderConfig, NanoTokenizer
from lyra.stages.frames import decode_frames
from lyra.training.adversary import critic_loss, deception_loss
from lyra.training.borrowed_holes import borrowed_holes
from lyra.training.contest import Contest, blended_direction
from lyra.training.credits import CREDITS, LICENCE
from lyra.training.device_data import PathBank, PhotoTiles
from lyra.training.imagined_latents import imagine_latents
from lyra.training.losses import gradient_loss
from lyra.training.networks import load_part, load_start, load_teacher, require_frames_of
from lyra.training.options import TrainOptions
from lyra.training.pool import ExamplePool, RefreshPlan
from lyra.training.processes import rank_and_size
from lyra.training.recipes import find_recipe
from lyra.training.recorded import RecordedCalls, records_calls
from lyra.training.seeds import REFRESH, first_world, own_randomness
from lyra.training.task import PooledTask
from lyra.training.unseen_clips import unseen_clips
from lyra.training.world_clips import draw_times, world_clips
from lyra.training.world_feed import WorldFeed
from lyra.worlds import Split, load_textures
from lyra.worlds.photographic import draw_looks

FRAMES = 17
CROP = 192
WORLDS_PER_REFRESH = 3
VIEWS_PER_WORLD = 2
PHOTO_CLIPS = 3
PREDICTED_SHARE = 0.6
"""So many worlds have a cache of predicted depth, whose pictures do not lie where the true ones do."""
TRUE_SHARE = 0.3
"""So many refreshes show latents of the true frames instead of imagined ones."""
FRAMES_JUDGED = 3
"""Frames of every clip for the perceptual loss and the critic."""
PERCEPTUAL_WEIGHT = 0.3
GRADIENT_WEIGHT = 0.1
DECEPTION_SHARE = 0.35
"""Length of the critic's pull on a frame, in lengths of the pull towards the true frame."""
DECEPTION_FROM, DECEPTION_FULL = 0.05, 0.2
"""Progress at which the pull begins and is whole: the critic learns first."""
HOLE_DECEPTION = 1.0
"""In what the cache does not show, the critic counts so many times what it counts elsewhere."""

NUMBERS = ("psnr", "perceptual", "critic", "deceived")
"""What is logged beside the loss."""


class FramesTask(PooledTask):
    """Squared and absolute error, perceptual distance, gradients, and a critic, on crops of 17 frames.

    The decoder sees what the teacher imagines of worlds and of moving photographs, in some refreshes the latents of
    the true frames. Photographs move as flat pictures under the visibility masks of worlds, so that in their case what
    is hidden is known exactly.

    Raises:
        InputError: the teacher, or the decoder to start from, is another tokenizer's.
    """

    def __init__(self, options: TrainOptions, device: torch.device, step: int = 0) -> None:
        self.options, self.device = options, device
        recipe = find_recipe("frames", options.recipe, options.from_stage)
        self.follow(recipe, options)
        self.crop = min(CROP, options.height, options.width)
        self.tokenizer = load_part("tokenizer/nano", NanoTokenizer, options, device)
        self.depth_net = load_part("depth/nano", DepthNet, options, device)
        self.teacher = load_teacher(self.tokenizer, options, device)
        self.perceptual = load_model("perceptual/squeeze", device=device, kind=SqueezePerceptual)
        textures = load_textures(options.textures, "train")
        self.store = textures.to(device)
        self.photos = PhotoTiles(textures, device)
        self.feed = WorldFeed(
            textures,
            "train",
            WORLDS_PER_REFRESH,
            first_world(500_000_003, options.seed),
            device,
            options.workers,
            shared=True,
        )
        self.paths = PathBank(FRAMES, device, options.seed)
        self.network: nn.Module = Contest(self._first_model(), self.perceptual).to(device).train()
        self.use(self.network)
        self.pool = ExamplePool(options.pool or recipe.pool, WORLDS_PER_REFRESH * VIEWS_PER_WORLD + PHOTO_CLIPS)
        start = min(self.pool.size, 90 if device.type == "cuda" else self.pool.size)
        self.plan = RefreshPlan(self.pool.refreshes_for(start, self.pool.per_refresh), every=6)
        self._catch_up(self.plan.before(step))
        if options.compile:
            self.model.compile()

    def use(self, network: nn.Module) -> None:
        """Take the network for the following steps; alone on a GPU its kernels are recorded and replayed."""
        super().use(network)
        judgement = Judgement(network, self.perceptual)
        self.judge = RecordedCalls(judgement) if records_calls(self.options, self.device) else judgement

    def _first_model(self) -> FrameDecoder:
        if self.options.init:
            start = load_start(self.options.init, FrameDecoder)
            require_frames_of(start.config, self.tokenizer)
            return start
        sizes = self.tokenizer.config
        fine, coarse = sizes.blocks
        model = FrameDecoder(
            FrameDecoderConfig(
                sizes.latent_channels, sizes.widths, (fine + 1, coarse), sizes.patch, sizes.temporal_merge
            )
        )
        model.start_from(self.tokenizer)
        return model

    @property
    def model(self) -> FrameDecoder:
        """The network without its critic."""
        assert isinstance(self.network, Contest)
        return self.network.decoder

    @torch.no_grad()
    def _refresh(self, number: int) -> None:
        self.feed.seek(number)
        with own_randomness(self.device, REFRESH, self.options.seed, number, rank_and_size()[0]):
            clips, warped, mask = self._examples()
            z = self._latents(clips, warped, mask)
        pictures = ((part.clamp(0, 1) * 255).round().to(torch.uint8) for part in (clips, warped))
        self.pool.put(number, [z.to(torch.bfloat16), *pictures, mask])

    def _examples(self) -> tuple[Tensor, Tensor, Tensor]:
        """New clips [B, T, 3, H, W], their caches, and visibility [B, T, H, W]."""
        height, width = self.options.height, self.options.width
        predicted = torch.rand(WORLDS_PER_REFRESH, device=self.device) < PREDICTED_SHARE
        paths = self.paths.draw(WORLDS_PER_REFRESH, VIEWS_PER_WORLD)
        looks, times = draw_looks(WORLDS_PER_REFRESH), draw_times(WORLDS_PER_REFRESH, FRAMES, self.device)
        clips, warped, mask = world_clips(
            self.feed.next(), self.store, paths, height, width, self.depth_net, predicted, looks, times
        )
        moving = self.photos.clips(PHOTO_CLIPS, FRAMES, height, width, motion=0.12)
        borrowed = mask[torch.randint(len(mask), (PHOTO_CLIPS,), device=self.device)].flip(-1)
        holed = borrowed_holes(moving.flatten(0, 1), borrowed.flatten(0, 1)).unflatten(0, moving.shape[:2])
        return torch.cat([clips, moving]), torch.cat([warped, holed]), torch.cat([mask, borrowed])

    def _latents(self, clips: Tensor, warped: Tensor, mask: Tensor) -> Tensor:
        """Raw latents of the clips: imagined ones, or the true ones."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            if float(torch.rand(())) < TRUE_SHARE:
                return self.tokenizer.encode(clips.transpose(1, 2))
            return imagine_latents(self.teacher, self.tokenizer, clips[:, 0], warped, mask)

    def _crops(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents, caches, visibility and true clips of one window of random examples."""
        slots, unit = self.pool.draw(self.batch), self.tokenizer.spatial
        cells = self.crop // unit
        top = int(torch.randint(self.options.height // unit - cells + 1, (1,)))
        left = int(torch.randint(self.options.width // unit - cells + 1, (1,)))
        z, clips, warped, mask = (part[slots] for part in self.pool.store)
        rows, columns = (slice(unit * start, unit * (start + cells)) for start in (top, left))
        clips, warped = (part[..., rows, columns].float() / 255 for part in (clips, warped))
        return z[..., top : top + cells, left : left + cells].float(), warped, mask[..., rows, columns], clips

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """One pass of the contest on a batch of crops."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            self._catch_up(self.plan.until(step))
            z, warped, mask, truth = self._crops()
        count = truth.shape[0] * truth.shape[1]
        picked = torch.randperm(count, device=self.device)[: FRAMES_JUDGED * self.batch]
        ramp = min(max((progress - DECEPTION_FROM) / (DECEPTION_FULL - DECEPTION_FROM), 0.0), 1.0)
        share = torch.full((), DECEPTION_SHARE * ramp, device=self.device)
        loss, *numbers = self.judge(z, warped, mask, truth, picked, share)
        return loss, {name: number.detach() for name, number in zip(NUMBERS, numbers, strict=True)}

    @torch.no_grad()
    def _validate(self, split: Split, worlds: int) -> dict[str, Tensor]:
        """Unseen clips with predicted depth: truth, warp, plain and told decodes, and visibility as ``mask``."""
        textures, size = load_textures(self.options.textures, split), (self.options.height, self.options.width)
        clips, warped, mask = unseen_clips(textures, worlds, self.paths, size, self.depth_net)
        latents = imagine_latents(self.teacher, self.tokenizer, clips[:, 0], warped, mask)
        model = self.model.eval()
        told = decode_frames(latents, warped, mask, self.tokenizer, model)
        model.train()
        plain = decode_frames(latents, warped, mask, self.tokenizer)
        return {"truth": clips, "warp": warped, "plain": plain, "told": told, "mask": mask}

    def pictures(self) -> Tensor | None:
        """Last frames: warped cache, truth, plain and told decodes."""
        parts = self._validate("val", 6 if self.device.type == "cuda" else 2)
        return torch.cat([parts[name][:, -1] for name in ("warp", "truth", "plain", "told")])

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """PSNR and lpips_squeeze of warp, plain and told decodes against true views: whole frames and holes."""
        parts = self._validate("test", 12 if self.device.type == "cuda" else 1)
        chosen = slice(5, None, 5)
        truth, holes = parts["truth"][:, chosen].flatten(0, 1), ~parts["mask"][:, chosen].flatten(0, 1)
        some = holes.flatten(1).sum(dim=1) > 200
        scores: dict[str, float] = {}
        for name in ("warp", "plain", "told"):
            frames = parts[name][:, chosen].flatten(0, 1)
            scores[f"psnr_{name}"] = round(float(psnr(frames, truth).mean()), 2)
            scores[f"lpips_squeeze_{name}"] = round(float(self.perceptual(frames, truth).mean()), 4)
            if bool(some.any()):
                a, b, where = frames[some], truth[some], holes[some]
                scores[f"holes_{name}"] = round(float(psnr(a, b, where).mean()), 2)
                scores[f"holes_lpips_squeeze_{name}"] = round(float(self.perceptual(a, b, where).mean()), 4)
        return scores

    def pack(self, folder: Path, recipe: dict[str, Any], scores: dict[str, float]) -> Path:
        """Store the decoder without its critic in int8."""
        return save_model(
            self.model, "frames/nano", self.model.config, storage="int8", recipe=recipe,
            seed=self.options.seed, scores=scores, licence=LICENCE, credits=CREDITS, weights_dir=folder,
        )  # fmt: skip


class Judgement(nn.Module):
    """All losses of one batch of crops; everything that depends on the weights, as one call.

    Args:
        contest: the frame decoder and its critic.
        perceptual: the fixed network of the perceptual loss, whose weights are not part of this module.
    """

    def __init__(self, contest: nn.Module, perceptual: SqueezePerceptual) -> None:
        super().__init__()
        self.contest = contest
        self._perceptual = [perceptual]

    def forward(
        self, z: Tensor, warped: Tensor, mask: Tensor, truth: Tensor, picked: Tensor, share: Tensor
    ) -> tuple[Tensor, ...]:
        """One pass of the contest.

        Args:
            z, warped, mask, truth, picked: as in `Contest.forward`.
            share: [] length of the critic's pull, see ``DECEPTION_SHARE``.

        Returns:
            The loss and ``NUMBERS``, all [].
        """
        verdict = self.contest(z, warped, mask, truth, picked)
        error = verdict.rgb - truth
        l1, mse = error.abs().mean(), error.square().mean()
        made, true = verdict.rgb.flatten(0, 1), truth.flatten(0, 1)
        perceptual = self._perceptual[0](made[picked], true[picked]).mean()
        kept = l1 + 2 * mse + PERCEPTUAL_WEIGHT * perceptual + GRADIENT_WEIGHT * gradient_loss(made, true)
        weights = 1 + (HOLE_DECEPTION - 1) * (1 - mask.flatten(0, 1)[picked].float())
        deceived = deception_loss(verdict.judged, weights)
        critic = critic_loss(verdict.real, verdict.imagined, weights)
        direction = blended_direction(kept, deceived, verdict.rgb, share)
        pull = (verdict.rgb * direction).sum()
        loss = critic + pull + (kept - pull).detach()  # its value is that of the losses, its gradient the direction
        return loss, -10 * mse.detach().log10(), perceptual.detach(), critic.detach(), deceived.detach()
