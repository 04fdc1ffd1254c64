"""A prompt as a network reads it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lyra.structures.shapes import check_shapes


@dataclass(frozen=True)
class Text:
    """One prompt and its tokens.

    Attributes:
        prompt: what was typed.
        tokens: [L, D] float, as the text encoder made them.
        mask: [L] bool, the tokens that count; none for an empty prompt.
    """

    prompt: str
    tokens: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        check_shapes("Text", tokens=(self.tokens, "L D"), mask=(self.mask, "L"))

    def to(self, device: torch.device | str) -> "Text":
        return replace(self, tokens=self.tokens.to(device), mask=self.mask.to(device))
