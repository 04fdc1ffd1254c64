"""One job becomes one record: the pipeline up to latents."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from lyra import __version__
from lyra.data import RecordWriter, StoreWatch
from lyra.io.images import NANO_GRID, Photo
from lyra.pipeline import Pipeline
from lyra.results import Progress
from lyra.structures import Frames, InputError, SceneRecord
from lyra.synthesis.jobs import Job, SynthesisOptions

if TYPE_CHECKING:
    from lyra.worlds import TextureSet, TextureStore


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        key: of the record.
        source: what the picture is called.
        seconds: that it took.
        size: bytes in the shard; 0 where nothing was written.
        refused: why the picture could not be used; empty if it could.
    """

    key: str
    source: str
    seconds: float = 0.0
    size: int = 0
    refused: str = ""


class RecordMaker:
    """Makes records with one loaded pipeline.

    Args:
        pipeline: its depth network, tokenizer and teacher are used.
        options: how records are made.
    """

    def __init__(self, pipeline: Pipeline, options: SynthesisOptions) -> None:
        self.pipeline, self.options = pipeline, options

    def make(self, job: Job, progress: Progress | None = None) -> SceneRecord:
        """Go the road up to latents.

        Raises:
            InputError: the picture cannot be used.
        """
        options = self.options.generate(job.seed)
        if job.prompt is not None:
            from lyra.world_pictures import WorldPainter

            self.pipeline.painter = self.pipeline.painter or WorldPainter(self.options.textures)
            imagined = self.pipeline.imagine_prompt(job.prompt, options, progress)
        else:
            picture = job.photo if job.photo is not None else self._world(job)
            imagined = self.pipeline.imagine(picture, options, progress, job.source)
        frames = None
        if self.options.rgb:
            seen = self.pipeline.imagine_frames(imagined.latents, imagined.conditionings)
            frames = (seen * 255).round().to(torch.uint8)
        meta = {
            "source": job.source,
            "seed": job.seed,
            "steps": options.steps or self.pipeline.teacher.config.steps,
            "strength": options.strength,
            "fit": options.fit,
            "lyra": __version__,
        }
        return SceneRecord(job.key, imagined.latents, imagined.views, frames, meta=meta)

    def _world(self, job: Job) -> Photo:
        """The source picture of a world, filmed; its lens is known, its depth is not given away."""
        from lyra.worlds import collate, film_source, sample_world

        assert job.world is not None
        textures, store = self._textures
        batch = collate([sample_world(job.world, "train", textures)], self.pipeline.device)
        pictures = film_source(batch, store, *NANO_GRID)
        focal = float(pictures.K[0, 0, 0]) / NANO_GRID[1]
        return Photo(Frames(pictures.rgb.clamp(0, 1)), focal, ())

    @cached_property
    def _textures(self) -> "tuple[TextureSet, TextureStore]":
        from lyra.worlds import load_textures

        textures = load_textures(self.options.textures, "train")
        return textures, textures.to(self.pipeline.device)


def make_records(
    jobs: Iterable[Job], maker: RecordMaker, writer: RecordWriter, watch: StoreWatch, progress: Progress | None = None
) -> Iterator[Outcome]:
    """Make the records of ``jobs`` and write them, leaving out those that others wrote in the meantime.

    Raises:
        InputError: the store cannot be written; what is in it stays.
    """
    for job in jobs:
        if job.key in watch:
            continue
        start = perf_counter()
        try:
            record = maker.make(job, progress)
        except InputError as fault:
            yield Outcome(job.key, job.source, perf_counter() - start, refused=str(fault))
            continue
        if job.key not in watch:
            size = writer.append(record)
            yield Outcome(job.key, job.source, perf_counter() - start, size)
