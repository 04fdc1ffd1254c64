"""The probe's network: what is where, looked at once for every question."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lyra.evaluation.probe.facts import PARTS, SHAPES
from lyra.evaluation.probe.recipe import ProbeRecipe
from lyra.worlds.attributes import COUNT_CLASSES, NOUN_CLASSES

_SCENE = (("kind", 1), ("light", 1), ("material", len(PARTS)))
"""Questions about the scene, and the glances each of them takes."""
_ABSENT = 4.0
"""How sure of "none" a probe starts."""


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs))


class _Residual(nn.Module):
    """x + two convolutions of x; starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(width, width), _convolution(width, width)
        norm = self.second[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class Probe(nn.Module):
    """Residual convolutions, then one glance (a softmax over places) per noun and per question about the scene.

    The last halving gives the context, the one before it, with the context added, the places: small things are seen
    there. A noun's counts are read from its glance, from the context, and from a map of evidence: its highest value
    says whether there is any, its sum how much.
    """

    threshold: Tensor
    """How much higher than "none" the best count of a thing must be to count as seen; set on validation worlds."""

    def __init__(self, recipe: ProbeRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        stages: list[nn.Module] = []
        inputs = 3
        for number, (width, blocks) in enumerate(zip(recipe.widths, recipe.blocks, strict=True)):
            down = (
                [nn.PixelUnshuffle(2), _convolution(4 * inputs, width)]
                if number == 0
                else [_convolution(inputs, width, stride=2)]
            )
            stages.append(nn.Sequential(*down, nn.ReLU(), *(_Residual(width) for _ in range(blocks))))
            inputs = width
        *rest, last = stages
        fine, coarse = recipe.widths[-2:]
        nouns, counts = len(NOUN_CLASSES), len(COUNT_CLASSES)
        self.body, self.context = nn.Sequential(*rest), last
        self.lift = _convolution(coarse, fine, 1)
        self.mix = _convolution(fine, fine)
        self.glances = nn.Conv2d(fine, nouns + sum(number for _, number in _SCENE), 1)
        self.evidence = nn.Conv2d(fine, nouns, 1)
        self.whole = nn.Sequential(nn.Linear(2 * coarse, coarse), nn.ReLU(), nn.Dropout(0.1))
        self.scene = nn.ModuleDict(
            {name: nn.Linear(number * fine + coarse, SHAPES[name][-1] * number) for name, number in _SCENE}
        )
        self.things_context = nn.Linear(coarse, nouns * counts)
        self.things_glance = nn.Parameter(torch.randn(nouns, fine, counts) * 0.1 * fine**-0.5)
        self.things_evidence = nn.Parameter(torch.randn(nouns, 2, counts) * 0.1)
        with torch.no_grad():  # most things are not there
            self.things_context.bias.unflatten(0, (nouns, counts))[:, 0] += _ABSENT
        self.register_buffer("threshold", torch.zeros(()))

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """Logits [N, *SHAPES[question]] of pictures [N, 3, height, width] 0…1."""
        maps = self.body(rgb * 4 - 2)
        context = self.context(maps)
        lifted = F.interpolate(self.lift(context), scale_factor=2.0, mode="nearest")
        maps = F.relu(self.mix(F.relu(maps + lifted)))
        whole = self.whole(torch.cat([context.mean(dim=(2, 3)), context.amax(dim=(2, 3))], dim=1))
        share = self.glances(maps).flatten(2).softmax(dim=-1)  # [N, glances, places]
        seen = torch.einsum("ngp,ncp->ngc", share, maps.flatten(2).to(share.dtype))
        answers: dict[str, Tensor] = {}
        place = len(NOUN_CLASSES)
        for name, number in _SCENE:
            view = torch.cat([seen[:, place : place + number].flatten(1), whole.to(seen.dtype)], dim=1)
            answers[name] = self.scene[name](view).float().unflatten(1, SHAPES[name])
            place += number
        evidence = self.evidence(maps).float().flatten(2)
        read = torch.stack([evidence.amax(dim=-1), F.softplus(evidence).sum(dim=-1).log1p()], dim=-1)
        things = torch.einsum("nkc,kca->nka", seen[:, : len(NOUN_CLASSES)], self.things_glance.to(seen.dtype)).float()
        things = things + torch.einsum("nkr,kra->nka", read, self.things_evidence).float()
        answers["things"] = things + self.things_context(whole).float().unflatten(1, SHAPES["things"])
        return answers
