"""Randomness as a function of numbers: what a step draws follows from (seed, step, example), not from what came before.

So a run that goes on from a checkpoint draws what an unbroken one would, and two processes with one micro-batch each
draw what one process with two draws.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch

WORLDS_APART = 10_000_019
"""First worlds of runs whose seeds follow each other are so far apart: more than a run can film."""
STEP, REFRESH, SHARED = 1, 2, 3
"""First number of a seed by its purpose: a micro-batch, a refresh of a pool, what all processes must agree on."""


def first_world(task: int, seed: int) -> int:
    """Seed of the first world of a run: two runs of a task share their worlds if and only if they share their seed.

    Args:
        task: where the worlds of its seed 0 begin.
        seed: of the run.
    """
    return task + seed * WORLDS_APART


def mixed_seed(*numbers: int) -> int:
    """A seed of 63 bits that changes in every bit when one of ``numbers`` changes."""
    packed = struct.pack(f"<{len(numbers)}q", *numbers)
    return int.from_bytes(blake2b(packed, digest_size=8).digest(), "little") >> 1


def seed_everything(*numbers: int) -> None:
    """Seed the generators of all devices."""
    torch.manual_seed(mixed_seed(*numbers))


@contextmanager
def own_randomness(device: torch.device, *numbers: int) -> Iterator[None]:
    """Inside, what is drawn follows from ``numbers``; outside, the generators go on as if nothing had been drawn."""
    index = torch.cuda.current_device() if device.type == "cuda" and device.index is None else device.index
    with torch.random.fork_rng(devices=[index] if device.type == "cuda" else []):
        seed_everything(*numbers)
        yield
