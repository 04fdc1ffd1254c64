"""Train the text encoder from captions alone: answer questions about them, and read paraphrases alike."""

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lyra.hub import save_model
from lyra.models.text import TextConfig, TextEncoder, WordBatch
from lyra.training.caption_reader import seeded_random
from lyra.training.caption_stream import CaptionStream, world_descriptions
from lyra.training.credits import LICENCE
from lyra.training.networks import load_start
from lyra.training.options import TrainOptions
from lyra.training.recipes import find_recipe
from lyra.training.task import Task
from lyra.training.text_questions import Answers, TextQuestions, answer_loss, mark, true_answers
from lyra.worlds import load_textures
from lyra.worlds.captions import (
    HELD_OUT,
    HELD_OUT_MISSPELT,
    TRAINING,
    Caption,
    CaptionStyle,
    known_words,
    rephrase,
    write_caption,
)

FIRST_SEED = 700_000_001
TEMPERATURE = 0.1
LIKENESS_WEIGHT = 1.0
"""Reached after a third of the run: at the beginning, tokens that say nothing would be the easiest alike ones."""
CONTRAST_WEIGHT = 0.3
TEST_CAPTIONS = 500
CREDITS = ("trained on captions written by this package; no text of others",)


class TextReader(nn.Module):
    """The encoder and the questions it is taught by."""

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.config = encoder.config
        self.encoder = encoder
        self.questions = TextQuestions(encoder.config.output)

    def forward(self, words: WordBatch) -> tuple[Tensor, Answers]:
        """Tokens [B, L, D] and logits."""
        tokens = self.encoder(words)
        return tokens, self.questions(tokens)


class TextTask(Task):
    """Two captions of the same facts per example; half of the facts are mixtures of several worlds."""

    def __init__(self, options: TrainOptions, device: torch.device) -> None:
        self.options, self.device = options, device
        recipe = find_recipe("text", options.recipe, options.from_stage)
        self.follow(recipe, options)
        catalogue = load_textures(options.textures, "train").catalogue
        self.stream = CaptionStream(world_descriptions(catalogue, "train", FIRST_SEED, options.pool or recipe.pool))
        if options.init:
            encoder = load_start(options.init, TextEncoder)
        else:
            encoder = TextEncoder(TextConfig(vocabulary=" ".join(known_words())))
        self.model = encoder
        self.reader = TextReader(encoder).to(device).train()
        self.network: nn.Module = self.reader
        self.wrapped: nn.Module = self.reader
        if options.compile:
            self.model.compile()

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Questions about both captions, likeness of their tokens, and unlikeness to the others'."""
        generator = seeded_random()
        first = [write_caption(self.stream.draw(generator), generator, TRAINING) for _ in range(self.batch)]
        second = [rephrase(caption.stated, generator, TRAINING) for caption in first]
        texts = [caption.text for caption in (*first, *second)]
        tokens, answers = self.wrapped(self.model.read(texts))
        truth = true_answers([caption.stated for caption in first], self.device)
        asked = answer_loss(answers, {name: torch.cat([labels, labels]) for name, labels in truth.items()})
        one, two = tokens.chunk(2)
        likeness = (one - two).square().mean()
        contrast = contrastive_loss(one.mean(dim=1), two.mean(dim=1))
        loss = asked + LIKENESS_WEIGHT * min(1.0, 3 * progress) * likeness + CONTRAST_WEIGHT * contrast
        return loss, {"questions": asked, "likeness": likeness, "contrast": contrast}

    def pictures(self) -> Tensor | None:
        """There is nothing to see."""
        return None

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """Marks on worlds, templates and distractors that training never saw, in per cent.

        ``shuffled``: the answers to one caption compared with the facts of another. ``misspelt``: every second word
        with a typing error. ``paraphrase`` and ``stranger``: mean cosine of the tokens of two captions of the same
        facts, and of different facts, times 100.
        """
        generator = random.Random(1)
        catalogue = load_textures(self.options.textures, "test").catalogue
        descriptions = world_descriptions(catalogue, "test", 0, TEST_CAPTIONS)
        captions = [write_caption(description, generator, HELD_OUT) for description in descriptions]
        stated = [caption.stated for caption in captions]
        truth = true_answers(stated, self.device)
        self.reader.eval()
        tokens, answers = self.reader(self.model.read([caption.text for caption in captions]))
        plain = mark(answers, truth)
        shuffled = mark({name: logits.roll(1, 0) for name, logits in answers.items()}, truth)
        wrong = self._answers(stated, generator, HELD_OUT_MISSPELT)[1]
        misspelt = mark(wrong, truth)
        again = self._answers(stated, generator, HELD_OUT)[0]
        self.reader.train()
        same = F.cosine_similarity(tokens, again, dim=-1).mean()
        other = F.cosine_similarity(tokens, again.roll(1, 0), dim=-1).mean()
        return {
            **vars(plain),
            "shuffled": shuffled.stated,
            "misspelt": misspelt.stated,
            "misspelt_kind": misspelt.kind,
            "paraphrase": round(100 * float(same), 1),
            "stranger": round(100 * float(other), 1),
        }

    def _answers(self, stated: list[Any], generator: random.Random, style: CaptionStyle) -> tuple[Tensor, Answers]:
        again: list[Caption] = [rephrase(facts, generator, style) for facts in stated]
        tokens, answers = self.reader(self.model.read([caption.text for caption in again]))
        return tokens, answers

    def pack(self, folder: Path, recipe: dict[str, Any], scores: dict[str, float]) -> Path:
        """Store the encoder in int8; the questions stay behind."""
        return save_model(
            self.model, "text/nano", self.model.config, storage="int8", recipe=recipe,
            seed=self.options.seed, scores=scores, licence=LICENCE, credits=CREDITS, weights_dir=folder,
        )  # fmt: skip


def contrastive_loss(first: Tensor, second: Tensor) -> Tensor:
    """InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) both ways between the rows of two [B, D] matrices."""
    first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    alike = first @ second.T / TEMPERATURE
    target = torch.arange(len(alike), device=alike.device)
    return (F.cross_entropy(alike, target) + F.cross_entropy(alike.T, target)) / 2
