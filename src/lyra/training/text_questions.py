"""Questions about a text, asked of the encoder's tokens: only training and scoring use them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lyra.worlds.attributes import (
    COLOUR_CLASSES,
    COUNT_CLASSES,
    KIND_CLASSES,
    MATERIAL_CLASSES,
    NOUN_CLASSES,
    TIME_CLASSES,
    attributes,
)
from lyra.worlds.description import Description

SCENE_QUESTIONS = {
    "kind": len(KIND_CLASSES), "material": len(MATERIAL_CLASSES), "colour": len(COLOUR_CLASSES),
    "time": len(TIME_CLASSES),
}  # fmt: skip
"""Asked once per text, with their numbers of answers."""
THING_QUESTIONS = {
    "count": len(COUNT_CLASSES), "thing_colour": len(COLOUR_CLASSES), "thing_material": len(MATERIAL_CLASSES),
}  # fmt: skip
"""Asked for every noun."""
RARE_WEIGHT = 8.0
"""Of an answer other than "none" or "unstated": most nouns are absent from most texts."""

Answers = dict[str, Tensor]
"""Name of a question to class numbers or logits: [B] or [B, nouns], logits with one axis more."""


class TextQuestions(nn.Module):
    """Every question is a learned query that attends to the tokens, as the teacher's picture cells will."""

    def __init__(self, channels: int, heads: int = 4, width: int = 128) -> None:
        super().__init__()
        self.heads = heads
        count = len(SCENE_QUESTIONS) + len(NOUN_CLASSES)
        self.queries = nn.Parameter(torch.randn(count, width) * 0.5)
        self.keys = nn.Linear(channels, width, bias=False)
        self.values = nn.Linear(channels, width)
        self.mixed = nn.Linear(2 * width, width)
        self.scene = nn.ModuleDict({name: nn.Linear(width, size) for name, size in SCENE_QUESTIONS.items()})
        self.things = nn.ModuleDict({name: nn.Linear(width, size) for name, size in THING_QUESTIONS.items()})

    def forward(self, tokens: Tensor) -> Answers:
        """Logits for tokens [B, L, channels]."""

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)

        queries = self.queries.expand(len(tokens), -1, -1)
        read = F.scaled_dot_product_attention(split(queries), split(self.keys(tokens)), split(self.values(tokens)))
        hidden = F.gelu(self.mixed(torch.cat([read.transpose(1, 2).flatten(-2), queries], dim=-1)))
        answers = {name: head(hidden[:, number]) for number, (name, head) in enumerate(self.scene.items())}
        of_things = hidden[:, len(SCENE_QUESTIONS) :]
        return answers | {name: head(of_things) for name, head in self.things.items()}


def true_answers(stated: Sequence[Description], device: torch.device) -> Answers:
    """Class numbers of what each description states."""
    facts = [attributes(description) for description in stated]
    scene = {name: [getattr(fact, name) for fact in facts] for name in SCENE_QUESTIONS}
    things = {
        "count": [fact.counts for fact in facts],
        "thing_colour": [fact.thing_colours for fact in facts],
        "thing_material": [fact.thing_materials for fact in facts],
    }
    return {name: torch.from_numpy(np.asarray(values)).to(device) for name, values in (scene | things).items()}


def answer_loss(answers: Answers, truth: Answers) -> Tensor:
    """Sum of the mean cross-entropies; answers that state something weigh `RARE_WEIGHT` in questions about things."""
    total = truth["kind"].new_zeros((), dtype=torch.float32)
    for name, labels in truth.items():
        losses = F.cross_entropy(answers[name].flatten(0, -2), labels.flatten(), reduction="none")
        if name in THING_QUESTIONS:
            weight = torch.where(labels.flatten() > 0, RARE_WEIGHT, 1.0)
            total = total + 4 * (weight * losses).sum() / weight.sum()
        else:
            total = total + losses.mean()
    return total


@dataclass(frozen=True)
class TextMarks:
    """How many questions are answered rightly, in per cent.

    Attributes:
        stated: facts that the texts state, answered exactly.
        kind, material, time, count, thing_colour: the same for one question; ``count`` asks the nouns that are named.
        invented: texts of which some noun is said to be there that is not.
    """

    stated: float
    kind: float
    material: float
    time: float
    count: float
    thing_colour: float
    invented: float


def mark(answers: Answers, truth: Answers) -> TextMarks:
    """Compare logits with class numbers; a fact counts only where the text states it."""
    right: dict[str, Tensor] = {}
    for name, labels in truth.items():
        given = answers[name].argmax(dim=-1)
        right[name] = (given == labels)[labels > 0].float()
    invented = ((answers["count"].argmax(dim=-1) > 0) & (truth["count"] == 0)).any(dim=1).float()

    def percent(hits: Tensor) -> float:
        return round(100 * float(hits.mean()), 1) if len(hits) else float("nan")

    one_each = {name: percent(right[name]) for name in ("kind", "material", "time", "count", "thing_colour")}
    return TextMarks(stated=percent(torch.cat(list(right.values()))), **one_each, invented=percent(invented))
