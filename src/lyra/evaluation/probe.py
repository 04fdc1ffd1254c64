"""A small network that tells what a picture shows, trained on rendered worlds and on nothing else.

It judges pictures that were drawn for a text. Trained on CPU in minutes and kept in the cache folder under a name made
of its recipe, so that a changed recipe trains anew.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from lyra.io.files import replacing
from lyra.worlds import Split, TextureSet, TextureStore, collate, film_source, sample_world
from lyra.worlds.attributes import (
    COUNT_CLASSES,
    KIND_CLASSES,
    LIGHT_CLASSES,
    LIGHTS,
    MATERIAL_CLASSES,
    NOUN_CLASSES,
    attributes,
)
from lyra.worlds.description import Description

HEIGHT, WIDTH = 64, 112
FIRST_SEED = 1_700_000_009
CACHE_VARIABLE = "LYRA_CACHE_DIR"
"""Environment variable naming the folder for what can be made again."""
QUESTIONS = ("kind", "material", "light", "things")
UNKNOWN = -1


@dataclass(frozen=True)
class ProbeRecipe:
    """How the probe is trained; a change makes another probe.

    Attributes:
        pictures: worlds that are rendered, all of the training split.
        steps, batch, rate: of AdamW with a cosine schedule.
        seed: of the start, the batches and the changes to pictures.
        widths: channels after each halving of the picture.
        version: of this file's network and changes to pictures.
    """

    pictures: int = 3000
    steps: int = 1500
    batch: int = 48
    rate: float = 2e-3
    seed: int = 0
    widths: tuple[int, ...] = (24, 48, 96, 160)
    version: int = 1


class Probe(nn.Module):
    """Convolutions that halve the picture, mean and maximum over it, one linear map per question."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in widths:
            layers += [nn.Conv2d(inputs, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.Conv2d(width, width, 3, 1, 1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        self.body = nn.Sequential(*layers)
        sizes = {
            "kind": len(KIND_CLASSES), "material": len(MATERIAL_CLASSES), "light": len(LIGHT_CLASSES),
            "things": len(NOUN_CLASSES) * len(COUNT_CLASSES),
        }  # fmt: skip
        self.heads = nn.ModuleDict({name: nn.Linear(2 * inputs, size) for name, size in sizes.items()})

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """Logits [N, classes], for things [N, nouns, counts], of pictures [N, 3, HEIGHT, WIDTH] 0…1."""
        maps = self.body(rgb * 4 - 2)
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        answers = {name: head(pooled) for name, head in self.heads.items()}
        answers["things"] = answers["things"].unflatten(1, (len(NOUN_CLASSES), len(COUNT_CLASSES)))
        return answers


def visible_facts(descriptions: Sequence[Description]) -> dict[str, Tensor]:
    """Class numbers of each question; `UNKNOWN` where a description says nothing. Things are [N, nouns] counts."""
    facts = [attributes(description) for description in descriptions]
    light = [
        LIGHT_CLASSES.index(LIGHTS[description.time]) if description.time else UNKNOWN for description in descriptions
    ]

    def stated(values: list[int]) -> Tensor:  # class 0 of kinds and materials is "unstated"
        numbers = torch.tensor(values)
        return torch.where(numbers > 0, numbers, UNKNOWN)

    return {
        "kind": stated([fact.kind for fact in facts]),
        "material": stated([fact.material for fact in facts]),
        "light": torch.tensor(light),
        "things": torch.from_numpy(np.stack([fact.counts for fact in facts])),
    }


def render_worlds(
    textures: TextureSet, store: TextureStore, split: Split, first: int, count: int, batch: int = 16
) -> tuple[Tensor, list[Description]]:
    """Source pictures [N, 3, HEIGHT, WIDTH] uint8 of worlds of consecutive seeds, and what they show."""
    pictures, descriptions = [], []
    for start in range(first, first + count, batch):
        worlds = [sample_world(seed, split, textures) for seed in range(start, min(start + batch, first + count))]
        rgb = film_source(collate(worlds, store.device), store, HEIGHT, WIDTH).rgb.clamp(0, 1)
        pictures.append((rgb * 255).round().to(torch.uint8))
        descriptions += [world.description for world in worlds]
    return torch.cat(pictures), descriptions


def changed(rgb: Tensor) -> Tensor:
    """Pictures [N, 3, H, W] mirrored, brighter or darker, softer, noisier: what is drawn is no render."""
    count, device = len(rgb), rgb.device

    def spread(amount: float, channels: int = 1) -> Tensor:
        return torch.randn(count, channels, 1, 1, device=device) * amount

    rgb = torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.5, rgb.flip(-1), rgb)
    rgb = rgb.clamp(1e-3, 1) ** torch.exp(spread(0.15)) * torch.exp(spread(0.1) + spread(0.04, 3))
    soft = F.avg_pool2d(F.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, 1)
    rgb = rgb + torch.rand(count, 1, 1, 1, device=device) * (soft - rgb)
    return (rgb + 0.02 * torch.randn_like(rgb)).clamp(0, 1)


@torch.enable_grad()
def train_probe(
    pictures: Tensor, descriptions: Sequence[Description], recipe: ProbeRecipe, progress: Callable[[str], None]
) -> Probe:
    """Fit the probe to pictures [N, 3, HEIGHT, WIDTH] uint8 on their device; what they show should occur evenly."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        device = pictures.device
        probe = Probe(recipe.widths).to(device).train()
        truth = {name: labels.to(device) for name, labels in visible_facts(descriptions).items()}
        optimizer = torch.optim.AdamW(probe.parameters(), lr=recipe.rate, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, recipe.steps, pct_start=0.1)
        for step in range(recipe.steps):
            index = torch.randint(len(pictures), (recipe.batch,), device=device)
            answers = probe(changed(pictures[index].float() / 255))
            loss = probe_loss(answers, {name: labels[index] for name, labels in truth.items()})
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 250 == 0:
                progress(f"probe: step {step}/{recipe.steps}, loss {float(loss.detach()):.3f}")
    return probe.eval()


def probe_loss(answers: dict[str, Tensor], truth: dict[str, Tensor]) -> Tensor:
    """Sum of the mean cross-entropies over what is known; the many absent things do not drown the present ones."""
    total = answers["kind"].new_zeros(())
    for name in ("kind", "material", "light"):
        if bool((truth[name] != UNKNOWN).any()):
            total = total + F.cross_entropy(answers[name], truth[name], ignore_index=UNKNOWN)
    counts = truth["things"]
    losses = F.cross_entropy(answers["things"].flatten(0, 1), counts.flatten(), reduction="none").view_as(counts)
    present = counts > 0
    return total + losses[present].sum() / present.sum().clamp(min=1) + losses[~present].mean() * 4


def probe_key(recipe: ProbeRecipe, textures: TextureSet) -> str:
    """A short name of the recipe, the classes, and the worlds: three of them stand for all."""
    digest = hashlib.sha256(json.dumps(asdict(recipe)).encode())
    for classes in (KIND_CLASSES, MATERIAL_CLASSES, LIGHT_CLASSES, NOUN_CLASSES, COUNT_CLASSES, textures.originals):
        digest.update(json.dumps(classes).encode())
    for number in range(3):
        world = sample_world(FIRST_SEED + number, "train", textures)
        digest.update(world.primitives.tobytes() + world.light.tobytes() + repr(world.description).encode())
    return digest.hexdigest()[:16]


def probe_path(key: str) -> Path:
    """Where a trained probe is kept."""
    folder = os.environ.get(CACHE_VARIABLE) or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "lyra" / f"probe-{key}.safetensors"


def load_or_train_probe(
    recipe: ProbeRecipe, textures: TextureSet, device: torch.device, progress: Callable[[str], None]
) -> Probe:
    """The cached probe of this recipe for worlds of the training textures, or a new one, which is then cached."""
    path = probe_path(probe_key(recipe, textures))
    if path.is_file():
        probe = Probe(recipe.widths)
        probe.load_state_dict(load_file(path))
        return probe.to(device).eval()
    progress(f"probe: rendering {recipe.pictures} worlds")
    pictures, descriptions = render_worlds(textures, textures.to(device), "train", FIRST_SEED, recipe.pictures)
    probe = train_probe(pictures, descriptions, recipe, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, "probe") as part:
        save_file({name: tensor.cpu().contiguous() for name, tensor in probe.state_dict().items()}, part)
    return probe


@torch.no_grad()
def ask(probe: Probe, pictures: Tensor) -> dict[str, Tensor]:
    """Class numbers for pictures [N, 3, h, w] float 0…1 of any size: kind, material, light [N], things [N, nouns]."""
    small = F.interpolate(pictures, size=(HEIGHT, WIDTH), mode="bilinear", antialias=True, align_corners=False)
    answers = [probe(part.clamp(0, 1)) for part in small.split(64)]
    return {name: torch.cat([part[name] for part in answers]).argmax(dim=-1).cpu() for name in QUESTIONS}
