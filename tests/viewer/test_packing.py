"""What the page unpacks is what was packed, to within the steps of the format."""

import math

import numpy as np
import pytest
import torch

from lyra.raster import render
from lyra.structures import Gaussians, Scene
from lyra.viewer.packing import GROUP, pack


def unpack(data: bytes, count: int) -> Gaussians:
    """Another reading of the layout than the page's: whole columns, in the order of the description."""
    groups = math.ceil(count / GROUP)
    place = 0

    def take(kind: str, *shape: int) -> np.ndarray:
        nonlocal place
        array = np.frombuffer(data, kind, int(np.prod(shape)), place).reshape(shape)
        place += array.nbytes
        return array

    bounds = take("<f4", groups, 12).astype(np.float64)[np.arange(count) // GROUP]
    words = take("<u4", count)
    means = bounds[:, 0:3] + (bounds[:, 3:6] - bounds[:, 0:3]) * take("<u2", 3, count).T / 65535
    fine = np.cumsum(take("u1", 7, count), axis=1, dtype=np.uint8).T / 255
    assert place == len(data)
    scales = np.exp(bounds[:, 6:9] + (bounds[:, 9:12] - bounds[:, 6:9]) * fine[:, 0:3])
    kept = (np.stack([words >> shift & 1023 for shift in (0, 10, 20)], 1) / 1023 * 2 - 1) / math.sqrt(2)
    last = np.sqrt(np.maximum(0, 1 - (kept**2).sum(1)))
    quats = np.stack([np.insert(k, w, one) for k, w, one in zip(kept, words >> 30, last, strict=True)])
    columns = (means, quats, scales, fine[:, 6], fine[:, 3:6])
    return Gaussians(*(torch.from_numpy(np.ascontiguousarray(column)).float() for column in columns))


def matched(gaussians: Gaussians, other: Gaussians) -> Gaussians:
    """``other`` in the order of ``gaussians``, found by position alone."""
    return other[torch.cdist(gaussians.means.double(), other.means.double()).argmin(dim=1)]


def test_every_value_comes_back_within_its_step(scene: Scene) -> None:
    (ours,) = scene.gaussians
    data, count = pack(ours)
    assert count == len(ours)
    assert len(data) == 48 * math.ceil(count / GROUP) + 17 * count
    back = matched(ours, unpack(data, count))
    assert (back.means - ours.means).abs().max() < 1e-4
    assert (back.scales.log() - ours.scales.log()).abs().max() < 0.01
    assert (back.colors - ours.colors).abs().max() < 0.5 / 255 + 1e-6
    assert (back.opacities - ours.opacities).abs().max() < 0.5 / 255 + 1e-6
    angle = 2 * torch.acos((back.quats * ours.quats).sum(1).abs().clamp(max=1)) * 180 / math.pi
    assert angle.max() < 0.25


def test_the_picture_is_hardly_touched(scene: Scene) -> None:
    (ours,) = scene.gaussians
    before, after = render(ours, scene.source).rgb, render(unpack(*pack(ours)), scene.source).rgb
    assert -10 * torch.log10((before - after).square().mean()) > 50


def test_positions_keep_their_precision_beside_a_far_sky() -> None:
    """Groups have bounds of their own: one Gaussian at 500 does not coarsen the ones at 1."""
    count = 2000
    means = torch.rand(count, 3, generator=torch.Generator().manual_seed(3))
    means[0] = torch.tensor([0.0, -400.0, 500.0])
    upright = torch.tensor([[1.0, 0, 0, 0]]).expand(count, 4)
    ours = Gaussians(means, upright, torch.full((count, 3), 0.01), torch.ones(count), torch.rand(count, 3))
    back = unpack(*pack(ours))
    error = torch.cdist(means.double(), back.means.double()).min(dim=1).values
    assert error.quantile(0.85) < 1e-5
    assert error.max() < 0.02


@pytest.mark.parametrize("axis", range(4))
def test_half_turns_survive(axis: int) -> None:
    """Rotations whose largest component is any of the four, of either sign."""
    quats = torch.zeros(2, 4)
    quats[0, axis], quats[1, axis] = 1.0, -1.0
    one = Gaussians(torch.rand(2, 3), quats, torch.ones(2, 3), torch.ones(2), torch.rand(2, 3))
    back = unpack(*pack(one))
    assert (back.quats[:, axis] > 0.99999).all()


def test_a_rotation_without_length_is_none() -> None:
    ones = torch.ones(1, 3)
    back = unpack(*pack(Gaussians(ones, torch.zeros(1, 4), ones, torch.ones(1), ones)))
    assert back.quats[0].tolist() == pytest.approx([1, 0, 0, 0], abs=1e-3)


def test_what_cannot_be_seen_is_left_out() -> None:
    opacities = torch.tensor([0.9, 0.003, 0.0, 0.5])
    means = torch.arange(12.0).reshape(4, 3)
    faint = Gaussians(means, torch.eye(4), torch.ones(4, 3), opacities, torch.ones(4, 3))
    data, count = pack(faint)
    assert count == 2
    assert sorted(unpack(data, count).opacities.tolist()) == pytest.approx([0.5, 0.9], abs=0.002)
    assert pack(faint[1:3]) == (b"", 0)


def test_values_that_are_not_finite_are_refused() -> None:
    ones = torch.ones(1, 3)
    broken = Gaussians(ones * torch.nan, torch.eye(4)[:1], ones, torch.ones(1), ones)
    with pytest.raises(ValueError, match="means"):
        pack(broken)
