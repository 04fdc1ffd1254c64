"""Start of the linear maps of the nano tokenizer: an orthogonal frequency code instead of random projections.

With every residual branch at zero, encoder and decoder are linear. The rows of the encoder maps are cosine patterns
over the patch and Haar patterns over the merged cells, lowest frequencies first, so that the untrained net already
keeps the coarse content of a clip. Each pattern is scaled by its expected frequency, for natural pictures lose
amplitude in proportion to it; the decoder maps undo the scale.
"""

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lyra.models.tokenizer.nano import NanoTokenizer

_COLOUR = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))
_COLOUR_COST = (0.0, 3.0, 4.0)


def cosine_basis(size: int) -> Tensor:
    """Orthonormal DCT-II basis [size frequencies, size samples]."""
    k, n = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    basis = torch.cos(math.pi / size * (n + 0.5) * k) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


def _product_patterns(bases: list[Tensor], costs: list[list[float]]) -> tuple[Tensor, Tensor]:
    """All products of one pattern per axis, [patterns, samples], with the summed costs [patterns]."""
    patterns, total = torch.ones(1, 1), torch.zeros(1)
    for basis, cost in zip(bases, costs, strict=True):
        patterns = torch.kron(patterns, basis)
        total = torch.tensor([a + b for a, b in itertools.product(total.tolist(), cost)])
    return patterns, total


def _keep(patterns: Tensor, cost: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` cheapest patterns; when there are fewer, zero rows fill up."""
    order = torch.argsort(cost, stable=True)[:count]
    missing = count - len(order)
    filled = torch.cat((patterns[order], patterns.new_zeros(missing, patterns.shape[1])))
    return filled, torch.cat((cost[order], cost.new_full((missing,), float(cost.max()))))


@torch.no_grad()
def frequency_start(net: "NanoTokenizer") -> None:
    """Set the six linear maps of ``net`` to the frequency code and its inverse, in place; biases become zero."""
    patch, merge = net.config.patch, net.config.temporal_merge
    fine_width, coarse_width = net.config.widths
    cosines, frequencies = cosine_basis(patch), [2.0 * f for f in range(patch)]
    fine, fine_cost = _keep(
        *_product_patterns(
            [cosines, cosines, cosines, torch.tensor(_COLOUR)],
            [frequencies, frequencies, frequencies, list(_COLOUR_COST)],
        ),
        fine_width,
    )
    halves, half_cost = cosine_basis(2), [0.0, 1.0]
    coarse, coarse_cost = _keep(
        *_product_patterns(
            [cosine_basis(merge), halves, halves, torch.eye(fine_width)],
            [[float(f) for f in range(merge)], half_cost, half_cost, fine_cost.tolist()],
        ),
        coarse_width,
    )
    latent, _ = _keep(torch.eye(coarse_width), coarse_cost, net.config.latent_channels)

    fine_gain = (1 + fine_cost) / math.sqrt(patch**3 * 3)
    coarse_gain = (1 + coarse_cost) / math.sqrt(patch**3 * 3 * 4 * merge)
    repeated = fine_gain.repeat(4 * merge)
    maps = (
        (net.patch_in, fine * fine_gain[:, None]),
        (net.merge, coarse * coarse_gain[:, None] / repeated),
        (net.to_latent, latent),
        (net.from_latent, latent.T),
        (net.split, (coarse / coarse_gain[:, None] * repeated).T),
        (net.patch_out, (fine / fine_gain[:, None]).T),
    )
    for linear, weight in maps:
        linear.weight.copy_(weight)
        linear.bias.zero_()
