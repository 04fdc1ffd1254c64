"""What belongs to one set of weights: which road they go, sizes, paths, and how their Gaussians are drawn."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lyra.geometry.point_cache import CacheConfig
from lyra.geometry.trajectories import OFFICIAL_TRAJECTORIES
from lyra.hub import config_from_dict
from lyra.hub.model_folder import read_description
from lyra.io.images import NANO_GRID
from lyra.raster import RenderOptions
from lyra.stages import DetailConfig, RecolorConfig, RefineConfig, ThinConfig
from lyra.stages.detail import CHILDREN
from lyra.structures import InputError

_SIX = tuple(spec.name for spec in OFFICIAL_TRAJECTORIES)


@dataclass(frozen=True)
class Preset:
    """Sizes and choices that weights were trained for; the defaults are those of the embedded ones.

    Attributes:
        name: what messages call it.
        road: ``nano``: anchored Gaussians, pooled masks; ``published``: GEN3C's sampler and Lyra-1's decoder.
        frames: T of a clip.
        height, width: of the pictures.
        turns: whether portrait photos use the grid turned by a quarter.
        trajectories: the camera paths that were trained, in the order in which the decoder wants its views.
        depth_reduction: the depth network sees the picture this many times smaller.
        render: how the Gaussians are drawn.
        cover: whether gaps between the decoder's Gaussians are covered with what the teacher imagined there.
        refine: steps of refinement, where the caller names none.
        recolor: rounds of recolouring, where the caller names none and nothing is refined.
        detail: Gaussians that are divided for a finer photo, where the caller names no number.
        cache: of the published road.
        fps: of the clips.
        keep: frames of every clip that stay on the result, None for all.
        decoder: folder of the decoder in a model folder.
    """

    name: str = "nano"
    road: Literal["nano", "published"] = "nano"
    frames: int = 17
    height: int = NANO_GRID[0]
    width: int = NANO_GRID[1]
    turns: bool = True
    trajectories: tuple[str, ...] = _SIX
    depth_reduction: int = 1
    render: RenderOptions = field(default_factory=RenderOptions)
    cover: bool = True
    refine: int = RefineConfig().steps
    recolor: int = RecolorConfig().rounds
    detail: int = DetailConfig().most
    cache: CacheConfig = field(default_factory=CacheConfig)
    fps: float = 16.0
    keep: tuple[int, ...] | None = None
    decoder: str = "decoder-static"

    def __post_init__(self) -> None:
        if self.keep is not None and not all(0 <= frame < self.frames for frame in self.keep):
            raise ValueError(f"Preset: kept frames {self.keep} are not all among {self.frames}")

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Height and width of the pictures for a photo of ``width`` x ``height``."""
        if self.turns and height > width:
            return self.width, self.height
        return self.height, self.width

    def settling(self, refine: int | None, recolor: int | None) -> tuple[int, int]:
        """Steps of refinement, and rounds of recolouring before it: as asked for, else what belongs to these weights.

        What is refined needs no recolouring, so there is none then unless somebody asks for it.
        """
        steps = self.refine if refine is None else refine
        return steps, (0 if steps else self.recolor) if recolor is None else recolor

    @property
    def most_gaussians(self) -> int:
        """What a scene is thinned to where the caller names no number; published weights prune by themselves."""
        return ThinConfig().most if self.road == "nano" else 0

    def divisible(self, detail: int | None, gaussians: int | None, count: int) -> int:
        """Gaussians of ``count`` to divide into four: as asked for, else what belongs to these weights.

        Whoever names the most Gaussians that a scene may have gets no more of them by this.
        """
        most = self.detail if detail is None else detail
        return min(most, max(0, gaussians - count) // (CHILDREN - 1)) if gaussians else most

    @property
    def kept(self) -> tuple[int, ...]:
        """Frames of every clip that stay on the result."""
        return tuple(range(self.frames)) if self.keep is None else self.keep


def nano() -> Preset:
    """The networks that ship inside."""
    return Preset()


def published(decoder: Literal["static", "dynamic"] = "static") -> Preset:
    """The released checkpoints: 121 frames of 704 x 1280, the spiral as first view, rays through every pixel.

    Of a clip only the first, middle and last frame are kept: all six would fill 16 GB.
    """
    first = _SIX[-1:]
    return Preset(
        name=f"published-{decoder}",
        road="published",
        frames=121,
        height=704,
        width=1280,
        turns=False,
        trajectories=(*first, *_SIX[:-1]),
        depth_reduction=2,
        render=RenderOptions(response="ray", background=(1.0, 1.0, 1.0), near=0.1, far=500.0),
        cover=False,
        refine=0,
        recolor=0,
        detail=0,
        fps=24.0,
        keep=(0, 60, 120),
        decoder=f"decoder-{decoder}",
    )


def toy(decoder: Literal["static", "dynamic"] = "static") -> Preset:
    """The published road at the smallest size: 17 frames of 64 x 96."""
    return replace(published(decoder), name=f"toy-{decoder}", frames=17, height=64, width=96, keep=(0, 8, 16))


def preset_of(folder: Path) -> Preset:
    """The preset of a model folder.

    Raises:
        InputError: not a model folder, or its description holds no preset that fits.
    """
    description = read_description(folder)
    if "preset" not in description:
        raise InputError(f"{folder}: the description has no preset; import the checkpoints again")
    return config_from_dict(Preset, description["preset"], f"{folder}: preset")
