"""Photographs with the clips that the teacher imagines of them: there is no true view of what a photo hides."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lyra.evaluation.unseen import departs, path_generator, scored_frames
from lyra.io.files import require_file
from lyra.io.images import fit_photo, read_photo
from lyra.stages import PerceiveConfig, perceive, plan
from lyra.structures import Frames
from lyra.studies.unseen_scenes import Networks, UnseenScene, imagine_along

_FIRST = 50_000
"""Photographs are numbered from here on, worlds from 0: no two have the same paths and noise."""


@dataclass(frozen=True)
class Photograph:
    """A picture of the size that the networks take.

    Attributes:
        rgb: [3, H, W] 0…1.
        fov: horizontal field of view in degrees, ``None`` where the file does not say.
    """

    rgb: Tensor
    fov: float | None


def fingerprint(photos: Sequence[Path]) -> list[str]:
    """The first twelve digits of the SHA-256 of each file: the same pictures under other names are the same.

    Raises:
        InputError: a file that cannot be read.
    """
    return [hashlib.sha256(require_file(photo, "photo").read_bytes()).hexdigest()[:12] for photo in photos]


def read_photographs(photos: Sequence[Path], size: tuple[int, int]) -> list[Photograph]:
    """Read photos and cut them to ``size`` (height, width) around their centre.

    Raises:
        InputError: a file that is no picture.
    """
    found = []
    for photo in photos:
        picture = read_photo(photo)
        rgb, fit = fit_photo(picture.frames.rgb[0], *size)
        focal = picture.focal_px_fraction
        fov = None if focal is None else math.degrees(2 * math.atan(0.5 / fit.focal_px_fraction(focal)))
        found.append(Photograph(rgb, fov))
    return found


@torch.no_grad()
def unseen_photo(
    index: int,
    photo: Photograph,
    networks: Networks,
    device: torch.device,
    frames: int,
    stride: int,
    seed: int,
    anchor_frames: tuple[int, ...],
) -> UnseenScene:
    """Imagine six clips of a photograph, the ``index``-th of them.

    Depth is predicted, and the field of view where the file does not say it, as for `lyra generate`. The frames that
    are scored are those of `unseen_world`; holes are what the cache by predicted depth does not show.
    """
    source = photo.rgb[None].to(device)
    views = perceive(Frames(source), networks.depth_net, PerceiveConfig(photo.fov))
    number = _FIRST + index
    paths = plan(views, frames, generator=path_generator(seed, number))
    c2w = torch.stack([path.cameras.c2w for path in paths]).to(device)
    scenes = imagine_along(source, views.cameras.K, c2w, networks, anchor_frames, seed * 100_003 + number)
    chosen = torch.tensor(scored_frames(frames, stride), device=device)
    view, place = departs(c2w[:, chosen]).nonzero(as_tuple=True)
    frame = chosen[place]
    return UnseenScene(scenes, view, frame, scenes.cache_depth[0, view, frame] == 0)
