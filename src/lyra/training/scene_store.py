"""The plug for scenes that were imagined beforehand: batches out of a store instead of the teacher."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol

from lyra.models.depth import DepthNet
from lyra.models.tokenizer import Tokenizer
from lyra.training.imagined_scenes import ImaginedScenes
from lyra.training.processes import rank_and_size
from lyra.training.recipes import DecoderStage


class SceneStore(Protocol):
    """A store of scenes, in random order without repetition."""

    def batch(self, number: int, count: int) -> ImaginedScenes:
        """``count`` scenes; which ones follows from ``number`` alone, so that a resumed run draws the same."""


def open_scene_store(
    folder: Path,
    stage: DecoderStage,
    size: tuple[int, int],
    anchor_frames: tuple[int, ...],
    tokenizer: Tokenizer,
    depth_net: DepthNet,
    seed: int,
    report: Callable[[str], None] = print,
) -> SceneStore:
    """The store as a stage needs it: so many clips of so many frames, pictures of ``size``; a share for each process.

    Raises:
        InputError: no store there, latents of another tokenizer, or no record that fits the stage.
    """
    stored_scenes = import_module("lyra.training.stored_scenes")  # needed with --store only
    store: SceneStore = stored_scenes.StoredScenes(
        folder,
        tokenizer,
        depth_net,
        anchor_frames,
        views=stage.views[1],
        frames=stage.frames,
        height=size[0],
        width=size[1],
        seed=seed,
        share=rank_and_size(),
        report=report,
    )
    return store
