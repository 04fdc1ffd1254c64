"""The photo's own sharpness: what shows it is divided, and settles on the photo at twice the networks' size.

The networks see a photo of millions of pixels at 256 x 448. What they say of its depth holds for its finer pixels, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.cameras import invert_rigid, transform_points
from lyra.geometry.gaussian_sets import joined
from lyra.geometry.quaternions import rotation_from_quaternion
from lyra.raster import RenderOptions
from lyra.raster.fitting import fitted, pictures_of
from lyra.raster.showing import shown_of
from lyra.structures import Cameras, Conditioning, Gaussians, InputError, Scene, Views

FACTOR = 2
"""How many finer pixels go along each side of a pixel of the networks."""
CHILDREN = FACTOR**2
WORTH_READING = 0.8
"""Pixels of the networks' picture per pixel of the photo, above which that shows next to nothing more."""
_SHOWS = 0.2
"""Pixels that a Gaussian fills in the photo, to be worth dividing."""
_SMALL = 1.5
"""Standard deviation in pixels above which it belongs to no single pixel."""
_WORTH = 2e-6
"""Squared difference between photo and enlarged picture that nobody sees."""
_STEEP, _APART = 0.15, 0.03
"""A surface is followed where the ray meets it at more than this cosine and changes depth by less than this share."""
_EDGE = 0.1
"""Log depth between neighbouring pixels, above which two surfaces meet there."""
_AROUND, _SAME_SURFACE = 3, 0.25
"""Pixels around a mixed one that tell its colour, and log depth within which a Gaussian belongs to the pixel's."""
MOST = 1_000_000


@dataclass(frozen=True)
class DetailConfig:
    """How much sharpness a scene takes from its photo.

    Attributes:
        most: Gaussians that are divided into four each; 0 leaves the scene as it is.
        steps: of `refine` afterwards, towards the finer photo and one imagined frame each.
    """

    most: int = 60_000
    steps: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.most <= MOST:
            raise InputError(f"{self.most} Gaussians to divide are outside 0…{MOST}; 0 leaves the scene as it is")
        if not 0 <= self.steps <= MOST:
            raise InputError(f"{self.steps} steps are outside 0…{MOST}; 0 leaves what was divided as it is")


def detail(
    scene: Scene,
    views: Views,
    photo: Tensor,
    conditionings: Sequence[Conditioning],
    frames: Tensor,
    config: DetailConfig | None = None,
    seed: int = 0,
    on_step: Callable[[int], None] | None = None,
    options: RenderOptions | None = None,
) -> Scene:
    """Give the first set of Gaussians the pixels of a finer photo.

    A Gaussian that fills about one pixel of the photo, where the finer photo differs from the enlarged one and no two
    surfaces meet, becomes four of half its size, on its own plane, in the colours of the four pixels. Renders add a
    blur of `eps2d` pixels; the finer camera's are smaller, so what is not divided takes the difference into its own
    size. Then all take some steps of `refine`: renders of the photo's camera towards the finer photo, those of other
    cameras, averaged over each pixel of an imagined frame, towards that. Where two surfaces meet, the photo counts as
    the networks saw it, and at last what belongs to the farther one takes the colour that this has beside them: half
    covered pixels would hang in the air as a rim of dots.

    Args:
        scene: a static scene, refined.
        views: the source view first, at the networks' size.
        photo: [3, 2 H, 2 W] 0…1, the same picture twice as large.
        conditionings: whose cameras see ``frames``, in the frame of the scene.
        frames: [V, T, 3, H, W] the imagined clips, 0…1.
        config: how many Gaussians and steps.
        seed: of the order in which frames are taken.
        on_step: told the number of each step that is done.
        options: how the Gaussians are drawn; the ray response knows no blur, so nothing grows there.

    Returns:
        The scene with up to three more Gaussians for each that was divided, and with the finer source camera; the scene
        itself where nothing is worth dividing.

    Raises:
        ValueError: the photo is not twice as large as the source view.
    """
    config, options = config or DetailConfig(), options or RenderOptions()
    source, own = views.cameras[0].to(views.frames.rgb.device), views.frames.rgb[0]
    height, width = own.shape[-2:]
    if tuple(photo.shape) != (3, FACTOR * height, FACTOR * width):
        raise ValueError(
            f"detail: expected a photo of 3 x {FACTOR * height} x {FACTOR * width}, got {list(photo.shape)}"
        )
    enlarged = F.interpolate(own[None], scale_factor=FACTOR, mode="bicubic", align_corners=False)[0].clamp(0, 1)
    gain, smooth = photo - enlarged, ~_meeting(views.depth[0])
    gaussians = scene.gaussians[0]
    seen = _projected(gaussians, source)
    chosen = _worth_dividing(gaussians, seen, source, gain, smooth, config.most, options)
    if not len(chosen):
        return scene
    missing = options.eps2d * (1 - 1 / FACTOR**2) if options.response == "ewa" else 0.0
    others = torch.ones(len(gaussians), dtype=torch.bool, device=chosen.device)
    others[chosen] = False
    kept = _blurred(gaussians, source, missing)[others]
    children = _divided(gaussians[chosen], seen.of(chosen), source, gain)
    finer = joined(kept, *children)
    if config.steps and len(frames):
        taken = [(view, at) for view in range(len(frames)) for at in range(1, frames.shape[1])]
        pictures = pictures_of(views, 0, conditionings, frames, taken)
        pictures = pictures._replace(finer=photo, where=smooth)
        finer = fitted(finer, pictures, config.steps, 1, seed, on_step, options)
    finer = _unmixed(finer, source, own, views.depth[0], smooth)
    camera = scene.source.resized(FACTOR * height, FACTOR * width)
    return replace(scene, gaussians=(finer, *scene.gaussians[1:]), source=camera)


class _Seen(NamedTuple):
    """Where N Gaussians stand in a picture: pixels across and down, z, standard deviation in pixels."""

    u: Tensor
    v: Tensor
    z: Tensor
    deviation: Tensor

    def of(self, chosen: Tensor) -> "_Seen":
        return _Seen(*(part[chosen] for part in self))

    def within(self, camera: Cameras) -> Tensor:
        """[N] bool, whether they stand before the camera and in its picture."""
        return (self.u >= 0) & (self.u < camera.width) & (self.v >= 0) & (self.v < camera.height) & (self.z > 0)

    def cells(self, camera: Cameras) -> tuple[Tensor, Tensor]:
        """Row and column of the pixel of each, the nearest one for those beyond the picture."""
        return _cells(self.v, camera.height), _cells(self.u, camera.width)


def _projected(gaussians: Gaussians, camera: Cameras) -> _Seen:
    K = camera.K[0]
    x, y, z = transform_points(gaussians.means, invert_rigid(camera.c2w)[0]).unbind(1)
    ahead = z.clamp_min(1e-3)
    deviation = gaussians.scales.amax(dim=1) * K[0, 0] / ahead
    return _Seen(K[0, 0] * x / ahead + K[0, 2], K[1, 1] * y / ahead + K[1, 2], z, deviation)


def _meeting(depth: Tensor) -> Tensor:
    """[H, W] bool, pixels beside a step of the depth [H, W]: which surface a finer pixel shows is unknown there."""
    log = depth.log()[None, None]
    return (F.max_pool2d(log, 3, 1, 1) + F.max_pool2d(-log, 3, 1, 1))[0, 0] > _EDGE


def _unmixed(gaussians: Gaussians, camera: Cameras, rgb: Tensor, depth: Tensor, smooth: Tensor) -> Gaussians:
    """Gaussians whose colours hold nothing of a nearer surface beside which the camera sees them.

    A pixel [H, W] on the farther side of a step takes the mean of ``rgb`` [3, H, W] over the pixels around it that lie
    beside no step (``smooth``) and as far away; where there are fewer than three of them it stays as it is.
    """
    height, width = depth.shape
    log, count = depth.log(), 2 * _AROUND + 1
    farther = ~smooth & (log + F.max_pool2d(-log[None, None], 3, 1, 1)[0, 0] > _EDGE)
    maps = torch.cat([rgb, log[None], smooth[None].to(rgb)])
    around = F.unfold(F.pad(maps[None], (_AROUND,) * 4, mode="replicate"), count).unflatten(1, (5, count**2))[0]
    pure = around[4] * ((around[3] - log.flatten()).abs() < _EDGE)
    enough = pure.sum(dim=0)
    colour = ((around[:3] * pure).sum(dim=1) / enough.clamp_min(1)).unflatten(1, (height, width))
    known = farther & (enough >= 3).unflatten(0, (height, width))
    seen = _projected(gaussians, camera)
    cell = seen.cells(camera)
    there = (seen.z.clamp_min(1e-3).log() - log[cell]).abs() < _SAME_SURFACE
    taken = (seen.within(camera) & known[cell] & there)[:, None]
    return replace(gaussians, colors=torch.where(taken, colour[:, cell[0], cell[1]].mT, gaussians.colors))


def _worth_dividing(
    gaussians: Gaussians,
    seen: _Seen,
    camera: Cameras,
    gain: Tensor,
    smooth: Tensor,
    most: int,
    options: RenderOptions,
) -> Tensor:
    """Indices of at most ``most`` Gaussians, those first that stand where the finer photo shows most.

    ``gain`` [3, 2H, 2W] is what the finer photo has over the enlarged one, ``smooth`` [H, W] where one surface is seen.
    """
    shown = shown_of(gaussians, camera, replace(options, depth=False))
    energy = F.avg_pool2d(gain.square().mean(0)[None, None], 2 * FACTOR, FACTOR, FACTOR // 2)[0, 0]
    cell = seen.cells(camera)
    fitting = seen.within(camera) & smooth[cell] & (shown > _SHOWS) & (seen.deviation < _SMALL)
    value = torch.where(fitting, energy[cell] * shown, 0.0)
    order = value.sort(descending=True, stable=True).indices[:most]
    return order[value[order] > _WORTH].sort().values


def _cells(place: Tensor, size: int) -> Tensor:
    """The pixels in which places lie."""
    return place.nan_to_num(0.0).floor().long().clamp(0, size - 1)


def _blurred(gaussians: Gaussians, camera: Cameras, variance: float) -> Gaussians:
    """Gaussians larger by so many pixels squared of a camera, across the ray to each."""
    away = gaussians.means - camera.c2w[0, :3, 3]
    distance = away.norm(dim=1)
    z = (away @ camera.c2w[0, :3, 2]).maximum(0.5 * distance)
    axes = rotation_from_quaternion(gaussians.quats)
    along = (axes * (away / distance.clamp_min(1e-6)[:, None])[:, :, None]).sum(dim=1)
    added = variance * (z / camera.K[0, 0, 0]).square()[:, None] * (1 - along.square())
    return replace(gaussians, scales=(gaussians.scales.square() + added.clamp_min(0)).sqrt())


def _divided(parents: Gaussians, seen: _Seen, camera: Cameras, gain: Tensor) -> list[Gaussians]:
    """For each of the four finer pixels of a pixel, a Gaussian of half the size per parent, on the parent's plane."""
    K, c2w, (height, width) = camera.K[0], camera.c2w[0], gain.shape[-2:]
    axes = rotation_from_quaternion(parents.quats)
    thin = parents.scales.argmin(dim=1)
    normal = axes.gather(2, thin[:, None, None].expand(-1, 3, 1))[..., 0]
    steps = [(index + 0.5) / FACTOR - 0.5 for index in range(FACTOR)]
    children = []
    for down in steps:
        for across in steps:
            u, v = seen.u + across, seen.v + down
            local = torch.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], torch.ones_like(u)], dim=-1)
            ray = local @ c2w[:3, :3].mT
            facing = (ray * normal).sum(dim=-1)
            z = ((parents.means - c2w[:3, 3]) * normal).sum(dim=-1) / facing
            flat = (facing.abs() > _STEEP * ray.norm(dim=-1)) & ((z / seen.z - 1).abs() < _APART)
            z = torch.where(flat, z, seen.z)
            colour = gain[:, _cells(FACTOR * v, height), _cells(FACTOR * u, width)].mT
            children.append(
                replace(
                    parents,
                    means=c2w[:3, 3] + ray * z[:, None],
                    scales=parents.scales / FACTOR,
                    colors=(parents.colors + colour).clamp(0, 1),
                )
            )
    return children
