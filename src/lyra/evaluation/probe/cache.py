"""Trained probes on disk."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lyra.evaluation.probe.asking import set_threshold
from lyra.evaluation.probe.facts import PARTS
from lyra.evaluation.probe.fitting import train_probe
from lyra.evaluation.probe.network import Probe
from lyra.evaluation.probe.pictures import film_worlds
from lyra.evaluation.probe.recipe import ProbeRecipe
from lyra.io.files import replacing
from lyra.worlds import Split, TextureSet, sample_world
from lyra.worlds.attributes import COUNT_CLASSES, KIND_CLASSES, LIGHT_CLASSES, MATERIAL_CLASSES, NOUN_CLASSES

FIRST_SEED = 1_700_000_009
CACHE_VARIABLE = "LYRA_CACHE_DIR"
"""Environment variable naming the folder for what can be made again."""
_SPLITS: tuple[Split, ...] = ("train", "val")


def probe_key(recipe: ProbeRecipe, textures: Mapping[Split, TextureSet]) -> str:
    """A short name of the recipe, the classes, and the worlds of both splits: three of each stand for all."""
    digest = hashlib.sha256(json.dumps(asdict(recipe)).encode())
    for classes in (KIND_CLASSES, MATERIAL_CLASSES, LIGHT_CLASSES, NOUN_CLASSES, COUNT_CLASSES, PARTS):
        digest.update(json.dumps(classes).encode())
    for split in _SPLITS:
        digest.update(json.dumps(textures[split].originals).encode())
        for number in range(3):
            world = sample_world(FIRST_SEED + number, split, textures[split])
            digest.update(world.primitives.tobytes() + world.light.tobytes() + repr(world.description).encode())
    return digest.hexdigest()[:16]


def probe_path(key: str) -> Path:
    """Where a trained probe is kept."""
    folder = os.environ.get(CACHE_VARIABLE) or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "lyra" / f"probe-{key}.safetensors"


def load_or_train_probe(
    recipe: ProbeRecipe,
    textures: Mapping[Split, TextureSet],
    device: torch.device,
    progress: Callable[[str], None],
    workers: int = 0,
) -> Probe:
    """The cached probe of this recipe for these worlds, or a new one, which is then cached.

    Args:
        recipe: how it is trained.
        textures: those of the splits ``train``, to learn from, and ``val``, to set the threshold.
        device: where it will be.
        progress: receives lines.
        workers: processes that make worlds; they change nothing but the time.
    """
    path = probe_path(probe_key(recipe, textures))
    if path.is_file():
        probe = Probe(recipe)
        probe.load_state_dict(load_file(path))
        return probe.to(device).eval().requires_grad_(False)
    progress(f"probe: making {recipe.worlds} worlds to train the {recipe.name} one")
    train, val = (textures[split] for split in _SPLITS)
    pictures, shown = film_worlds(train, train.to(device), FIRST_SEED, recipe.worlds, recipe, workers, progress)
    probe = train_probe(pictures, shown, recipe, progress)
    set_threshold(probe, *film_worlds(val, val.to(device), FIRST_SEED, recipe.checked, recipe, workers))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, "probe") as part:
        save_file({name: tensor.cpu().contiguous() for name, tensor in probe.state_dict().items()}, part)
    return probe
