"""Settings of the text encoder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TextConfig:
    """Sizes of `TextEncoder` and the words it knows.

    Attributes:
        vocabulary: the known words, separated by spaces; their order belongs to the weights.
        width: channels inside.
        blocks: transformer blocks.
        heads: attention heads of each; divides ``width``.
        mlp_ratio: hidden channels of a block over ``width``.
        tokens: how many tokens come out, whatever the length of the text.
        output: channels of each.
        ngrams: lengths of the letter groups that spell a word.
        buckets: rows of the table of letter groups; row 0 is padding.
        max_words: longest text.
    """

    vocabulary: str = ""
    width: int = 128
    blocks: int = 3
    heads: int = 4
    mlp_ratio: float = 2.0
    tokens: int = 16
    output: int = 384
    ngrams: tuple[int, ...] = (3, 4)
    buckets: int = 4096
    max_words: int = 64
