"""What depth training does beside fitting worlds: it grows the network, changes sizes, and meets things in no order."""

import pytest
import torch

from lyra.models.depth import DepthConfig, DepthNet
from lyra.training.tasks.depth import deepened, resized
from lyra.training.world_feed import WorldFeed

CPU = torch.device("cpu")
SMALL = DepthConfig(width=16, context_width=24, context_blocks=1, context_heads=2, fine_width=8, refine_width=8)


def test_a_deeper_network_begins_as_the_one_it_grew_from_and_learns_everywhere():
    torch.manual_seed(0)
    small = DepthNet(SMALL)
    torch.nn.init.normal_(small.decoder.fine_output.weight, std=0.1)
    deeper = deepened(small, SMALL.context_blocks + 2)
    assert len(deeper.decoder.context.blocks) == SMALL.context_blocks + 2
    rgb = torch.rand(2, 3, 64, 96)
    for before, after in zip(vars(small(rgb)).values(), vars(deeper(rgb)).values(), strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert deepened(small, 1) is small
    optimizer = torch.optim.SGD(deeper.parameters(), lr=0.1)
    for _ in range(2):  # what stands before a layer of zeros learns from the second step on
        optimizer.zero_grad()
        deeper(rgb).log_depth.square().mean().backward()
        optimizer.step()
    new = deeper.decoder.context.blocks[-1]
    assert all(parameter.grad.abs().sum() > 0 for name, parameter in new.named_parameters() if "key" not in name)


@pytest.mark.parametrize("factor", [0.75, 1.25])
def test_another_size_keeps_what_is_true(factor):
    depth = torch.rand(2, 128, 256).add(0.5)
    sky = torch.rand(2, 128, 256) > 0.5
    rgb, smaller, cut = resized(torch.rand(2, 3, 128, 256), depth, sky, factor)
    assert rgb.shape[-2:] == smaller.shape[-2:] == cut.shape[-2:] == (int(128 * factor), int(256 * factor))
    assert set(smaller.flatten().tolist()) <= set(depth.flatten().tolist()), "depths between two surfaces"
    assert cut.float().mean() == pytest.approx(sky.float().mean().item(), abs=0.03)


def test_some_worlds_of_a_batch_are_in_no_order(few_textures):
    def feed(abstract: int) -> list[torch.Tensor]:
        return list(WorldFeed(few_textures["train"], "train", 4, 100, CPU, 0, abstract=abstract).next().starts)

    plain, mixed = feed(0), feed(1)
    assert not torch.equal(plain[0], mixed[0])
    assert all(torch.equal(a, b) for a, b in zip(plain[1:], mixed[1:], strict=True))
