"""The rows of the ablations: what is different in each, and what it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Place = Literal["true", "teacher", "photos"]
"""Where a variant is scored: on test worlds against their true views and against the teacher's frames, and on
photographs against the teacher's frames."""


@dataclass(frozen=True)
class Ablation:
    """One row of the table.

    Attributes:
        what: in words.
        base: the row it is compared with, empty for a row that others are compared with.
        network: changes the decoder's configuration.
        recipe: changes the recipe and, where a stage has that number, all its stages.
        materials: kinds of scenes that it learns from.
        pixels: reads the clips' pixels instead of their latents.
        measure: the number whose sign is compared, of the fidelity to the teacher's frames.
        paper: that number of the published decoder with and without the part, where it is known.
    """

    what: str
    base: str = "full"
    network: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] | None = None
    materials: tuple[Literal["imagined", "captured"], ...] = ("imagined",)
    pixels: bool = False
    measure: Literal["psnr_all", "lpips_all"] = "psnr_all"
    paper: tuple[float, float] | None = None


_OFFICIAL: dict[str, Any] = {
    "head": "official",
    "guides": False,
    "anchors": (),
    "hide_visible": False,
    "output_factor": (1, 4, 4),
    # The published ranges are in metres; these are for scenes of median depth 1 whose sky lies at 30.
    "distance_near": 0.05,
    "distance_far": 30.0,
    "distance_shift": -3.4,
    "scale_shift": 4.0,
}
_UNPRUNED = {"prune_ratio": 0.0, "opacity_weight": 0.0}
_APART = {"views_apart": True}
_ONE_CLIP = {"views": (1, 1)}

ABLATIONS: dict[str, Ablation] = {
    "full": Ablation("everything", base="", paper=(24.77, 24.77)),
    "no-fusion": Ablation(
        "each view decoded as a scene of its own; all Gaussians kept, as six copies of the photo do not fit the limit",
        "no-pruning", _APART, _UNPRUNED, paper=(24.77, 17.73),
    ),
    "no-fusion-pruned": Ablation("each view decoded as a scene of its own, pruned as one", network=_APART),
    "alone": Ablation(
        "learns from one clip at a time; six views decoded apart are put together when scored, all Gaussians kept",
        "no-pruning", _APART, {**_UNPRUNED, **_ONE_CLIP}, paper=(24.77, 17.73),
    ),
    "trunk-apart": Ablation("the trunk sees each view apart, the head all", network={"fuse_views": False}),
    "captured": Ablation("learns from captured clips instead", materials=("captured",), paper=(24.77, 19.08)),
    "both": Ablation("learns from imagined and captured clips", materials=("imagined", "captured")),
    "no-perceptual": Ablation(
        "without the perceptual loss", recipe={"perceptual": 0.0}, measure="lpips_all", paper=(0.224, 0.370)
    ),
    "no-depth": Ablation("without the depth loss", recipe={"depth": 0.0}, paper=(24.77, 24.31)),
    "no-pruning": Ablation("keeps all Gaussians", recipe=_UNPRUNED, paper=(24.77, 24.55)),
    "hybrid": Ablation(
        "every other block is Mamba-2; the published decoder has them, and 24.58 without",
        network={"attention_every": 2, "ssm_state": 64, "ssm_chunk": 64},
        paper=(24.58, 24.77),
    ),
    "pixels": Ablation(
        "reads pixels instead of latents; the published one ran out of memory",
        network={"latent_channels": 3, "temporal": 1, "spatial": 1, "patch": 16},
        pixels=True,
    ),
    "official": Ablation("without anchors: the published head", network=_OFFICIAL),
    "official-no-fusion": Ablation(
        "the published head, each view decoded as a scene of its own", "official", {**_OFFICIAL, **_APART},
        paper=(24.77, 17.73),
    ),
    "official-alone": Ablation(
        "the published head, from one clip at a time; six views decoded apart are put together when scored", "official",
        {**_OFFICIAL, **_APART}, _ONE_CLIP, paper=(24.77, 17.73),
    ),
    "official-captured": Ablation(
        "the published head, from captured clips", "official", _OFFICIAL, materials=("captured",), paper=(24.77, 19.08)
    ),
    "official-no-perceptual": Ablation(
        "the published head, without the perceptual loss", "official", _OFFICIAL, {"perceptual": 0.0},
        measure="lpips_all", paper=(0.224, 0.370),
    ),
}  # fmt: skip
"""All rows, by the name that ``--variants`` takes."""
