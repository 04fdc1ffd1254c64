"""Text embeddings in files: the hidden states of a text encoder for one prompt."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from lyra.hub.official.tensor_archive import TensorArchive
from lyra.io.files import replacing, require_file
from lyra.structures import InputError

KEYS = ("embedding", "prompt_embeds", "last_hidden_state", "text")


def read_text_embedding(path: Path) -> Tensor:
    """Read [L, D] float32 from ``.npy``, ``.safetensors`` or ``.pt``: one tensor, or one of the names in `KEYS`.

    Raises:
        InputError: no such file, another format, no such tensor, another shape, or numbers that are not finite.
    """
    path = require_file(path, "text embedding")
    if path.suffix == ".npy":
        try:
            found = torch.from_numpy(np.load(path, allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"text embedding {path} is not a readable .npy file; write it again") from error
    elif path.suffix in (".safetensors", ".pt", ".pth"):
        archive = TensorArchive(path)
        names = [name for name in KEYS if name in archive.tensors] or list(archive.tensors)
        if len(names) != 1:
            raise InputError(f"text embedding {path} holds {len(names)} tensors; call the right one {KEYS[0]}")
        found = archive.load(names[0])
    else:
        raise InputError(f"text embedding {path} has the suffix {path.suffix!r}; use .safetensors, .npy or .pt")
    if found.dim() == 3 and len(found) == 1:
        found = found[0]
    if found.dim() != 2 or not found.is_floating_point() or 0 in found.shape:
        raise InputError(f"text embedding {path} has shape {list(found.shape)}; expected [tokens, width] of numbers")
    if not bool(found.isfinite().all()):
        raise InputError(f"text embedding {path} has numbers that are not finite; make it again")
    return found.float()


def write_text_embedding(path: Path, embedding: Tensor, about: Mapping[str, str]) -> None:
    """Write [L, D] to a ``.safetensors`` file, which appears complete or not at all.

    Raises:
        InputError: the place cannot be written.
    """
    with replacing(path, "text embedding") as temporary:
        save_file({KEYS[0]: embedding.contiguous()}, temporary, metadata=dict(about))
