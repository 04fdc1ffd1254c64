"""Train a decoder on scenes that were made beforehand and stay the same: one variant of a comparison."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lyra.hub import load_model
from lyra.models.decoder import DecoderInputs, GaussianDecoder
from lyra.models.tokenizer import Tokenizer
from lyra.stages.decode import Anchors
from lyra.training.imagined_scenes import ImaginedScenes
from lyra.training.options import TrainOptions
from lyra.training.recipes import DecoderRecipe, DecoderStage
from lyra.training.tasks.decoder import DecoderTask

Judge = Callable[["FixedScenesTask"], dict[str, float]]


class FixedScenesTask(DecoderTask):
    """The decoder's losses on given scenes.

    Args:
        options: of the run.
        recipe: losses, stages and the network to begin with.
        materials: sets of scenes; each step draws from all of them in turn.
        anchor_frames: frames whose depth and visibility the scenes hold.
        tokenizer: of the latents.
        judge: gives the scores of the trained network.
        pixels: the network reads the clips' pixels instead of their latents.
    """

    def __init__(
        self,
        options: TrainOptions,
        recipe: DecoderRecipe,
        materials: Sequence[ImaginedScenes],
        anchor_frames: tuple[int, ...],
        tokenizer: Tokenizer,
        judge: Judge,
        pixels: bool = False,
    ) -> None:
        self.options, self.device, self.recipe = options, materials[0].latents.device, recipe
        self.follow(recipe, options)
        self.materials, self.held, self.judge, self.pixels = materials, anchor_frames, judge, pixels
        self.tokenizer = tokenizer
        self.perceptual = load_model("perceptual/squeeze", device=self.device)
        torch.manual_seed(options.seed)
        self._train_on(GaussianDecoder(recipe.network()))
        self.steps, self.timed, self.began = 0, 0, 0.0
        self._enter(recipe.stages[0])

    def stage(self, progress: float) -> str:
        """Stages change what is learned, but nothing is kept of them."""
        return ""

    @property
    def clips(self) -> int:
        """Those of the given scenes; a stage may look at fewer."""
        return self.materials[0].latents.shape[1]

    def _enter(self, stage: DecoderStage) -> None:
        self.now = stage
        self.batch = self.options.batch or stage.batch
        self.model.config = replace(self.model.config, prune_ratio=stage.prune_ratio)

    def _draw(self, step: int, views: Tensor) -> ImaginedScenes:
        """Scenes of this step, seen in the clips ``views``."""
        parts = []
        for item in range(self.batch):
            material = self.materials[(step * self.batch + item) % len(self.materials)]
            count = len(material.source)
            parts.append(material.pick(torch.randint(count, (1,), device=self.device), views))
        columns = zip(*(part.tensors() for part in parts), strict=True)
        return self.shown(ImaginedScenes(*(torch.cat(column) for column in columns)))

    def shown(self, scenes: ImaginedScenes) -> ImaginedScenes:
        """The scenes with the anchors of this network only."""
        kept = [self.held.index(frame) for frame in self.anchor_frames]
        return replace(
            scenes, anchor_depth=scenes.anchor_depth[:, :, kept], anchor_visible=scenes.anchor_visible[:, :, kept]
        )

    def _inputs(self, scenes: ImaginedScenes, anchors: Anchors) -> DecoderInputs:
        inputs = super()._inputs(scenes, anchors)
        if not self.pixels:
            return inputs
        return replace(inputs, latents=scenes.frames.transpose(2, 3).float() / 127.5 - 1)

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """As in self-distillation; the time of all but this command's first step is taken."""
        if self.timed == 1:
            self._wait()
            self.began = time.perf_counter()
        self.timed, self.steps = self.timed + 1, step + 1
        return super().loss(step, progress)

    def seconds_per_step(self) -> float:
        """Mean over this command's steps but the first; NaN where there is none."""
        self._wait()
        return (time.perf_counter() - self.began) / (self.timed - 1) if self.timed > 1 else float("nan")

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @torch.no_grad()
    def picture(self, scenes: ImaginedScenes, c2w: Tensor, K: Tensor) -> tuple[Tensor, int]:
        """Renders [N, 3, H, W] of one given scene (B = 1) from the cameras [N], and how many Gaussians it has."""
        gaussians = self._decode(self.model, self.shown(scenes), clean_source=0 in self.anchor_frames)
        rgb, _, _ = self._render(gaussians, 0, c2w, K, scenes.source.shape[-2:])
        return rgb.clamp(0, 1), gaussians.means.shape[1]

    def pictures(self) -> Tensor | None:
        """None are kept."""
        return None

    def scores(self) -> dict[str, float]:
        """What the judge says of the network as the last stage leaves it."""
        self._enter(self.recipe.stages[-1])
        return self.judge(self)
