"""How much of what captions state a probe sees."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from lyra.evaluation.probe import UNKNOWN, stated_facts
from lyra.worlds.captions import CLEAN, Caption, write_caption
from lyra.worlds.description import Description


def unseen_captions(worlds: Sequence[Description], seed: int) -> list[Caption]:
    """One caption in correct English per world."""
    generator = random.Random(seed)
    return [write_caption(world, generator, CLEAN) for world in worlds]


def agreement(seen: dict[str, Tensor], stated: Sequence[Description]) -> dict[str, float]:
    """Per cent of the stated facts that were seen.

    ``kind``, ``material`` and ``light`` count the descriptions that state them. ``things``: stated things that are
    there at all; ``counts``: in the stated number. ``attributes``: all of these facts but the kind, each once.
    """
    truth = stated_facts(stated)
    hits: dict[str, Tensor] = {}
    for name in ("kind", "material", "light"):
        known = truth[name] != UNKNOWN
        hits[name] = (seen[name] == truth[name])[known].float()
    named = truth["things"] > 0
    hits["things"] = (seen["things"] > 0)[named].float()
    hits["counts"] = (seen["things"] == truth["things"])[named].float()
    hits["attributes"] = torch.cat([hits["material"], hits["light"], hits["counts"]])
    return {name: round(100 * float(values.mean()), 1) for name, values in hits.items() if len(values)}
