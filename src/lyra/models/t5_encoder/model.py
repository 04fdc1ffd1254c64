"""T5's encoder by transformers: words become the hidden states that the published teacher reads."""

from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

import torch
from safetensors import SafetensorError
from torch import Tensor

from lyra.structures import InputError

CONFIG = "config.json"
_DAMAGED = (SafetensorError, UnpicklingError)
TOKENS = 512
"""What the published programme cuts prompts to."""


class T5Encoder:
    """Turns prompts into embeddings.

    Args:
        network: a ``T5EncoderModel`` of transformers.
        tokenizer: its tokenizer.
    """

    def __init__(self, network: Any, tokenizer: Any) -> None:
        self.network, self.tokenizer = network, tokenizer

    @classmethod
    def load(cls, folder: Path, device: torch.device, dtype: torch.dtype = torch.bfloat16) -> Self:
        """Load the encoder of a T5 folder (published: T5-11B); its decoder stays on the disk, no code of it is run.

        Args:
            folder: configuration, tokenizer and weights as transformers writes them.
            device: where it computes.
            dtype: of the weights, published: bfloat16.

        Raises:
            InputError: no such folder, not a T5, or transformers is not installed.
        """
        require_t5_encoder(folder)
        import transformers

        transformers.utils.logging.disable_progress_bar()
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            network = transformers.T5EncoderModel.from_pretrained(folder, dtype=dtype, local_files_only=True)
        except (
            OSError,
            ValueError,
            ImportError,
            AttributeError,
            TypeError,
            KeyError,
            RuntimeError,
            *_DAMAGED,
        ) as fault:
            reason = " ".join(str(fault).split())[:200]
            raise InputError(f"text encoder {folder} cannot be loaded ({reason}); copy the folder again") from fault
        return cls(network.to(device).eval(), tokenizer)

    @torch.no_grad()
    def embed(self, prompt: str) -> Tensor:
        """Hidden states [L, D] of a prompt, on the CPU, its end mark included; L is at most `TOKENS`.

        The published programme fills up to `TOKENS` with padding that is masked inside the encoder, and sets the states
        of the padding to zero; so no padding is needed here, and the reader adds the zeros.
        """
        found = self.tokenizer([prompt], return_tensors="pt", truncation=True, max_length=TOKENS)
        tokens = found["input_ids"].to(self.network.device)
        states: Tensor = self.network(input_ids=tokens).last_hidden_state[0]
        return states.cpu()


def require_t5_encoder(folder: Path) -> None:
    """Refuse what cannot be a folder of T5, without loading it.

    Raises:
        InputError: no such folder, no configuration in it, or transformers is not installed.
    """
    if not folder.is_dir():
        raise InputError(f"text encoder {folder} is not a folder; give the one that holds T5-11B")
    if not (folder / CONFIG).is_file():
        raise InputError(f"text encoder {folder} has no {CONFIG}; give the folder of a whole T5")
    if find_spec("transformers") is None:
        raise InputError("a text encoder needs the package transformers; pip install 'lyra-scenes[official]'")
