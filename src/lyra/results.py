"""What is asked of the road from a picture to a scene, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch.nn import functional as F

from lyra.io.images import Photo
from lyra.models.text import TextEncoder, UnknownWord
from lyra.preset import Preset, nano
from lyra.raster import RenderOptions, render
from lyra.stages import Candidate, DetailConfig, RecolorConfig, RefineConfig, ThinConfig
from lyra.structures import Cameras, Conditioning, InputError, Latents, Rendering, Scene, Text, Views


@dataclass(frozen=True)
class GenerateOptions:
    """What a caller may choose.

    Attributes:
        seed: of the movement distances and the teacher's noise.
        steps: denoising steps, ``None`` for the teacher's own number.
        trajectories: subset of the six names, ``None`` for all.
        strength: factor on every movement distance.
        fov: horizontal field of view of the photo in degrees; else EXIF, else estimated.
        depth: file with z depth of the photo, instead of the network's.
        cameras: file with one camera path to imagine in place of the named trajectories.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        fit: ``crop`` or ``pad``, how the photo is brought to the model's shape.
        refine: steps that fit the scene to the photo and the clips, `lyra.stages.refine`; 0 keeps what the decoder
            said, ``None`` takes the number that belongs to the networks.
        recolor: rounds that move the scene's colours towards the photo, before it is refined; ``None`` takes none then,
            and else the number that belongs to the networks.
        detail: Gaussians that are divided into four, where the photo is finer than the networks' picture, and settled
            on it, `lyra.stages.detail`; 0 for none, ``None`` takes the number that belongs to the networks.
        gaussians: what the scene is thinned to, `lyra.stages.ThinConfig`; 0 keeps all, ``None`` takes the number that
            belongs to the networks.
        prompt: what the scene shows: its first picture where there is no photo, and what the photo does not show.
        negative: what it should not show.
        guidance: how far to follow the prompt, `lyra.diffusion.guide`: in the first picture (``None`` for
            `lyra.stages.illustrate.GUIDANCE`), or, with a photo, in its surroundings (``None`` for 1).
        candidates: first pictures to draw, with the seeds from ``seed`` on.
        choose: number of the one to go on with, from 1; ``None`` for the one whose agreement is best.
        image_model: folder of a diffusers text-to-image pipeline that draws the first picture.
        exact: compute in float32 where bfloat16 is faster: on GPUs, and processors that multiply it in hardware.
    """

    seed: int = 0
    steps: int | None = None
    trajectories: tuple[str, ...] | None = None
    strength: float = 1.0
    fov: float | None = None
    depth: Path | None = None
    cameras: Path | None = None
    device: str = "auto"
    fit: Literal["crop", "pad"] = "crop"
    refine: int | None = None
    recolor: int | None = None
    detail: int | None = None
    gaussians: int | None = None
    prompt: str | None = None
    negative: str | None = None
    guidance: float | None = None
    candidates: int = 1
    choose: int | None = None
    image_model: Path | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        if self.prompt is None and not (self.negative is self.guidance is self.image_model is None):
            raise InputError("a negative prompt, guidance and an image model belong to a prompt; give one")
        if self.guidance is not None and not 0 <= self.guidance <= 30:
            raise InputError(f"guidance {self.guidance:g} is outside 0…30; 1 follows the prompt without exaggeration")
        if not 1 <= self.candidates <= 64:
            raise InputError(f"{self.candidates} candidates are outside 1…64; give a number in between")
        if self.choose is not None and not 1 <= self.choose <= self.candidates:
            raise InputError(f"choice {self.choose} is outside 1…{self.candidates}, the candidates; give one, or best")
        if self.steps is not None and not 1 <= self.steps <= 200:
            raise InputError(f"steps {self.steps} is outside 1…200; leave it out for the network's own number")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed {self.seed} is outside 0…{2**31 - 1}; give a whole number in between")
        RefineConfig(self.refine or 0)
        RecolorConfig(self.recolor or 0)
        DetailConfig(self.detail or 0)
        ThinConfig(self.gaussians or 0)
        if self.fit not in ("crop", "pad"):
            raise InputError(f"fit '{self.fit}' is unknown; choose crop or pad")
        if self.cameras is not None and self.trajectories is not None:
            raise InputError("give either named trajectories or a camera file, not both")


@dataclass(frozen=True)
class StageReport:
    """One finished (or, with ``seconds`` None, starting or progressing) stage."""

    name: str
    seconds: float | None = None
    peak_mib: float | None = None
    detail: str = ""


Progress = Callable[[StageReport], None]


@dataclass(frozen=True)
class Wording:
    """What was said about a scene.

    Attributes:
        text: the prompt.
        negative: what should not be there, ``None`` for nothing.
        guidance: how far the prompt was followed.
        never_seen: words outside the text encoder's vocabulary, with its guesses.
    """

    text: Text
    negative: Text | None
    guidance: float
    never_seen: tuple[UnknownWord, ...]


@dataclass(frozen=True)
class FirstPicture:
    """Where the first picture of a prompt comes from.

    Attributes:
        candidates: what was drawn.
        chosen: index of the one the scene was made of.
        source: what drew them, and under which licence.
        notes: what else is known of each candidate, for the record; empty if nothing is. ``missing`` lists what was
            understood and is not in the picture.
        fov: horizontal field of view of the chosen one in degrees, ``None`` where that has to be estimated.
    """

    candidates: tuple[Candidate, ...]
    chosen: int
    source: dict[str, str]
    notes: tuple[dict[str, Any], ...] = ()
    fov: float | None = None


Painter = Callable[[Wording, GenerateOptions, tuple[int, int], TextEncoder], FirstPicture]
"""Draws first pictures [3, H, W] of (H, W) pixels where neither the teacher can nor an image model is named."""


@dataclass(frozen=True)
class Imagined:
    """The road up to latents: what a store keeps, and all that the rest of the road needs.

    Attributes:
        name: what the picture is called.
        photo: what was read, with notices for the user.
        views: the fitted photo with depth and camera.
        conditionings: V caches seen along the trajectories.
        latents: V imagined clips.
        stages: seconds and peak memory of each stage so far.
        options: what was asked for.
        wording: what was said about the scene, where something was.
        first: where its first picture comes from, where that was not a photo.
    """

    name: str
    photo: Photo
    views: Views
    conditionings: tuple[Conditioning, ...]
    latents: Latents
    stages: tuple[StageReport, ...]
    options: GenerateOptions
    wording: Wording | None = None
    first: FirstPicture | None = None


@dataclass(frozen=True)
class Result:
    """Every station of the road.

    Attributes:
        name: file name of the photo.
        photo: what was read, with notices for the user.
        views: the fitted photo with depth and camera.
        conditionings: V caches seen along the trajectories.
        latents: V imagined clips.
        frames: [V, T, 3, H, W] the clips as pixels, 0…1.
        scene: the Gaussians, and the photo's camera at their own fineness.
        rerender: the scene at the photo's own camera, at the size of ``views``.
        stages: seconds and peak memory of each stage.
        options: what was asked for.
    """

    name: str
    photo: Photo
    views: Views
    conditionings: tuple[Conditioning, ...]
    latents: Latents
    frames: Tensor
    scene: Scene
    rerender: Rendering
    stages: tuple[StageReport, ...]
    options: GenerateOptions
    wording: Wording | None = None
    """What was said about the scene, where something was."""
    first: FirstPicture | None = None
    """Where its first picture comes from, where that was not a photo."""
    preset: Preset = field(default_factory=nano)
    """Sizes and choices that belong to the networks."""
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    """Checksum and licence of every network that took part."""
    dropped: int = 0
    """Gaussians that thinning left out, over all sets."""

    @cached_property
    def renders(self) -> tuple[Rendering, ...]:
        """The scene along the V trajectories, [T] pictures each; made when they are asked for."""
        return tuple(self.rendered(view, slice(None)) for view in range(len(self.conditionings)))

    def rendered(self, view: int, frames: slice | Tensor) -> Rendering:
        """The scene at the cameras of some frames of one trajectory, at the size of the clips."""
        cameras = self.conditionings[view].trajectory.cameras[frames]
        return rendered_at(self.scene, cameras, self.preset.render)


def rendered_at(scene: Scene, cameras: Cameras, options: RenderOptions) -> Rendering:
    """A scene at cameras of the networks' size: drawn as fine as it is, each pixel the mean of the finer ones."""
    finer = cameras.resized(scene.source.height, scene.source.width)
    drawn = render(scene.gaussians[0], finer, options)
    factor = finer.height // cameras.height
    if factor == 1:
        return drawn
    parts = (drawn.rgb, drawn.depth[:, None], drawn.alpha[:, None])
    rgb, depth, alpha = (F.avg_pool2d(part, factor) for part in parts)
    return Rendering(rgb, depth[:, 0], alpha[:, 0])
