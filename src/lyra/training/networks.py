"""Networks that a task builds on or starts from."""

from typing import TypeVar

import torch
from torch import nn

from lyra.hub import list_models, load_model
from lyra.structures import InputError
from lyra.training.options import TrainOptions

_Network = TypeVar("_Network", bound=nn.Module)


def load_part(name: str, kind: type[_Network], options: TrainOptions, device: torch.device) -> _Network:
    """The network ``name`` out of ``options.models`` where it lies there, else the one that ships inside.

    Raises:
        InputError: ``options.models`` is no folder, or the network is absent or damaged.
    """
    folder = options.models
    if folder is not None and not folder.is_dir():
        raise InputError(f"models {folder} is not a folder; give one that holds task/name.safetensors, or leave it out")
    own = folder is not None and name in {card.name for card in list_models(folder)}
    return load_model(name, device, folder if own else None, kind=kind)
