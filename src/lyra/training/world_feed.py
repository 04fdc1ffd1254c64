"""An endless stream of worlds, made by worker processes while the device trains."""

from collections.abc import Iterator
from functools import partial

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lyra.training.processes import rank_and_size
from lyra.worlds import ABSTRACT, Split, TextureSet, World, WorldBatch, collate, sample_world


class _WorldStream(IterableDataset[list[World]]):
    """Lists of ``count`` worlds: batch ``number`` holds those with the seeds from ``first_seed + number * count`` on.

    The first ``abstract`` worlds of every batch are of the kind ABSTRACT. Of ``size`` processes number ``rank`` makes
    every size-th batch; among its workers each makes every n-th of these.
    """

    def __init__(
        self,
        textures: TextureSet,
        split: Split,
        count: int,
        first_seed: int,
        abstract: int,
        start: int,
        rank: int,
        size: int,
    ) -> None:
        self.textures, self.split, self.count, self.first_seed = textures, split, count, first_seed
        self.abstract = abstract
        self.start, self.rank, self.size = start, rank, size

    def __iter__(self) -> Iterator[list[World]]:
        worker = get_worker_info()
        index, total = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        turn = self.start + index
        while True:
            seed = self.first_seed + (turn * self.size + self.rank) * self.count
            kinds = [ABSTRACT if j < self.abstract else None for j in range(self.count)]
            yield [sample_world(seed + j, self.split, self.textures, kind) for j, kind in enumerate(kinds)]
            turn += total


class WorldFeed:
    """Batches of new worlds on a device, one after the other; the same ones for any number of workers.

    Workers are forked at the first batch and touch neither the device nor the rasteriser.

    Args:
        textures, split: what the worlds are made of.
        count: worlds in a batch.
        first_seed: of the first world.
        device: where they are collated.
        workers: processes that make them ahead of time; 0 makes them when asked.
        shared: whether the processes that train together divide the batches; otherwise each makes all.
        abstract: how many worlds of a batch show things in no order (ABSTRACT).
    """

    def __init__(
        self,
        textures: TextureSet,
        split: Split,
        count: int,
        first_seed: int,
        device: torch.device,
        workers: int,
        shared: bool = False,
        abstract: int = 0,
    ) -> None:
        self._make = partial(_WorldStream, textures, split, count, first_seed, abstract)
        self._place = rank_and_size() if shared else (0, 1)
        self._workers = workers
        self._iterator: Iterator[list[World]] | None = None
        self.position = 0
        self.device = device

    def seek(self, position: int) -> None:
        """Go on with batch ``position``, counted from 0."""
        if position != self.position:
            self.position, self._iterator = position, None

    def next(self) -> WorldBatch:
        """``count`` worlds nobody has seen in this run."""
        if self._iterator is None:
            stream = self._make(self.position, *self._place)
            loader = DataLoader(
                stream,
                batch_size=None,
                num_workers=self._workers,
                prefetch_factor=8 if self._workers else None,
                generator=torch.Generator(),  # or the loader would draw its own seed from the generator of the step
            )
            self._iterator = iter(loader)
        self.position += 1
        return collate(next(self._iterator), self.device)
