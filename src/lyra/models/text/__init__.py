"""The text encoder: prompts to tokens for the teacher's cross-attention."""

from lyra.models.text.config import TextConfig
from lyra.models.text.model import TextEncoder, UnknownWord, WordBatch
from lyra.models.text.words import check_prompt, split_words

__all__ = ["TextConfig", "TextEncoder", "UnknownWord", "WordBatch", "check_prompt", "split_words"]
