"""Worlds by the thousand, made by worker processes, and pictures of them."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import torch
from torch import Tensor

from lyra.evaluation.probe.recipe import ProbeRecipe
from lyra.worlds import Catalogue, Split, TextureSet, TextureStore, World, collate, film_source, sample_world
from lyra.worlds.description import Description

_CHUNK = 64
"""Worlds that are made, sent and filmed together."""
_AHEAD = 4
"""Chunks per worker that wait to be filmed."""

_catalogue: Catalogue | None = None
"""What a worker process makes worlds of; told once, when it starts."""


def stream_worlds(catalogue: Catalogue, split: Split, first: int, count: int, workers: int) -> Iterator[list[World]]:
    """Worlds of the seeds ``first`` … ``first + count - 1``, in their order and in chunks.

    Args:
        catalogue: of the split's textures.
        split: train, val or test.
        first, count: which seeds.
        workers: new processes that make them; with 0 this one does. The worlds are the same.
    """
    starts = range(first, first + count, _CHUNK)
    sizes = [min(_CHUNK, first + count - start) for start in starts]
    if not workers:
        for start, size in zip(starts, sizes, strict=True):
            yield _sample(catalogue, split, start, size)
        return
    context = multiprocessing.get_context("spawn")  # this process may hold a GPU, which a fork must not inherit
    pool = ProcessPoolExecutor(min(workers, len(starts)), context, _start_worker, (catalogue,))
    try:
        waiting: deque[Future[list[World]]] = deque()
        for start, size in zip(starts, sizes, strict=True):
            waiting.append(pool.submit(_sample_in_worker, split, start, size))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(catalogue: Catalogue) -> None:
    global _catalogue
    torch.set_num_threads(1)
    _catalogue = catalogue


def _sample_in_worker(split: Split, first: int, count: int) -> list[World]:
    assert _catalogue is not None, "a worker is told its catalogue when it starts"
    return _sample(_catalogue, split, first, count)


def _sample(catalogue: Catalogue, split: Split, first: int, count: int) -> list[World]:
    return [sample_world(seed, split, catalogue) for seed in range(first, first + count)]


def film_worlds(
    textures: TextureSet,
    store: TextureStore,
    first: int,
    count: int,
    recipe: ProbeRecipe,
    workers: int = 0,
    progress: Callable[[str], None] | None = None,
) -> tuple[Tensor, list[Description]]:
    """Source pictures [N, 3, height, width] uint8 on the store's device, and what they show.

    Args:
        textures: what worlds of its split are made of.
        store: the same on a device.
        first, count: seeds of the worlds.
        recipe: for the size of the pictures.
        workers: processes that make the worlds.
        progress: receives about ten lines.
    """
    pictures = torch.empty((count, 3, recipe.height, recipe.width), dtype=torch.uint8, device=store.device)
    descriptions: list[Description] = []
    told = 0
    for worlds in stream_worlds(textures.catalogue, textures.split, first, count, workers):
        rgb = film_source(collate(worlds, store.device), store, recipe.height, recipe.width).rgb.clamp(0, 1)
        start = len(descriptions)
        pictures[start : start + len(worlds)] = (rgb * 255).round().to(torch.uint8)
        descriptions += [world.description for world in worlds]
        if progress is not None and len(descriptions) * 10 // count > told:
            told = len(descriptions) * 10 // count
            progress(f"probe: {len(descriptions)}/{count} worlds")
    return pictures, descriptions
