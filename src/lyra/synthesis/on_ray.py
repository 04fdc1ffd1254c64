"""The same work on a Ray cluster; store, photos and this package must be within reach of every node."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lyra.data import RecordWriter, StoreWatch
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
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = [{name: None if value is None else str(value) for name, value in asdict(job).items()} for job in jobs]
        made = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _RayWorker,
            fn_constructor_args=(str(folder.absolute()), options),
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(jobs))),
            num_gpus=1 if options.device != "cpu" and torch.cuda.is_available() else 0,
        )
        for row in made.iter_rows():
            if row["fault"]:
                raise InputError(row["fault"])
            if row["key"]:
                yield Outcome(row["key"], row["source"], row["seconds"], row["size"], row["refused"])
    finally:
        ray.shutdown()


class _RayWorker:
    """An actor: loads the networks once, then makes one record after the other into one shard.

    Ray ends actors without a word, so the shard is sealed by the command itself where it runs on the same computer, and
    by the next command on that computer otherwise.
    """

    def __init__(self, folder: str, options: SynthesisOptions) -> None:
        self.maker = RecordMaker(Pipeline.load(options.device), options)
        self.writer, self.watch = RecordWriter(Path(folder)), StoreWatch(Path(folder))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make the record of one row; faults travel as text, Ray would wrap them in its own."""
        photo, world = row["photo"], row["world"]
        job = Job(
            row["key"],
            row["source"],
            int(row["seed"]),
            None if photo is None else Path(photo),
            None if world is None else int(world),
        )
        try:
            outcomes = list(make_records([job], self.maker, self.writer, self.watch))
        except InputError as fault:
            return {**asdict(Outcome("", "")), "fault": str(fault)}
        return {**asdict(outcomes[0] if outcomes else Outcome("", "")), "fault": ""}
