"""Several processes of this computer make records at the same time, each with its own networks and its own shard."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from queue import Empty
from typing import Any

import torch

from lyra.data import RecordWriter, StoreWatch
from lyra.pipeline import Pipeline
from lyra.structures import InputError
from lyra.synthesis.jobs import Job, SynthesisOptions
from lyra.synthesis.maker import Outcome, RecordMaker, make_records

_PATIENCE = 0.5  # seconds between looks at the workers


def run_in_processes(jobs: Sequence[Job], folder: Path, options: SynthesisOptions, workers: int) -> Iterator[Outcome]:
    """Make records with ``workers`` processes; worker i takes every ``workers``-th job from i on.

    Raises:
        InputError: the store cannot be written, or a worker was killed; what is in the store stays.
    """
    context = multiprocessing.get_context("spawn")  # CUDA and forked threads do not go together
    outcomes = context.Queue()
    threads = max(1, torch.get_num_threads() // workers)
    shares = [list(jobs[index::workers]) for index in range(min(workers, len(jobs)))]
    processes = [
        context.Process(
            target=_work, args=(share, folder, options, _device(options.device, index), threads, outcomes), daemon=True
        )
        for index, share in enumerate(shares)
    ]
    for process in processes:
        process.start()
    try:
        yield from _outcomes(outcomes, processes)
    finally:
        for process in processes:
            process.terminate()
            process.join()
    codes = {process.exitcode for process in processes} - {0}
    if codes:
        raise InputError(
            f"a worker ended with exit code {codes.pop()}, perhaps for lack of memory; finished records are safe, give "
            "the same command again with fewer --workers"
        )


def _outcomes(outcomes: Any, processes: Sequence[Any]) -> Iterator[Outcome]:
    while True:
        alive = any(process.is_alive() for process in processes)  # asked first: whoever ends has told everything
        try:
            item = outcomes.get(timeout=_PATIENCE)
        except Empty:
            if not alive:
                return
            continue
        if isinstance(item, str):
            raise InputError(item)
        yield item


def _work(jobs: list[Job], folder: Path, options: SynthesisOptions, device: str, threads: int, outcomes: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle, it ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        maker = RecordMaker(Pipeline.load(device), options)
        with RecordWriter(folder) as writer:
            for outcome in make_records(jobs, maker, writer, StoreWatch(folder)):
                outcomes.put(outcome)
    except InputError as fault:
        outcomes.put(str(fault))


def _end_with_parent() -> None:
    """A killed parent takes its workers along; otherwise they would do work that the next command does again."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _device(name: str, worker: int) -> str:
    """The worker's own GPU where there are several and none was named."""
    if name not in ("auto", "cuda") or torch.cuda.device_count() < 2:
        return name
    return f"cuda:{worker % torch.cuda.device_count()}"
