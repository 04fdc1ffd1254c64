"""Test worlds with the clips that the teacher imagines of them and the views that are true."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lyra.evaluation.unseen import departs, path_generator, picture_world, scored_frames
from lyra.stages import plan
from lyra.stages.warp import warp_clips
from lyra.studies.unseen_scenes import Networks, UnseenScene, imagine_along
from lyra.worlds import TextureSet, TextureStore


@dataclass(frozen=True)
class UnseenWorld(UnseenScene):
    """A test world; its holes are what the source does not show by true depth.

    Attributes:
        truth: [N, 3, H, W] 0…1, the true view of each scored frame.
    """

    truth: Tensor


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
    scenes = imagine_along(source, K, c2w, networks, anchor_frames, seed * 100_003 + index)
    chosen = torch.tensor(scored_frames(frames, stride), device=source.device)
    truth = world.film(c2w[:, chosen]).rgb[0].clamp(0, 1)
    _, _, shown = warp_clips(
        source.expand(len(c2w), -1, -1, -1), world.depth.expand(len(c2w), -1, -1), K.expand(len(c2w), -1, -1), c2w
    )
    view, place = departs(c2w[:, chosen]).nonzero(as_tuple=True)
    return UnseenWorld(scenes, view, chosen[place], ~shown[view, chosen[place]], truth[view, place])
