import itertools
import math

import pytest
import torch

from lyra.geometry import intrinsics_from_fov, invert_rigid, reliable_mask, splat_points, trajectory_c2w, unproject
from lyra.geometry.splat import splat_points_torch
from lyra.geometry.splat_cpu import splat_points_cpu

H, W = 10, 14


def cloud(count: int = 600, channels: int = 4, cameras: int = 3, seed: int = 0):
    """Random points before, beside and behind three cameras; some without weight."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(1, count, 3, generator=generator) * torch.tensor([4.0, 3.0, 3.5]) - torch.tensor([2, 1.5, 0.4])
    values = torch.rand(1, channels, count, generator=generator)
    weights = torch.rand(1, count, generator=generator) * (torch.rand(1, count, generator=generator) > 0.2)
    w2c = invert_rigid(trajectory_c2w("left", cameras, 0.4))
    K = intrinsics_from_fov(1.1, H, W).expand(cameras, 3, 3)
    return points, values, weights, w2c, K


def oracle(points, values, weights, w2c, K, height, width, log_depth_max=None, centre=0.5):
    """Point by point, corner by corner, in Python's float64; also the total weight per pixel."""
    batch, channels = len(w2c), values.shape[1]
    total = torch.zeros(batch, channels + 2, height, width, dtype=torch.float64)
    for b in range(batch):
        p, v, w = (t[b if len(t) > 1 else 0].double() for t in (points, values, weights))
        camera = p @ w2c[b, :3, :3].double().T + w2c[b, :3, 3].double()
        depths = camera[:, 2].tolist()
        largest = max(math.log(1 + max(z, 0)) for z in depths)
        if log_depth_max is not None:
            largest = log_depth_max[b].item()
        for n, z in enumerate(depths):
            if z <= 0 or w[n] == 0:
                continue
            x = (K[b, 0].double() @ camera[n]).item() / (z + 1e-7) - centre
            y = (K[b, 1].double() @ camera[n]).item() / (z + 1e-7) - centre
            d = math.exp(min(50 * math.log(1 + z) / (largest + 1e-7), 80)) + 1e-7
            for column in (math.floor(x), math.floor(x) + 1):
                for row in (math.floor(y), math.floor(y) + 1):
                    if 0 <= column < width and 0 <= row < height:
                        share = (1 - abs(x - column)) * (1 - abs(y - row)) * w[n].item() / d
                        total[b, :channels, row, column] += share * v[:, n]
                        total[b, channels, row, column] += share * z
                        total[b, channels + 1, row, column] += share
    weight = total[:, -1]
    mean = torch.where(weight[:, None] > 0, total[:, :-1] / weight[:, None].clamp(min=1e-300), 0.0)
    return mean[:, :channels], mean[:, channels], weight > 0


IMPLEMENTATIONS = {"compiled": splat_points_cpu, "torch": splat_points_torch}


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("centre", [0.5, 0.0])
@pytest.mark.parametrize("given_maximum", [False, True])
def test_both_implementations_match_the_oracle(name, centre, given_maximum):
    inputs = cloud()
    largest = torch.tensor([1.0, 1.4, 2.0]) if given_maximum else None
    values, depth, mask = IMPLEMENTATIONS[name](*inputs, H, W, largest, centre)
    expected_values, expected_depth, expected_mask = oracle(*inputs, H, W, largest, centre)
    assert torch.equal(mask, expected_mask)
    assert 0.3 < mask.float().mean() < 1
    assert torch.allclose(values.double(), expected_values, atol=2e-3)
    assert torch.allclose(depth.double(), expected_depth, atol=2e-3)
    # few pixels hang on a sliver of a share; nearly all agree to float32 rounding
    assert (values.double() - expected_values).abs().quantile(0.98) < 5e-5


def test_a_shared_cloud_gives_what_a_copied_one_gives():
    points, values, weights, w2c, K = cloud()
    shared = splat_points(points, values, weights, w2c, K, H, W)
    expanded = splat_points(points.expand(3, -1, -1), values.expand(3, -1, -1), weights.expand(3, -1), w2c, K, H, W)
    copied = splat_points(points.repeat(3, 1, 1), values.repeat(3, 1, 1), weights.repeat(3, 1), w2c, K, H, W)
    for a, b, c in zip(shared, expanded, copied, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_the_source_camera_sees_its_own_picture():
    generator = torch.Generator().manual_seed(3)
    depth = 1 + torch.linspace(0, 0.3, W).expand(1, H, W)  # steps would let slivers of nearer neighbours in
    rgb = torch.rand(1, 3, H, W, generator=generator)
    K = intrinsics_from_fov(1.0, H, W)[None]
    eye = torch.eye(4)[None]
    points = unproject(depth, K, eye).flatten(1, 2)
    values, z, mask = splat_points(points, rgb.flatten(2), torch.ones(1, H * W), eye, K, H, W)
    assert mask.all()
    assert torch.allclose(values, rgb, atol=1e-4)
    assert torch.allclose(z, depth, atol=1e-4)


def test_near_hides_far_and_weight_zero_hides_nothing():
    points = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.5], [0.0, 0.0, -1.0]]])
    values = torch.tensor([[[0.25, 0.75, 0.9, 0.1]]])
    weights = torch.tensor([[1.0, 1.0, 0.0, 1.0]])
    K = torch.tensor([[[8.0, 0.0, 4.0], [0.0, 8.0, 3.0], [0.0, 0.0, 1.0]]])
    colour, depth, mask = splat_points(points, values, weights, torch.eye(4)[None], K, 5, 7)
    assert mask[0].nonzero().tolist() == [[2, 3], [2, 4], [3, 3], [3, 4]]
    assert colour[0, 0][mask[0]].tolist() == pytest.approx([0.25] * 4, abs=1e-6)
    assert depth[mask].tolist() == pytest.approx([1.0] * 4, abs=1e-6)
    assert colour[~mask[:, None]].abs().max() == 0
    assert depth[~mask].abs().max() == 0


def test_points_on_the_border_keep_the_share_inside():
    K = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    points = torch.tensor([[[0.2, 0.5, 1.0]]])  # 0.3 of a pixel left of the first centre
    _, _, mask = splat_points(points, torch.ones(1, 1, 1), torch.ones(1, 1), torch.eye(4)[None], K, 3, 3)
    assert mask[0].nonzero().tolist() == [[0, 0]]


def test_no_points_and_no_cover_give_holes():
    K = intrinsics_from_fov(1.0, H, W)[None]
    nothing = splat_points(torch.zeros(1, 0, 3), torch.zeros(1, 2, 0), torch.zeros(1, 0), torch.eye(4)[None], K, H, W)
    behind = splat_points(-torch.ones(1, 1, 3), torch.ones(1, 2, 1), torch.ones(1, 1), torch.eye(4)[None], K, H, W)
    for values, depth, mask in (nothing, behind):
        assert values.shape == (1, 2, H, W)
        assert not mask.any()
        assert values.abs().max() == depth.abs().max() == 0


def test_values_receive_gradients():
    points, values, weights, w2c, K = cloud(count=50)
    values.requires_grad_(True)
    colour, _, _ = splat_points(points, values, weights, w2c, K, H, W)
    colour.sum().backward()
    assert torch.isfinite(values.grad).all()
    assert values.grad.abs().max() > 0


def test_wrong_shapes_are_refused():
    points, values, weights, w2c, K = cloud()
    with pytest.raises(ValueError, match="batch of 1 or 3, got 2"):
        splat_points(points.repeat(2, 1, 1), values, weights, w2c, K, H, W)
    with pytest.raises(ValueError, match="weights"):
        splat_points(points, values, weights[:, :5], w2c, K, H, W)


def road(height: int = 64, width: int = 112):
    """What the road splats: a near square before a slanted wall, depth edges left out, cameras on a circle.

    Frames 0, 2 and 4 stand at the source, where every point falls on the centre of its pixel but for rounding.
    """
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    slant = 1 + 0.4 * columns / width + 0.1 * torch.sin(rows / 7)
    square = (rows - 30).abs().lt(14) & (columns - 50).abs().lt(20)
    depth = torch.where(square, 0.6 * slant, 1.5 * slant)[None]
    K = intrinsics_from_fov(1.0, height, width)[None]
    points = unproject(depth, K, torch.eye(4)[None]).flatten(1, 2)
    values = torch.rand(1, 4, height * width, generator=torch.Generator().manual_seed(5))
    weights = reliable_mask(depth).float().flatten(1)
    return points, values, weights, invert_rigid(trajectory_c2w("clockwise", 5, 0.5)), K.expand(5, 3, 3)


def settled_truth(inputs, height: int = 64, width: int = 112, slip: float = 1e-4, jump: float = 5e-3):
    """The splat in float64, and the pixels [B, H, W] that stay as they are when all points slip by 0.0001 pixels.

    That is ten times what float32 rounds a coordinate by. A point on the centre of its pixel gives its neighbours
    nothing, one beside it a sliver. In an empty pixel, or before points with exp(-18) of its weight, that sliver
    decides alone: there the answer jumps, and rounding chooses.
    """
    points, values, weights, w2c, K = (tensor.double() for tensor in inputs)
    truth = splat_points_torch(points, values, weights, w2c, K, height, width, None, 0.5)
    settled = torch.ones_like(truth[2])
    for right, down in itertools.product((-slip, slip), repeat=2):
        slipped = K.clone()
        slipped[:, 0, 2] += right
        slipped[:, 1, 2] += down
        colour, depth, mask = splat_points_torch(points, values, weights, w2c, slipped, height, width, None, 0.5)
        far = ((colour - truth[0]).abs().amax(dim=1) > jump) | ((depth - truth[1]).abs() > jump)
        settled &= (mask == truth[2]) & ~far
    return truth, settled


def agrees(result, truth, settled, tolerance: float = 5e-4) -> None:
    """``result`` is the truth wherever the truth is settled."""
    colour, depth, mask = (part.cpu() for part in result)
    assert torch.equal(mask[settled], truth[2][settled])
    assert ((colour - truth[0]).abs().amax(dim=1) * settled).max() < tolerance
    assert ((depth - truth[1]).abs() * settled).max() < tolerance


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_both_implementations_agree_with_float64_on_the_road(name):
    inputs = road()
    truth, settled = settled_truth(inputs)
    assert settled[[1, 3]].float().mean() > 0.99  # elsewhere than at the source hardly a point meets a centre
    assert settled.float().mean() > 0.9
    agrees(IMPLEMENTATIONS[name](*inputs, 64, 112, None, 0.5), truth, settled)


def test_without_the_depth_filter_rounding_decides():
    """Why the road filters: points at the centres of their pixels, neighbours at other depths, float64, 1e-6 pixels."""
    depth = 1 + torch.rand(1, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    K, eye = intrinsics_from_fov(1.0, H, W)[None].double(), torch.eye(4, dtype=torch.float64)[None]
    points, values = unproject(depth, K, eye).flatten(1, 2), torch.rand(1, 1, H * W, dtype=torch.float64)
    ones = torch.ones(1, H * W, dtype=torch.float64)
    there = splat_points_torch(points, values, ones, eye, K, H, W, None, 0.5)
    beside = splat_points_torch(points, values, ones, eye, K, H, W, None, 0.5 + 1e-6)
    assert (there[1] - beside[1]).abs().max() > 0.05


@pytest.mark.gpu
def test_gpu_agrees_with_float64_on_the_road_and_never_waits():
    inputs = road()
    truth, settled = settled_truth(inputs)
    moved = [tensor.cuda() for tensor in inputs]
    torch.cuda.set_sync_debug_mode("error")
    try:
        on_gpu = splat_points(*moved, 64, 112)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    agrees(on_gpu, truth, settled)
