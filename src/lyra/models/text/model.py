"""The text encoder: words that may be misspelt in, a fixed number of tokens out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lyra.models.text.config import TextConfig
from lyra.models.text.words import check_prompt, nearest_word, ngram_rows, split_words
from lyra.nn import TransformerBlock
from lyra.structures import InputError, Text

WORD_DROPOUT = 0.3
"""In training a known word is so often known by its letters only, as if it were misspelt."""


class UnknownWord(NamedTuple):
    """A word that no training caption had, and the known word that looks most like it, if any does."""

    word: str
    nearest: str | None


@dataclass(frozen=True)
class WordBatch:
    """Words of B texts as table rows.

    Attributes:
        index: [B, W] int64, which of the U distinct words stands there.
        mask: [B, W] bool, false where a text has ended.
        vocabulary: [U] int64 row of each distinct word, 0 for an unknown one.
        ngrams: [U, G] int64 rows of its letter groups, padded with 0.
    """

    index: Tensor
    mask: Tensor
    vocabulary: Tensor
    ngrams: Tensor


class TextEncoder(nn.Module):
    """Texts to tokens: each word is the sum of its own vector and the mean vector of its letter groups.

    Learned slots read the words through self-attention and leave as tokens. So texts of any length and order give the
    same number of tokens, and texts that mean the same can give the same ones.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.known = {word: row for row, word in enumerate(config.vocabulary.split(), 1)}
        self.words = nn.Embedding(len(self.known) + 1, config.width, padding_idx=0)
        self.letters = nn.Embedding(config.buckets, config.width, padding_idx=0)
        self.places = nn.Embedding(config.max_words, config.width)
        self.slots = nn.Embedding(config.tokens, config.width)
        # word vectors are normalised after the sum, so that small ones turn fast
        for table, spread in ((self.words, 0.03), (self.letters, 0.03), (self.places, 0.1), (self.slots, 0.1)):
            nn.init.normal_(table.weight, std=spread)
        for table in (self.words, self.letters):
            nn.init.zeros_(table.weight[0])
        self.word_norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.heads, config.mlp_ratio) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.width)
        self.output = nn.Linear(config.width, config.output)

    def read(self, texts: Sequence[str]) -> WordBatch:
        """Look the words of some texts up, on the device of the weights.

        Raises:
            InputError: a text has more than ``max_words`` words.
        """
        split = [split_words(text) for text in texts]
        longest = max((len(words) for words in split), default=0)
        if longest > self.config.max_words:
            raise InputError(f"a text has {longest} words; say it in at most {self.config.max_words}")
        distinct = {word: number for number, word in enumerate(dict.fromkeys(w for words in split for w in words))}
        rows = [ngram_rows(word, self.config.ngrams, self.config.buckets) for word in distinct]
        widest = max((len(row) for row in rows), default=1)
        index = torch.zeros(len(split), max(longest, 1), dtype=torch.long)
        mask = torch.zeros(index.shape, dtype=torch.bool)
        for number, words in enumerate(split):
            index[number, : len(words)] = torch.tensor([distinct[word] for word in words], dtype=torch.long)
            mask[number, : len(words)] = True
        ngrams = torch.tensor([row + [0] * (widest - len(row)) for row in rows] or [[0]], dtype=torch.long)
        vocabulary = torch.tensor([self.known.get(word, 0) for word in distinct] or [0], dtype=torch.long)
        device = self.words.weight.device
        return WordBatch(*(part.to(device) for part in (index, mask, vocabulary, ngrams)))

    def forward(self, words: WordBatch) -> Tensor:
        """[B, tokens, output] float, each token of mean 0 and variance 1."""
        batch, length = words.index.shape
        spelt = F.embedding_bag(words.ngrams, self.letters.weight, mode="mean", padding_idx=0)
        vectors = spelt[words.index] + self.words(self._own_rows(words))
        x = self.word_norm(vectors) + self.places.weight[:length]
        x = torch.cat([self.slots.weight.expand(batch, -1, -1), x], dim=1)
        mask = F.pad(words.mask, (self.config.tokens, 0), value=True)
        for block in self.blocks:
            x = block(x, mask)
        tokens = self.output(self.norm(x[:, : self.config.tokens]))
        return F.layer_norm(tokens, tokens.shape[-1:])

    def _own_rows(self, words: WordBatch) -> Tensor:
        """[B, W] rows of the word table; in training some are taken away."""
        rows = words.vocabulary[words.index]
        if not self.training:
            return rows
        return torch.where(torch.rand(rows.shape, device=rows.device) < WORD_DROPOUT, 0, rows)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens [B, tokens, output] and mask [B, tokens] bool; a text without words gives zeros and a false mask."""
        words = self.read(texts)
        said = words.mask.any(dim=1)
        tokens = torch.where(said[:, None, None], self(words), 0.0)
        return tokens, said[:, None].expand(-1, self.config.tokens)

    def prompt(self, prompt: str) -> Text:
        """Check and encode what a user typed.

        Raises:
            InputError: empty, too long, with control characters, or without a single known word.
        """
        tidy = check_prompt(prompt, self.config.max_words)
        unknown = self.unknown_words(tidy)
        if len({*split_words(tidy)}) == len(unknown):
            words = ", ".join(word for word, _ in unknown[:5])
            raise InputError(
                f"I know none of these words: {words}; describe a scene in English, such as 'a room with two chairs'"
            )
        tokens, mask = self.encode([tidy])
        return Text(tidy, tokens[0], mask[0])

    def unknown_words(self, prompt: str) -> tuple[UnknownWord, ...]:
        """The words of ``prompt`` that are not in the vocabulary, each once, in order.

        They are still encoded by their letters, which is what makes most misspellings understood.
        """
        words = dict.fromkeys(split_words(prompt))
        return tuple(UnknownWord(word, nearest_word(word, self.known)) for word in words if word not in self.known)
