"""Scenes that no training saw, with the clips that the teacher imagines of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lyra.evaluation.scores import ScoreSheet, score_clip
from lyra.evaluation.unseen import is_late
from lyra.models.depth import DepthNet
from lyra.models.perceptual import SqueezePerceptual
from lyra.models.teacher import Teacher
from lyra.models.tokenizer import FrameDecoder, Tokenizer
from lyra.training.imagined_scenes import ImaginedScenes, imagine_scenes


@dataclass(frozen=True)
class Networks:
    """Those that make the decoder's material."""

    tokenizer: Tokenizer
    depth_net: DepthNet
    teacher: Teacher
    frame_decoder: FrameDecoder | None = None


@dataclass(frozen=True)
class UnseenScene:
    """A scene of one picture; the clips begin at the picture's camera.

    Attributes:
        scenes: what was imagined of it (B = 1), V clips of T frames.
        view, frame: [N] the clips' frames that are scored.
        holes: [N, H, W] bool, what the picture does not show.
    """

    scenes: ImaginedScenes
    view: Tensor
    frame: Tensor
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

    def score(self, sheet: ScoreSheet, images: Tensor, truth: Tensor, perceptual: SqueezePerceptual) -> None:
        """Put scores of ``images`` against ``truth``, both [N, 3, H, W] 0…1 of the scored frames, on a sheet."""
        sheet.add(score_clip(images, truth, self.holes, self.late, perceptual))


class _Given:
    """Paths that are not drawn."""

    def __init__(self, c2w: Tensor) -> None:
        self.c2w = c2w

    def draw(self, scenes: int, views: int) -> Tensor:
        """The paths of the one scene."""
        return self.c2w[None, :views].expand(scenes, -1, -1, -1, -1)


def imagine_along(
    source: Tensor, K: Tensor, c2w: Tensor, networks: Networks, anchor_frames: tuple[int, ...], seed: int
) -> ImaginedScenes:
    """What the teacher imagines of one picture [1, 3, H, W] 0…1 along paths [V, T, 4, 4], its noise from ``seed``."""
    torch.manual_seed(seed)
    return imagine_scenes(
        source, K, _Given(c2w), len(c2w), anchor_frames, networks.tokenizer, networks.depth_net,
        networks.teacher, networks.teacher.config.steps, networks.frame_decoder,
    )  # fmt: skip
