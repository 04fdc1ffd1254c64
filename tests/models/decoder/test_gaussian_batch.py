import pytest
import torch

from lyra.models.decoder import GaussianBatch


def batch_of(opacities):
    opacities = torch.tensor(opacities)
    batch, count = opacities.shape
    index = torch.arange(batch * count, dtype=torch.float32).reshape(batch, count, 1)
    return GaussianBatch(
        index.expand(-1, -1, 3), index.expand(-1, -1, 4), index.expand(-1, -1, 3), opacities, index.expand(-1, -1, 3)
    )


def test_prune_sorts_each_scene_by_falling_opacity_and_keeps_fields_together():
    pruned = batch_of([[0.1, 0.9, 0.5, 0.7], [0.8, 0.2, 0.3, 0.1]]).prune(0.5)
    assert pruned.opacities.tolist() == [pytest.approx([0.9, 0.7]), pytest.approx([0.8, 0.3])]
    for values in (pruned.means, pruned.quats, pruned.scales, pruned.colors):
        assert values[..., 0].tolist() == [[1, 3], [4, 6]]


def test_kept_count_is_cut_off_in_doubles():
    assert int(10_222_080 * (1 - 0.8)) == 2_044_415
    assert batch_of([[0.5] * 10]).prune(1 - 0.8).opacities.shape == (1, 1)  # 10 * 0.19999999999999996
    assert batch_of([[0.5] * 10]).prune(0.2).opacities.shape == (1, 2)
    with torch.device("meta"):
        shapes = [torch.empty(1, 10_222_080, n) for n in (3, 4, 3)]
        big = GaussianBatch(*shapes, torch.empty(1, 10_222_080), torch.empty(1, 10_222_080, 3))
        assert big.prune(1 - 0.8).means.shape == (1, 2_044_415, 3)


def test_gradient_flows_to_kept_gaussians_only():
    values = torch.rand(1, 4, 3, requires_grad=True)
    opacities = torch.tensor([[0.1, 0.9, 0.5, 0.7]])
    GaussianBatch(values, torch.zeros(1, 4, 4), values, opacities, values).prune(0.5).means.sum().backward()
    assert values.grad[0].sum(-1).tolist() == [0, 3, 0, 3]


def test_item_is_one_scene_with_clamped_colours():
    batch = batch_of([[0.1, 0.2], [0.3, 0.4]])
    scene = batch.item(1)
    assert scene.opacities.tolist() == pytest.approx([0.3, 0.4])
    assert scene.means[:, 0].tolist() == [2, 3] and scene.colors.max() == 1


def test_concatenate_keeps_order():
    joined = GaussianBatch.concatenate([batch_of([[0.1]]), batch_of([[0.2, 0.3]])])
    assert joined.opacities.tolist() == [pytest.approx([0.1, 0.2, 0.3])]
