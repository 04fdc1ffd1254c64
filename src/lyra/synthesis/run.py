"""The door of synthesis: see what is left to do, do it, leave the store in order."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lyra.data import LatentSpace, Manifest, RecordWriter, StoreWatch, begin_store, summarise
from lyra.hub import list_models, load_model
from lyra.models.tokenizer import Tokenizer
from lyra.pipeline import MODELS, Pipeline
from lyra.results import Progress
from lyra.structures import InputError
from lyra.synthesis.jobs import Job, SynthesisOptions
from lyra.synthesis.maker import Outcome, RecordMaker, make_records
from lyra.synthesis.on_ray import run_on_ray
from lyra.synthesis.processes import run_in_processes

_TOKENIZER = "tokenizer/nano"
_NETWORKS = tuple(name for name in MODELS if not name.startswith("decoder/"))


class Synthesis:
    """Some jobs and the store that their records go to.

    Args:
        jobs: what is to be made.
        folder: the store; made where it is missing.
        options: how records are made.
        part: (this part, number of parts): the share of the jobs that is done here, the others are left to others.

    Attributes:
        todo: the jobs of this part whose records are not in the store.
        present: how many of this part are.

    Raises:
        InputError: the store cannot be written, is damaged, or holds latents of other networks.
    """

    def __init__(
        self, jobs: Sequence[Job], folder: Path, options: SynthesisOptions, part: tuple[int, int] = (0, 1)
    ) -> None:
        self.folder, self.options = folder, options
        mine = [job for job in jobs if job.belongs_to(*part)]
        there = set(begin_store(folder, _manifest(jobs, options)).keys())
        self.todo = [job for job in mine if job.key not in there]
        self.present = len(mine) - len(self.todo)

    def run(self, workers: int = 1, ray: str | None = None, progress: Progress | None = None) -> Iterator[Outcome]:
        """Make what is left, and leave a store in order however this ends.

        Args:
            workers: processes on this computer, or actors on the cluster.
            ray: address of a Ray cluster to work on.
            progress: told about the stages of each record, where one process does the work.

        Raises:
            InputError: the store cannot be written, or a worker was killed; what is in the store stays.
        """
        try:
            if self.todo:
                yield from self._run(workers, ray, progress)
        except BaseException:
            with suppress(InputError):  # what went wrong first is told
                summarise(self.folder)
            raise
        summarise(self.folder)

    def _run(self, workers: int, ray: str | None, progress: Progress | None) -> Iterator[Outcome]:
        if ray is not None:
            yield from run_on_ray(self.todo, self.folder, self.options, workers, ray)
        elif workers > 1:
            yield from run_in_processes(self.todo, self.folder, self.options, workers)
        else:
            maker = RecordMaker(Pipeline.load(self.options.device), self.options)
            with RecordWriter(self.folder) as writer:
                yield from make_records(self.todo, maker, writer, StoreWatch(self.folder), progress)


def _manifest(jobs: Sequence[Job], options: SynthesisOptions) -> Manifest:
    cards = {card.name: card for card in list_models() if card.name in _NETWORKS}
    licences = {f"latents, depth and pictures made with {name}: {card.licence}" for name, card in cards.items()}
    if any(job.photo is not None for job in jobs):
        licences.add("source pictures: as their owners license them")
    if any(job.world is not None for job in jobs):
        licences.add("procedural worlds: as the pictures of the texture pack are licensed")
    if any(job.prompt is not None for job in jobs):
        licences.add("first pictures of prompts: as those of the teacher, or of the texture pack if they show worlds")
    return Manifest(
        LatentSpace.of(load_model(_TOKENIZER, kind=Tokenizer)),
        options.as_record(),
        {name: {"sha256": card.sha256, "licence": card.licence} for name, card in cards.items()},
        tuple(sorted(licences)),
    )
