"""Test worlds with the clips that the teacher imagines of them and the views that are true."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lyra.evaluation.scores import ScoreSheet, score_clip
from lyra.evaluation.unseen import departs, is_late, path_generator, picture_world, scored_frames
from lyra.models.depth import DepthNet
from lyra.models.perceptual import SqueezePerceptual
from lyra.models.teacher import Teacher
from lyra.models.tokenizer import FrameDecoder, Tokenizer
from lyra.stages import plan
from lyra.stages.warp import warp_clips
from lyra.training.imagined_scenes import ImaginedScenes, imagine_scenes
from lyra.worlds import TextureSet, TextureStore


@dataclass(frozen=True)
class Networks:
    """Those that make the decoder's material."""

    tokenizer: Tokenizer
    depth_net: DepthNet
    teacher: Teacher
    frame_decoder: FrameDecoder | None = None


@dataclass(frozen=True)
class UnseenWorld:
    """A test world; the clips begin at the source camera.

    Attributes:
        scenes: what was imagined of it (B = 1), V clips of T frames.
        view, frame: [N] the clips' frames that are scored.
        truth: [N, 3, H, W] 0…1, the true view of each.
        holes: [N, H, W] bool, what the source does not show, by true depth.
    """

    scenes: ImaginedScenes
    view: Tensor
    frame: Tensor
    truth: Tensor
    holes: Tensor

    @property
    def c2w(self) -> Tensor:
        """[N, 4, 4] cameras of the scored frames."""
        return self.scenes.c2w[0, self.view, self.frame]

    @property
    def K(self) -> Tensor:
        """[N, 3, 3] their intrinsics."""
        return self.scenes.K[0, self.view]

    @property
    def late(self) -> Tensor:
        """[N] bool, frames in the last third of their clip."""
        return is_late(self.frame, self.scenes.c2w.shape[2])

    @property
    def imagined(self) -> Tensor:
        """[N, 3, H, W] 0…1, the teacher's frames."""
        return self.scenes.frames[0, self.view, self.frame].float() / 255


class _Given:
    """Paths that are not drawn."""

    def __init__(self, c2w: Tensor) -> None:
        self.c2w = c2w

    def draw(self, scenes: int, views: int) -> Tensor:
        """The paths of the one scene."""
        return self.c2w[None, :views].expand(scenes, -1, -1, -1, -1)


@torch.no_grad()
def unseen_world(
    index: int,
    textures: TextureSet,
    store: TextureStore,
    networks: Networks,
    size: tuple[int, int],
    frames: int,
    stride: int,
    seed: int,
    anchor_frames: tuple[int, ...],
) -> UnseenWorld:
    """Make test world number ``index``: picture it, imagine its six clips, film their true views.

    As in `evaluate_worlds`: true intrinsics, predicted depth, both depths scaled to median 1. Every ``stride``-th frame
    is scored, counted back from the last; the first, and those where a circle is back at its start, are not.
    """
    world = picture_world(index, textures, store, size)
    source, K = world.rgb, world.camera.K
    paths = plan(world.views(world.depth), frames, generator=path_generator(seed, index))
    c2w = torch.stack([path.cameras.c2w for path in paths]).to(source.device)
    torch.manual_seed(seed * 100_003 + index)
    scenes = imagine_scenes(
        source, K, _Given(c2w), len(c2w), anchor_frames, networks.tokenizer, networks.depth_net,
        networks.teacher, networks.teacher.config.steps, networks.frame_decoder,
    )  # fmt: skip
    chosen = torch.tensor(scored_frames(frames, stride), device=source.device)
    truth = world.film(c2w[:, chosen]).rgb[0].clamp(0, 1)
    _, _, shown = warp_clips(
        source.expand(len(c2w), -1, -1, -1), world.depth.expand(len(c2w), -1, -1), K.expand(len(c2w), -1, -1), c2w
    )
    view, place = departs(c2w[:, chosen]).nonzero(as_tuple=True)
    return UnseenWorld(scenes, view, chosen[place], truth[view, place], ~shown[view, chosen[place]])


class TwoSheets:
    """Scores against the true views and against the teacher's frames."""

    def __init__(self, perceptual: SqueezePerceptual) -> None:
        self.perceptual = perceptual
        self.true, self.teacher = ScoreSheet(), ScoreSheet()

    def add(self, world: UnseenWorld, images: Tensor) -> None:
        """Take pictures [N, 3, H, W] of the world's scored frames."""
        for sheet, reference in ((self.true, world.truth), (self.teacher, world.imagined)):
            sheet.add(score_clip(images, reference, world.holes, world.late, self.perceptual))

    def means(self) -> dict[str, dict[str, float]]:
        """Of both."""
        return {"true": self.true.means(), "teacher": self.teacher.means()}


Tell = Callable[[str], None]
