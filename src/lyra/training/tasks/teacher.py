"""Train the teacher: denoise latent clips of worlds, told what the 3D cache shows from the same cameras."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lyra.diffusion import precondition
from lyra.hub import save_model
from lyra.metrics import psnr
from lyra.models.depth import DepthNet
from lyra.models.teacher import SwiftTeacher, Teacher, TeacherConfig, TeacherInputs, empty_cache
from lyra.models.text import TextEncoder
from lyra.models.tokenizer import Tokenizer
from lyra.nn import reduced_precision
from lyra.stages.frames import decode_frames
from lyra.stages.imagine import teacher_inputs
from lyra.structures import InputError
from lyra.training.caption_reader import caption_tokens, drop_rows
from lyra.training.channel_importance import channel_importance
from lyra.training.credits import CREDITS, LICENCE
from lyra.training.device_data import PathBank, PhotoTiles
from lyra.training.imagined_latents import imagine_latents
from lyra.training.lifted_photos import lifted_clips
from lyra.training.networks import load_part, load_start, require_latents_of, require_shape, shaped
from lyra.training.options import TrainOptions
from lyra.training.pool import ExamplePool, RefreshPlan, is_upright
from lyra.training.processes import rank_and_size
from lyra.training.recipes import find_recipe
from lyra.training.recorded import RecordedCalls, records_calls
from lyra.training.seeds import REFRESH, first_world, own_randomness
from lyra.training.task import PooledTask
from lyra.training.unseen_clips import unseen_clips
from lyra.training.world_clips import draw_times, world_clips
from lyra.training.world_feed import WorldFeed
from lyra.worlds import Split, film_source, load_textures
from lyra.worlds.captions import CLEAN
from lyra.worlds.photographic import draw_looks

FRAMES = 17
WORLDS_PER_REFRESH = 3
VIEWS_PER_WORLD = 2
PHOTO_CLIPS = 2
PHOTO_REACH = (0.3, 0.85)
"""Of the published strengths: what a lifted photograph does not show of its surroundings is made up."""
PREDICTED_SHARE = 0.75
"""So many worlds have a cache of predicted depth, as every photograph has."""
HOLE_WEIGHT = 5.0
TEXT_DROPOUT = 0.15
"""So often an example keeps its captions to itself, for guidance and for prompts that are not given."""
HIGH_LEVELS = 0.6
"""Share of the noise levels in the highest two thirds, where sampling begins and few steps get nearly all they get."""
HIGH_STILLS = 0.2
"""The same for first pictures, which many steps make."""
STILL_LEVELS = (0.7, 2.0, 6.0)
"""Noise levels at which the scores ask how much the text helps."""
TIMED_CLIPS = 5
"""Clips that are imagined one after another to say how long one takes."""
Denoise = Callable[[Tensor, Tensor, TeacherInputs], Tensor]


class TeacherTask(PooledTask):
    """EDM loss on clips whose cache is mostly built from predicted depth.

    A quarter of the examples are lifted photographs, so that holes are also filled with what photographs look like.
    The worlds are seen through cameras of many kinds. In about a quarter of them things move: their cache is a clip of
    a standing camera, picture by picture (see `world_clips`). A third of the batches are of portrait format.

    Every clip of a world comes with a caption, read by the frozen text encoder; photographs have none. A share of the
    examples (`TrainOptions.stills`) are not clips but first pictures of which nothing is given but the text; all of
    these are of landscape format, which saves compiling a fourth shape.

    A teacher that starts from nothing takes the form of its latents, and how many masks belong to one latent frame,
    from the tokenizer.

    Raises:
        InputError: a teacher to start from that is another tokenizer's or of another shape than the recipe's.
    """

    def __init__(self, options: TrainOptions, device: torch.device, step: int = 0) -> None:
        self.options, self.device = options, device
        recipe = find_recipe("teacher", options.recipe, options.from_stage)
        self.follow(recipe, options)
        self.tokenizer: Tokenizer = load_part("tokenizer/nano", Tokenizer, options, device)
        self.depth_net = load_part("depth/nano", DepthNet, options, device)
        self.text_encoder = load_part("text/nano", TextEncoder, options, device)
        self.turns, self.both_compiled = recipe.upright_every, False
        self.stills = self._stills_of(options.stills)
        self.importance = channel_importance(self.tokenizer, device)[:, None, None, None]
        textures = load_textures(options.textures, "train")
        self.store = textures.to(device)
        self.photos = PhotoTiles(textures, device)
        self.feed = WorldFeed(
            textures,
            "train",
            WORLDS_PER_REFRESH,
            first_world(900_000_011, options.seed),
            device,
            options.workers,
            shared=True,
        )
        self.paths = PathBank(FRAMES, device, options.seed)
        self.short_paths = PathBank(FRAMES, device, options.seed + 1, reach=PHOTO_REACH)
        model = self._first_model()
        self.network: nn.Module = model.to(device).train()
        self.model = model
        self.use(self.network)
        if options.checkpoint_activations:
            self.model.backbone.enable_gradient_checkpointing()
        self.pool = ExamplePool(options.pool or recipe.pool, WORLDS_PER_REFRESH * VIEWS_PER_WORLD + PHOTO_CLIPS)
        start = min(self.pool.size, 192 if device.type == "cuda" else self.pool.size)
        self.plan = RefreshPlan(self.pool.refreshes_for(start, self.pool.per_refresh), every=6)
        self._catch_up(self.plan.before(step))
        if options.compile:
            self.model.backbone.compile(dynamic=False)  # clips of both formats and stills: three graphs of fixed shape

    def use(self, network: nn.Module) -> None:
        """Take the network for the following steps; alone on a GPU its kernels are recorded and replayed."""
        super().use(network)
        self.denoise: Denoise = self._replayed(network)

    def _replayed(self, network: nn.Module) -> Denoise:
        """How a teacher is asked: recorded and replayed where that can be done."""
        if not records_calls(self.options, self.device):
            return network
        calls = RecordedCalls(Spread(network))
        return lambda x, sigma, told: calls(x, sigma, told.source, told.warped, told.mask, told.text)

    def _stills_of(self, share: float) -> int:
        """First pictures in a batch of landscape format, for a share of all examples."""
        if not share:
            return 0
        wide = (self.turns - 1) / self.turns if self.turns else 1.0
        return min(max(round(share * self.batch / wide), 1), self.batch - 1)

    def _first_model(self) -> Teacher:
        """The network to start from, told that it reads texts; the number of text tokens touches no weight."""
        options, tokenizer = self.options, self.tokenizer
        recipe = find_recipe("teacher", options.recipe, options.from_stage)
        start = load_start(options.init, Teacher) if options.init else None
        if start is not None:
            config = start.config
            require_shape(config, recipe, str(options.init))
            require_latents_of(config, tokenizer)
        else:
            config = replace(TeacherConfig(), latent_channels=tokenizer.channels, mask_channels=tokenizer.temporal)
            config = shaped(config, recipe)
        wanted = self.text_encoder.config
        if wanted.output != config.text_dim:
            raise InputError(
                f"the text encoder gives {wanted.output} channels, the teacher reads {config.text_dim}; "
                "train the encoder for this teacher, or start from another one"
            )
        config = replace(
            config, text=True, text_tokens=wanted.tokens, illustrates=config.illustrates or self.stills > 0
        )
        model = Teacher(config)
        if start is not None:
            model.load_state_dict(start.state_dict())
        else:
            model.start_as_identity()
        return model

    @torch.no_grad()
    def _refresh(self, number: int) -> None:
        self.feed.seek(number)
        upright = is_upright(number, self.turns)
        with own_randomness(self.device, REFRESH, self.options.seed, number, rank_and_size()[0]):
            clean, inputs = self._examples(upright)
        # what training rounds to bfloat16 in its first layer need not be kept in more
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        assert inputs.source is not None and inputs.text is not None
        parts = [clean, inputs.source, inputs.warped, inputs.mask]
        parts = [part.mT for part in parts] if upright else parts  # in the pool, portraits lie on their side
        self.pool.put(number, [part.to(dtype) for part in (*parts, inputs.text)])

    def _examples(self, upright: bool) -> tuple[Tensor, TeacherInputs]:
        """New clips as normalised latents, and what the teacher is told of them."""
        height, width = self._size(upright)
        worlds = self.feed.next()
        predicted = torch.rand(WORLDS_PER_REFRESH, device=self.device) < PREDICTED_SHARE
        paths = self.paths.draw(WORLDS_PER_REFRESH, VIEWS_PER_WORLD)
        looks = draw_looks(WORLDS_PER_REFRESH)
        times = draw_times(WORLDS_PER_REFRESH, FRAMES, self.device)
        filmed = world_clips(worlds, self.store, paths, height, width, self.depth_net, predicted, looks, times)
        lifted = lifted_clips(
            self.photos, self.depth_net, self.short_paths.draw(PHOTO_CLIPS, 1)[:, 0], height, width,
            draw_looks(PHOTO_CLIPS),
        )  # fmt: skip
        clips, warped, mask = (torch.cat(pair) for pair in zip(filmed, lifted[:3], strict=True))
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            clean = self.tokenizer.normalize(self.tokenizer.encode(clips.transpose(1, 2)))
            inputs = teacher_inputs(self.tokenizer, clips[:, 0], warped, mask)
        text = caption_tokens(self.text_encoder, worlds.descriptions, VIEWS_PER_WORLD, uncaptioned=PHOTO_CLIPS)
        return clean, replace(inputs, text=text)

    def _size(self, upright: bool) -> tuple[int, int]:
        size = (self.options.height, self.options.width)
        return size[::-1] if upright else size

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Weighted EDM loss of one batch from the pool; every sixth step some new clips replace old ones."""
        with torch.autocast(self.device.type, enabled=False):
            self._catch_up(self.plan.until(step))
        if self.options.compile and self.turns and not self.both_compiled:
            self.both_compiled = True  # in the first step, whose time is not counted
            with own_randomness(self.device, 0):
                other, _ = self._batch_loss(not is_upright(step, self.turns))
                if self.wrapped is self.network:  # the backward pass compiles when it first runs
                    trained = [weight for weight in self.network.parameters() if weight.requires_grad]
                    torch.autograd.grad(other, trained, allow_unused=True)
        return self._batch_loss(is_upright(step, self.turns))

    def _batch_loss(self, upright: bool) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Loss of a batch in one of the two formats."""
        if self.turns:
            slots, upright = self.pool.draw_turned(self.batch, self.turns, upright)
        else:
            slots = self.pool.draw(self.batch)
        *pictures, text = (part[slots].float() for part in self.pool.store)
        clean, source, warped, mask = (part.mT.contiguous() for part in pictures) if upright else pictures
        inputs = TeacherInputs(source, warped, mask, drop_rows(text, TEXT_DROPOUT))
        stills = 0 if upright else self.stills
        clips = slice(stills, None)
        loss, numbers = self._clip_loss(clean[clips], inputs.items(clips))
        if stills:
            still = self._still_loss(inputs.items(slice(stills)))
            numbers["still"] = still.detach()
            loss = loss + (still - loss) * (stills / self.batch)
        return loss, numbers

    def _noise_levels(self, count: int, share: float) -> tuple[Tensor, Tensor]:
        """[count] noise levels, and which of them are among the highest by choice."""
        largest = self.model.config.sigma_max
        sigma = torch.exp(torch.randn(count, device=self.device) * 1.7 + 0.4).clamp(0.005, largest)
        high = torch.rand(count, device=self.device) < share
        return torch.where(high, largest * (0.3 + 0.7 * torch.rand_like(sigma)), sigma), high

    def _error(self, denoise: Denoise, clean: Tensor, sigma: Tensor, inputs: TeacherInputs) -> Tensor:
        """[B, C, t, h, w] squared errors of denoising, in the unit in which all noise levels weigh the same."""
        noisy = clean + sigma[:, None, None, None, None] * torch.randn_like(clean)
        scale = precondition(sigma, self.model.config.sigma_data).out[:, None, None, None, None]
        error: Tensor = ((denoise(noisy, sigma, inputs) - clean) / scale).square()
        return error

    def _clip_loss(self, clean: Tensor, inputs: TeacherInputs) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Loss of all frames but the first, which is given."""
        sigma, high = self._noise_levels(len(clean), HIGH_LEVELS)
        error = self._error(self.denoise, clean, sigma, inputs)[:, :, 1:]
        hole = self._holes(inputs)
        loss = (self.importance * (1 + HOLE_WEIGHT * hole) * error).mean()
        return loss, self._numbers(error, hole, high)

    @staticmethod
    def _holes(inputs: TeacherInputs) -> Tensor:
        """[B, 1, t - 1, h, w] share of each latent cell but those of the first frame that the cache does not show."""
        return 0.5 - inputs.mask[:, 0, :, 1:].mean(dim=1, keepdim=True) / 2

    @staticmethod
    def _numbers(error: Tensor, hole: Tensor, high: Tensor) -> dict[str, float | Tensor]:
        """What is logged of squared errors [B, C, t - 1, h, w]: in all, in holes, and of the examples ``high`` [B]."""
        error = error.detach()
        return {
            "error": error.mean(),
            "hole_error": (hole * error.mean(dim=1, keepdim=True)).mean() / hole.mean().clamp(min=1e-6),
            "high_noise": (error.mean(dim=(1, 2, 3, 4)) * high).sum() / high.sum().clamp(min=1),
        }

    def _still_loss(self, inputs: TeacherInputs) -> Tensor:
        """Loss of the first frames alone, which nothing but the text tells about."""
        assert inputs.source is not None
        sigma, _ = self._noise_levels(len(inputs.source), HIGH_STILLS)
        blank = empty_cache(inputs.source, self.model.config, inputs.text)
        return (self.importance * self._error(self.denoise, inputs.source, sigma, blank)).mean()

    @torch.no_grad()
    def _validate(self, split: Split, worlds: int, steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """True clips, warps, imagined clips [B, T, 3, H, W] and visibility, all with predicted depth."""
        textures, size = load_textures(self.options.textures, split), (self.options.height, self.options.width)
        clips, warped, mask = unseen_clips(textures, worlds, self.paths, size, self.depth_net)
        self.model.eval()
        latents = imagine_latents(self.model, self.tokenizer, clips[:, 0], warped, mask, steps)
        self.model.train()
        return clips, warped, decode_frames(latents, warped, mask, self.tokenizer), mask

    def pictures(self) -> Tensor | None:
        """Last frames: warped cache, truth, imagined."""
        clips, warped, imagined, _ = self._validate(
            "val", 6 if self.device.type == "cuda" else 2, self.model.config.steps
        )
        return torch.cat([warped[:, -1], clips[:, -1], imagined[:, -1]])

    def scores(self) -> dict[str, float]:
        """PSNR of warp and teacher against true novel views, whole frames and holes, for several step counts.

        Holes are scored where a frame has enough of them; a clip set without any has no such score. Beside them stand
        the true clips through the tokenizer and back (``coded``), which no teacher of its latents can pass, and the
        seconds that one clip takes.
        """
        count = 12 if self.device.type == "cuda" else 1
        scores: dict[str, float] = {}
        for steps in (1, 2, 4, 8, 16) if self.device.type == "cuda" else (1,):
            clips, warped, imagined, mask = self._validate("test", count, steps)
            truth, holes = clips[:, 1:].flatten(0, 1), ~mask[:, 1:].flatten(0, 1)
            some = holes.flatten(1).sum(dim=1) > 200
            videos = {"warp": warped, f"steps{steps}": imagined}
            if steps == 1:
                videos["coded"] = self._coded(clips, warped, mask)
                if not self.options.shard:
                    scores["seconds_per_clip"] = self._seconds_per_clip(clips[:1], warped[:1], mask[:1])
            for name, video in videos.items():
                frames = video[:, 1:].flatten(0, 1)
                scores[f"psnr_{name}"] = round(float(psnr(frames, truth).mean()), 2)
                if bool(some.any()):
                    scores[f"holes_{name}"] = round(float(psnr(frames[some], truth[some], holes[some]).mean()), 2)
        return scores | (self._text_scores(4 * count) if self.stills else {})

    @torch.no_grad()
    def _coded(self, clips: Tensor, warped: Tensor, mask: Tensor) -> Tensor:
        """Clips [B, T, 3, H, W] as their latents show them."""
        latents = torch.cat([self.tokenizer.encode(clip[None].transpose(1, 2)) for clip in clips])
        return decode_frames(latents, warped, mask, self.tokenizer)

    @torch.no_grad()
    def _seconds_per_clip(self, clip: Tensor, warped: Tensor, mask: Tensor) -> float:
        """Median seconds from one clip's cache to its frames in the network's own number of steps.

        Asked is the network that the finished road asks, in its precision; a first clip, which is slower, is left out.
        """
        teacher = SwiftTeacher(self.model.config).to(self.device).eval()
        teacher.load_state_dict(self.model.state_dict())
        taken = []
        for _ in range(1 + TIMED_CLIPS):
            began = time.perf_counter()
            with reduced_precision(self.device):
                latents = imagine_latents(teacher, self.tokenizer, clip[:, 0], warped, mask)
            decode_frames(latents, warped, mask, self.tokenizer).mean().item()  # waits for the device
            taken.append(time.perf_counter() - began)
        return round(sorted(taken[1:])[TIMED_CLIPS // 2], 4)

    @torch.no_grad()
    def _text_scores(self, worlds: int) -> dict[str, float]:
        """Error of denoising unseen first pictures told their own caption, that of another world, and nothing."""
        textures = load_textures(self.options.textures, "test")
        batch = WorldFeed(textures, "test", worlds, 0, self.device, 0).next()
        pictures = film_source(batch, textures.to(self.device), self.options.height, self.options.width).rgb
        clean = self.tokenizer.normalize(self.tokenizer.encode(pictures.clamp(0, 1)[:, :, None]))
        torch.manual_seed(3)
        text = caption_tokens(self.text_encoder, batch.descriptions, 1, style=CLEAN)
        self.model.eval()
        scores: dict[str, float] = {}
        for name, told in (("own", text), ("other", text.roll(1, 0)), ("none", torch.zeros_like(text))):
            torch.manual_seed(12)
            blank = empty_cache(clean, self.model.config, told)
            errors = [
                self._error(self.model, clean, clean.new_full((worlds,), level), blank).mean() for level in STILL_LEVELS
            ]
            scores[f"still_{name}_text"] = round(float(torch.stack(errors).mean()), 4)
        self.model.train()
        return scores

    def pack(self, folder: Path, recipe: dict[str, Any], scores: dict[str, float]) -> Path:
        """Store the teacher in int8."""
        return save_model(
            self.network, "teacher/nano", self.model.config, storage="int8", recipe=recipe,
            seed=self.options.seed, scores=scores, licence=LICENCE, credits=CREDITS, weights_dir=folder,
        )  # fmt: skip


class Spread(nn.Module):
    """The teacher, told what it is told one by one."""

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(
        self, x: Tensor, sigma: Tensor, source: Tensor | None, warped: Tensor, mask: Tensor, text: Tensor | None
    ) -> Tensor:
        """Estimate the clean latents, as `Teacher.forward` does."""
        clean: Tensor = self.teacher(x, sigma, TeacherInputs(source, warped, mask, text))
        return clean
