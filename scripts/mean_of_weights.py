"""Mean of two networks of one kind, weight by weight: what was trained on, and what it was trained on from.

    python scripts/mean_of_weights.py BEFORE AFTER OUT [--share 0.5]

BEFORE and AFTER are folders that hold ``<task>/nano.safetensors``, or BEFORE a registered name. The mean keeps much of
what each of the two does well (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022); it means
something only if one began as the other. A depth network of fewer context blocks is deepened first. The card is
AFTER's, with the share.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

from lyra.hub import list_models, load_model, save_model
from lyra.hub.registry import model_class
from lyra.models.depth import DepthNet
from lyra.structures import InputError
from lyra.training.networks import load_start
from lyra.training.tasks.depth import deepened


def mean(before: nn.Module, after: nn.Module, share: float) -> nn.Module:
    """``after`` with its weights moved towards those of ``before``; ``share`` is how much of ``after`` stays.

    Raises:
        InputError: they are not of one shape.
    """
    if isinstance(before, DepthNet) and isinstance(after, DepthNet):
        before = deepened(before, after.config.context_blocks)
    old, new = before.state_dict(), after.state_dict()
    if {name: value.shape for name, value in old.items()} != {name: value.shape for name, value in new.items()}:
        raise InputError("the two networks have different shapes; give one that began as the other")
    mixed = {name: torch.lerp(old[name].float(), new[name].float(), share).to(new[name].dtype) for name in new}
    after.load_state_dict(mixed)
    return after


def main() -> None:
    """Write OUT/<task>/nano.safetensors and its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before")
    parser.add_argument("after", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of AFTER, 0 to 1")
    arguments = parser.parse_args()
    if not 0 <= arguments.share <= 1:
        raise SystemExit(f"a share lies between 0 and 1, not {arguments.share:g}")
    cards = list_models(arguments.after)
    if len(cards) != 1:
        raise SystemExit(f"{arguments.after} holds {len(cards)} networks; give the folder of one run")
    (card,) = cards
    try:
        after = load_model(card.name, weights_dir=arguments.after)
        mixed = mean(load_start(arguments.before, model_class(card.name)), after, arguments.share)
    except InputError as fault:
        raise SystemExit(str(fault)) from None
    recipe = card.recipe if isinstance(card.recipe, dict) else {"text": card.recipe}
    written = save_model(
        mixed, card.name, mixed.config, storage=card.storage, recipe={**recipe, "share": arguments.share},
        seed=card.seed, licence=card.licence, credits=card.credits, weights_dir=arguments.output,
    )  # fmt: skip
    print(written)


if __name__ == "__main__":
    main()
