"""Train one decoder for scenes that stand still and for moving ones."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from lyra.metrics import psnr
from lyra.models.decoder import GaussianBatch
from lyra.models.depth import clip_depth
from lyra.stages.decode_moving import later_frames, later_inputs, picture_inputs
from lyra.structures import InputError
from lyra.training.losses import gradient_loss
from lyra.training.moving_scenes import MovingScenes, fitting, imagine_moving_scenes
from lyra.training.options import TrainOptions
from lyra.training.pool import ExamplePool, RefreshPlan
from lyra.training.processes import rank_and_size
from lyra.training.seeds import REFRESH, first_world, own_randomness
from lyra.training.tasks.decoder import DecoderTask
from lyra.training.world_feed import WorldFeed
from lyra.worlds import Split, TextureStore, film_standing, load_textures
from lyra.worlds.film import source_intrinsics, source_scale

MOVING_PER_REFRESH = 2
CANDIDATES = 8
"""Worlds in a batch, of which those that move are taken; where too few do, others fill up."""
RATE = 12.0
EVERY = 16
MOVING_POOL = 64


class MovingDecoderTask(DecoderTask):
    """Every second step is one of `DecoderTask`; in the others Gaussians of one moment of a moving scene are compared
    with the teacher's pictures of that moment, of clips imagined forwards and of clips imagined backwards.

    The Gaussians are put together as `lyra.stages.decode_moving` does: what the source picture of the moment shows,
    read as a clip of one frame, and what the clips' later anchors show, told the time of the target, as far as the
    source picture does not contradict.
    """

    def __init__(self, options: TrainOptions, device: torch.device) -> None:
        if options.store is not None:
            raise InputError("the recipe dynamic imagines moving scenes on the way; leave --store out")
        self.moving_pool: ExamplePool | None = None
        super().__init__(options, device)
        if not self.model.config.pooled_time or 0 not in self.anchor_frames or len(self.anchor_frames) < 2:
            raise InputError("the recipe dynamic needs a decoder with anchors on the source and later frames")
        textures = load_textures(options.textures, "train")
        self.moving_feed = WorldFeed(
            textures,
            "train",
            CANDIDATES,
            first_world(1_700_000_003, options.seed),
            device,
            options.workers,
            shared=True,
        )
        size = min(options.pool or MOVING_POOL, MOVING_POOL)
        self.moving_pool = ExamplePool(size, MOVING_PER_REFRESH)
        start = min(size, 12 if device.type == "cuda" else size)
        self.moving_plan = RefreshPlan(self.moving_pool.refreshes_for(start, MOVING_PER_REFRESH), EVERY)
        if not options.resume:
            self._catch_up_moving(self.moving_plan.before(0))

    def _clips(self, feed: WorldFeed, store: TextureStore) -> tuple[Tensor, Tensor, Tensor]:
        """Clips [B, T, 3, H, W] from a tripod, their predicted depth and intrinsics."""
        worlds = feed.next()
        order = torch.argsort(~worlds.moving, stable=True)[:MOVING_PER_REFRESH]
        height, width = self.size
        scale = source_scale(worlds, store, height, width, "auto")[order]
        times = torch.arange(self.now.frames, device=self.device) / RATE
        rgb, _ = film_standing(worlds, store, order, times.expand(len(order), -1).contiguous(), scale, height, width)
        rgb = rgb.clamp(0, 1)
        return rgb, clip_depth(self.depth_net, rgb), source_intrinsics(worlds, height, width)[order]

    def _imagine_moving(self, feed: WorldFeed, store: TextureStore) -> MovingScenes:
        return imagine_moving_scenes(
            *self._clips(feed, store), self.paths, self.now.views[1], later_frames(self.model.config), self.tokenizer,
            self.depth_net, self.teacher, self.teacher.config.steps, self.frame_decoder,
        )  # fmt: skip

    def _catch_up_moving(self, until: int) -> None:
        pool = self.moving_pool
        assert pool is not None
        for number in pool.missing(until, self.moving_plan.first):
            with own_randomness(self.device, REFRESH, self.options.seed + 1, number, rank_and_size()[0]):
                self.moving_feed.seek(number)
                pool.put(number, self._imagine_moving(self.moving_feed, self.store).tensors())

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Distillation on scenes that stand still and on moving ones, in turns."""
        if step % 2 == 0:
            return super().loss(step, progress)
        with torch.autocast(self.device.type, enabled=False):
            self._catch_up_moving(self.moving_plan.until(step))
        assert self.moving_pool is not None
        scenes = MovingScenes(*self.moving_pool.store).pick(self.moving_pool.draw(self.batch))
        moment = int(torch.randint(scenes.source.shape[1], ()))
        with self._replaying():
            rendered, targets, opacity = self._moving_pairs(self.wrapped, scenes, moment, self.now.targets)
        mse = (rendered - targets).square().mean()
        perceptual = self.perceptual(rendered, targets).mean()
        loss = mse + self.recipe.gradient * gradient_loss(rendered, targets) + self.recipe.perceptual * perceptual
        loss = loss + self.now.opacity_weight * opacity
        return loss, {
            "psnr_moving": -10 * mse.detach().log10(),
            "perceptual_moving": perceptual.detach(),
            "opacity_moving": opacity.detach(),
        }

    def _moving_pairs(
        self, network: nn.Module, scenes: MovingScenes, moment: int, count: int | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Renders and targets [N, 3, H, W] of one moment, and the mean opacity.

        Of every scene the source picture is one target; ``count`` - 1 others are drawn from the clips of both ways,
        None takes all.
        """
        visible, hidden = self._moving_gaussians(network, scenes, moment)
        images, targets = [], []
        shape = scenes.source.shape[-2:]
        for item in range(len(scenes.source)):
            views = scenes.views(item)
            fits = fitting(hidden.item(item), views, moment)
            faded = replace(hidden, opacities=hidden.opacities * fits)
            everything = GaussianBatch.concatenate([_only(visible, item), _only(faded, item)])
            total = scenes.c2w.shape[1]
            chosen = torch.arange(total) if count is None else torch.randperm(total)[: max(1, count - 1)]
            chosen = chosen.to(self.device)
            eye = torch.eye(4, device=self.device)[None]
            c2w = torch.cat([eye, scenes.c2w[item, chosen, moment]])
            K = scenes.K[item].expand(len(c2w), 3, 3)
            rgb, _, _ = self._render(everything, 0, c2w, K, shape)
            images.append(rgb)
            truth = torch.cat([scenes.source[item, moment][None], scenes.frames[item, chosen, moment]])
            targets.append(truth.float() / 255)
        opacity = torch.cat([visible.opacities, hidden.opacities], dim=1).float().mean()
        return torch.cat(images), torch.cat(targets), opacity

    def _moving_gaussians(
        self, network: nn.Module, scenes: MovingScenes, moment: int
    ) -> tuple[GaussianBatch, GaussianBatch]:
        """What the source shows at a moment, and what the clips' later anchors say for it."""
        config, views = self.model.config, scenes.latents.shape[1]
        with torch.no_grad():
            single = picture_inputs(
                config, self.tokenizer, scenes.source[:, moment].float() / 255, scenes.depth[:, moment].float(),
                scenes.K,
            )  # fmt: skip
            clips = later_inputs(
                config,
                self.tokenizer,
                scenes.latents,
                scenes.c2w[:, :views],
                scenes.K[:, None].expand(-1, views, -1, -1),
                scenes.frames[:, :views, later_frames(config)].float() / 255,
                scenes.anchor_depth.float(),
                scenes.anchor_visible.float(),
                moment / max(scenes.source.shape[1] - 1, 1),
            )
        visible: GaussianBatch = network(single)
        hidden: GaussianBatch = network(clips)
        return visible, hidden

    @torch.no_grad()
    def _moving_psnr(self, split: Split, rounds: int) -> Tensor:
        """[rounds, 3] mean PSNR of renders against the teacher at the first, middle and last moment."""
        textures = load_textures(self.options.textures, split)
        feed, store = WorldFeed(textures, split, CANDIDATES, 0, self.device, 0), textures.to(self.device)
        torch.manual_seed(17)
        self.model.eval()
        values = []
        for _ in range(rounds):
            scenes = self._imagine_moving(feed, store)
            last = scenes.source.shape[1] - 1
            row = []
            for moment in (0, last // 2, last):
                images, truths, _ = self._moving_pairs(self.model, scenes, moment, None)
                row.append(psnr(images.clamp(0, 1), truths).mean())
            values.append(torch.stack(row))
        self.model.train()
        return torch.stack(values)

    def scores(self) -> dict[str, float]:
        """Those of scenes that stand still, and PSNR of three moments of moving ones over the clips of both ways."""
        first, middle, last = self._moving_psnr("test", 4 if self.device.type == "cuda" else 1).mean(dim=0).tolist()
        return {
            **super().scores(),
            "psnr_moving_first": round(first, 2),
            "psnr_moving_middle": round(middle, 2),
            "psnr_moving_last": round(last, 2),
        }


def _only(batch: GaussianBatch, item: int) -> GaussianBatch:
    """A batch of one of the scenes."""
    one = slice(item, item + 1)
    return GaussianBatch(batch.means[one], batch.quats[one], batch.scales[one], batch.opacities[one], batch.colors[one])
