"""An endless stream of worlds, made by worker processes while the device trains."""

from collections.abc import Iterator
from typing import cast

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lyra.worlds import Split, TextureSet, World, WorldBatch, collate, sample_world


class _WorldStream(IterableDataset[list[World]]):
    """Lists of ``count`` worlds; worker ``i`` of ``n`` takes every n-th seed from ``first_seed + i`` on."""

    def __init__(self, textures: TextureSet, split: Split, count: int, first_seed: int) -> None:
        self.textures, self.split, self.count, self.first_seed = textures, split, count, first_seed

    def __iter__(self) -> Iterator[list[World]]:
        worker = get_worker_info()
        index, total = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        seed = self.first_seed + index
        while True:
            worlds = []
            for _ in range(self.count):
                worlds.append(sample_world(seed, self.split, self.textures))
                seed += total
            yield worlds


class WorldFeed:
    """Batches of new worlds on a device.

    Workers are forked and touch neither the device nor the rasteriser.
    """

    def __init__(
        self, textures: TextureSet, split: Split, count: int, first_seed: int, device: torch.device, workers: int
    ) -> None:
        stream = _WorldStream(textures, split, count, first_seed)
        loader = DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=8 if workers else None)
        self._iterator = iter(loader)
        self.device = device

    def next(self) -> WorldBatch:
        """``count`` worlds nobody has seen in this run."""
        return collate(cast(list[World], next(self._iterator)), self.device)
