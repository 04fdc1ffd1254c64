"""How well the probe reads renders of validation worlds, question by question."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lyra.evaluation.agreement import agreement, unseen_captions
from lyra.evaluation.probe import (
    PARTS,
    UNKNOWN,
    ProbeName,
    ProbeRecipe,
    ask,
    choose_recipe,
    film_worlds,
    load_or_train_probe,
    probe_key,
    shown_facts,
)
from lyra.evaluation.protocol import report_head, require_at_least
from lyra.pipeline import resolve_device
from lyra.worlds import Split, load_textures
from lyra.worlds.attributes import NOUN_CLASSES


@dataclass(frozen=True)
class ProbeProtocol:
    """Which renders the probe reads.

    Attributes:
        count: worlds of the validation split, with seeds 0 … ``count`` - 1; those that set its threshold have others.
        seed: of the captions.
        textures: texture pack, ``None`` for the usual places.
        device: ``auto``, ``cpu``, ``cuda``.
        workers: processes that make worlds.
        probe: which one.

    Raises:
        InputError: no worlds, or a negative number of workers.
    """

    count: int = 400
    seed: int = 0
    textures: Path | None = None
    device: str = "auto"
    workers: int = 0
    probe: ProbeName = "auto"

    def __post_init__(self) -> None:
        require_at_least(1, count=self.count)
        require_at_least(0, workers=self.workers)


def evaluate_probe(
    protocol: ProbeProtocol | None = None,
    recipe: ProbeRecipe | None = None,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train the probe, or load it, and let it read renders.

    Args:
        protocol: which renders.
        recipe: of the probe; ``None`` chooses by the device.
        progress: receives lines.

    Returns:
        ``shown``: per cent by question, over all that the worlds show, see `reading`; ``stated``: over what captions
        of these worlds state, see `lyra.evaluation.agreement`; ``nouns``: per noun, how many pictures show it, in how
        many of these it is seen, and how many of the pictures in which it is seen show it, per cent; ``seconds``: of
        loading or training the probe.
    """
    protocol = protocol or ProbeProtocol()
    device = resolve_device(protocol.device)
    recipe = recipe or choose_recipe(device, protocol.probe)
    splits: tuple[Split, ...] = ("train", "val")
    textures = {split: load_textures(protocol.textures, split) for split in splits}
    began = time.perf_counter()
    probe = load_or_train_probe(recipe, textures, device, progress, protocol.workers)
    seconds = time.perf_counter() - began
    val = textures["val"]
    renders, worlds = film_worlds(val, val.to(device), 0, protocol.count, recipe, protocol.workers)
    seen, shown = ask(probe, renders), shown_facts(worlds)
    return {
        **report_head(protocol, val),
        "recipe": {**asdict(recipe), "key": probe_key(recipe, textures)},
        "parameters": sum(parameter.numel() for parameter in probe.parameters()),
        "seconds": round(seconds, 1),
        "shown": reading(seen, shown),
        "stated": agreement(seen, [caption.stated for caption in unseen_captions(worlds, protocol.seed)]),
        "nouns": by_noun(seen["things"], shown["things"]),
    }


def reading(seen: dict[str, Tensor], shown: dict[str, Tensor]) -> dict[str, float]:
    """Per cent of what worlds show that was seen rightly, where anything is known.

    ``kind``, ``light``, and the material of each part; ``things`` that are shown and seen at all, ``counts`` in the
    right number, ``claimed``: things seen that are shown.
    """
    marks = {name: _rate(seen[name], shown[name], shown[name] != UNKNOWN) for name in ("kind", "light")}
    for place, part in enumerate(PARTS):
        there = shown["material"][:, place]
        marks[f"material of {part}"] = _rate(seen["material"][:, place], there, there != UNKNOWN)
    claims, things = seen["things"] > 0, shown["things"] > 0
    marks["things"] = _rate(claims, things, things)
    marks["counts"] = _rate(seen["things"], shown["things"], things)
    marks["claimed"] = _rate(claims, things, claims)
    return {name: value for name, value in marks.items() if value is not None}


def by_noun(seen: Tensor, shown: Tensor) -> dict[str, dict[str, float | None]]:
    """Of counts [N, nouns], for nouns that are shown or seen at all."""
    claims, things = seen > 0, shown > 0
    return {
        noun: {
            "shown": int(things[:, place].sum()),
            "seen": _rate(claims[:, place], things[:, place], things[:, place]),
            "claimed": _rate(claims[:, place], things[:, place], claims[:, place]),
        }
        for place, noun in enumerate(NOUN_CLASSES)
        if bool((things | claims)[:, place].any())
    }


def _rate(seen: Tensor, shown: Tensor, where: Tensor) -> float | None:
    """Per cent of equal values where ``where`` holds; ``None`` if it does nowhere."""
    hits = (seen == shown)[where]
    return round(100 * float(hits.to(torch.float64).mean()), 1) if len(hits) else None


def probe_table(report: dict[str, Any]) -> str:
    """The report as plain text, per cent."""
    recipe, millions = report["recipe"], report["parameters"] / 1e6
    lines = [f"probe {recipe['name']} {recipe['key']}, {millions:.2f} M parameters, {report['seconds']:.0f} s"]
    for heading, row in (("what worlds show", "shown"), ("what captions state", "stated")):
        lines.append(heading)
        lines += [f"  {name:20s} {value:6.1f}" for name, value in report[row].items()]
    return "\n".join(lines)
