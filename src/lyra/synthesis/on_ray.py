"""The same work on a Ray cluster; store, photos and this package must be within reach of every node."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lyra.data import RecordWriter, StoreWatch, seal_when_left
from lyra.pipeline import Pipeline
from lyra.structures import InputError
from lyra.synthesis.jobs import Job, SynthesisOptions
from lyra.synthesis.maker import Outcome, RecordMaker, make_records


def run_on_ray(
    jobs: Sequence[Job], folder: Path, options: SynthesisOptions, workers: int, address: str
) -> Iterator[Outcome]:
    """Make records with ``workers`` actors of Ray Data; each takes the next job when it is done with one.

    Args:
        jobs: what to make.
        folder: the store, on a disk that all nodes share.
        options: how.
        workers: actors; on GPUs each has one of its own.
        address: of the cluster, ``auto`` for the one this computer belongs to, ``local`` to start one here.

    Raises:
        InputError: Ray is not installed or not reachable, or the store cannot be written.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError("--ray needs the package ray; pip install 'lyra-scenes[ray]'") from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster answers at '{address}' ({error}); start one, or give --ray local") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells its plans and its progress
    ray.data.DataContext.get_current().enable_progress_bars = False
    store = folder.absolute()
    on_gpus = options.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0

    class Worker(_RayWorker):
        def __init__(self) -> None:
            super().__init__(store, options)

    writers: set[str] = set()
    try:
        made = ray.data.from_items([_row(job) for job in jobs], override_num_blocks=len(jobs)).map(
            Worker,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(jobs))),
            num_gpus=1 if on_gpus else 0,
        )
        for row in made.iter_rows():
            writers.add(row["writer"])
            if row["fault"]:
                raise InputError(row["fault"])
            if row["key"]:
                yield Outcome(row["key"], row["source"], row["seconds"], row["size"], row["refused"])
    finally:
        ray.shutdown()
        seal_when_left(folder, writers)


def _row(job: Job) -> dict[str, str | None]:
    """A job as Ray Data carries it: one type in each column."""
    return {name: None if value is None else str(value) for name, value in asdict(job).items()}


class _RayWorker:
    """An actor: loads the networks once, then makes one record after the other into one shard.

    Ray ends actors without a word, so the shard is sealed by the command itself where it runs on the same computer, and
    by the next command on that computer otherwise.
    """

    def __init__(self, folder: Path, options: SynthesisOptions) -> None:
        self.maker = RecordMaker(Pipeline.load(options.device), options)
        self.writer, self.watch = RecordWriter(folder), StoreWatch(folder)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make the record of one row; faults travel as text, Ray would wrap them in its own."""
        job = Job(
            row["key"],
            row["source"],
            int(row["seed"]),
            None if row["photo"] is None else Path(row["photo"]),
            None if row["world"] is None else int(row["world"]),
        )
        outcomes, fault = [], ""
        try:
            outcomes = list(make_records([job], self.maker, self.writer, self.watch))
        except InputError as error:
            fault = str(error)
        outcome = outcomes[0] if outcomes else Outcome("", "")
        return {**asdict(outcome), "fault": fault, "writer": self.writer.name}
