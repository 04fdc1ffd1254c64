"""The 3D cache against a plain implementation of its description."""

import numpy as np
import pytest
import torch

from lyra.geometry import (
    CacheConfig,
    PointCache,
    align_inverse_depth_affine,
    align_non_rigid,
    intrinsics_from_fov,
    invert_rigid,
    look_at,
    mask_occluded_by_edges,
    reliable_mask,
    splat_points,
    trajectory_c2w,
    unproject,
)
from lyra.geometry.point_cache import see_frame_by_frame
from lyra.geometry.splat import splat_points_torch

from . import plain_cache as plain

H, W = 24, 32


def scene(seed: int = 0):
    """A slanted wall with a nearer box, no coordinate a whole number; picture 0…1, depth, pose, intrinsics."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(float(H)), torch.arange(float(W)), indexing="ij")
    depth = 2.0 + 0.008 * columns + 0.006 * rows + 0.003 * torch.rand(H, W, generator=generator)
    depth[7:17, 9:21] = 1.1 + 0.004 * rows[7:17, 9:21]
    rgb = torch.rand(3, H, W, generator=generator)
    c2w = look_at(torch.tensor([0.21, -0.13, 0.05]), torch.tensor([0.3, 0.1, 3.0]))
    K = intrinsics_from_fov(1.03, H, W) + torch.tensor([[0.0, 0, 0.137], [0, 0, 0.0913], [0, 0, 0]])
    return rgb, depth, c2w, K


def array(tensor):
    return tensor.double().numpy()


def close(ours, theirs, tolerance=1e-4):
    np.testing.assert_allclose(ours.double().numpy(), theirs, atol=tolerance, rtol=0)


def test_unprojection_at_whole_pixels():
    _, depth, c2w, K = scene()
    depth[3, 4], depth[5, 6] = 0, -2
    expected = plain.unproject(array(depth), array(K), np.linalg.inv(array(c2w)))
    close(unproject(depth, K, c2w, 0.0), expected, 1e-5)
    assert (expected[3, 4] == 0).all() and (expected[5, 6] == 0).all()


def test_point_filter_and_boundary():
    _, depth, _, _ = scene()
    depth[0, 0] = 0
    for threshold in (0.05, 0.03):
        expected = plain.reliable(array(depth), threshold)
        assert (reliable_mask(depth[None], threshold=threshold)[0].numpy() == expected).all()
        assert 0.1 < expected.mean() < 0.95


@pytest.mark.parametrize("implementation", [splat_points, splat_points_torch])
def test_forward_splat_of_a_pair_that_shares_its_largest_depth(implementation):
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(1, 900, 3, generator=generator) * torch.tensor([3.0, 2.4, 3.0]) - torch.tensor([1.5, 1.2, 0.3])
    values, weights = (
        torch.rand(1, 3, 900, generator=generator),
        (torch.rand(1, 900, generator=generator) > 0.2).float(),
    )
    w2c, K = invert_rigid(trajectory_c2w("right", 2, 0.6)), scene()[3].expand(2, 3, 3)
    deepest = max(float((points[0] @ pose[2, :3] + pose[2, 3]).max()) for pose in w2c)
    largest = torch.full((2,), float(np.log1p(deepest)))
    colour, depth, mask = implementation(points, values, weights, w2c, K, H, W, largest, 0.0, True)
    signed = array(values[0].T) * 2 - 1
    shared = (array(points[0]), signed, array(weights[0]))
    pair = plain.splat([(*shared, array(w2c[frame]), array(K[frame])) for frame in range(2)], H, W)
    for frame, (expected_colour, expected_depth, expected_mask) in enumerate(pair):
        assert (mask[frame].numpy() == expected_mask).all() and expected_mask.mean() > 0.5
        # where one sliver of a share decides, float32 is not enough: nearly all pixels, and all but for slivers
        for ours, theirs in ((colour[frame] * 2 - 1, expected_colour), (depth[frame], expected_depth)):
            error = np.abs(array(ours) - theirs)
            assert np.quantile(error, 0.99) < 1e-4 and error.max() < 2e-3
        assert (expected_colour[:, ~expected_mask] == -1).all() and (colour[frame][:, ~mask[frame]] == 0).all()


def test_points_on_whole_pixels_count_twice_per_axis():
    # with z = 16 the epsilon of the divisor vanishes in float32: the first point lies exactly on column 2 and row 1
    points = torch.tensor([[[2.0, 1.0, 1.0], [2.4, 1.3, 1.0], [3.0, 1.5, 1.0]]]) * 16
    values, weights, pose = torch.tensor([[[1.0, 0.0, 0.5]]]), torch.ones(1, 3), torch.eye(4)[None]
    results = [
        implementation(points, values, weights, pose, torch.eye(3)[None], 4, 5, None, 0.0, True)
        for implementation in (splat_points, splat_points_torch)
    ]
    near, beside = 0.6 * 0.7, 2 * 0.5  # shares of the other two on this pixel and on column 3, row 1
    for colour, depth, mask in results:
        assert float(colour[0, 0, 1, 2]) == pytest.approx(4 / (4 + near), abs=1e-5)
        assert float(colour[0, 0, 1, 3]) == pytest.approx(0.5 * beside / (beside + 0.4 * 0.7), abs=1e-5)
        assert depth[0][mask[0]].tolist() == pytest.approx([16.0] * int(mask.sum()), abs=1e-4)
        assert mask[0].nonzero().tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]
    # the plain one divides by a little more than 16 in float64: move the points so that it sees the same places
    exact = array(points[0]) * (1 + 1e-7 / 16)
    exact[:, 2] = 16
    colours = np.repeat(array(values[0].T), 3, axis=1)
    expected = plain.splat([(exact, colours, np.ones(3), np.eye(4), np.eye(3))], 4, 5)[0]
    np.testing.assert_allclose(results[0][0][0, 0].numpy(), np.where(expected[2], expected[0][0], 0), atol=1e-5)


def test_foreground_masking():
    rgb, depth, c2w, K = scene()
    points = unproject(depth, K, c2w, 0.0)
    boundary = ~reliable_mask(depth[None])
    w2c = invert_rigid(trajectory_c2w("right", 3, 0.6, 1.0, c2w))
    Ks = K.expand(3, 3, 3)
    splatted = splat_points(
        points.reshape(1, -1, 3), rgb.reshape(1, 3, -1), torch.ones(1, H * W), w2c, Ks, H, W, None, 0.0, True
    )
    colour, z, mask = mask_occluded_by_edges(points[None], boundary, w2c, Ks, *splatted, 0.0)
    taken = 0
    for frame in range(3):
        rendered = (array(splatted[0][frame]) * 2 - 1, array(splatted[1][frame]), splatted[2][frame].numpy())
        expected = plain.hide(rendered, array(points), boundary[0].numpy(), array(w2c[frame]), array(K))
        assert (mask[frame].numpy() == expected[2]).all()
        close(colour[frame] * 2 - 1, expected[0])
        close(z[frame], expected[1])
        taken += int((splatted[2][frame].numpy() & ~expected[2]).sum())
    assert taken > 10


def test_depth_alignment_affine_then_per_pixel():
    _, depth, c2w, K = scene()
    generator = torch.Generator().manual_seed(2)
    mask = torch.rand(H, W, generator=generator) > 0.3
    estimate = (1 / (0.7 / depth + 0.1) * (1 + 0.05 * torch.rand(H, W, generator=generator))).double()
    reference = torch.where(mask, depth, 0.0).double()
    affine = align_inverse_depth_affine(estimate[None], reference[None], mask[None])[0]
    expected = plain.affine_in_inverse_depth(array(estimate), array(reference), mask.numpy())
    close(affine, expected, 1e-8)
    turned = invert_rigid(c2w.double())[None, :3, :3]
    moved = align_non_rigid(affine[None], reference[None], mask[None], K[None].double(), turned)[0]
    plainly = plain.non_rigid(expected, array(reference), mask.numpy(), array(K), array(c2w))
    close(moved, plainly, 1e-6)
    assert np.abs(plainly - expected).max() > 0.01


def test_the_whole_cache_growing_over_three_sources():
    rgb, depth, c2w, K = scene()
    # without depth edges: there one sliver of a share decides what float32 sees in an alignment
    depth = depth.clamp(min=1.9) + 0.05
    cache = PointCache.start(rgb, depth, c2w, K, CacheConfig(foreground=True))
    theirs = plain.Cache(array(rgb) * 2 - 1, array(depth), np.linalg.inv(array(c2w)), array(K))
    path, looks = trajectory_c2w("left", 5, 0.15, 2.0, c2w), trajectory_c2w("zoom_in", 4, 0.3, 1.0, c2w)[1:]
    for number, name in enumerate(("first", "second", "third")):
        seen = cache.seen(looks, K.expand(3, 3, 3))
        expected = theirs.seen([np.linalg.inv(array(pose)) for pose in looks], [array(K)] * 3)
        assert len(cache) == min(number + 1, 2), name
        for frame in range(3):
            for source in range(len(cache)):
                colour, z, mask = expected[frame][source]
                agree = seen.mask[frame, source].numpy() == mask
                assert agree.mean() > 0.995
                error = np.abs(array(seen.depth[frame, source]) - z)[agree]
                assert np.quantile(error, 0.99) < 1e-4
                error = np.abs(array(seen.rgb[frame, source]) * 2 - 1 - colour)[:, agree]
                assert np.quantile(error, 0.98) < 1e-4, name
        pose = path[number + 2]
        picture, estimate = scene(number + 5)[0], 1 / (0.8 / depth + 0.05)
        aligned = cache.aligned_depth(estimate, pose, K)
        there = cache.seen(pose[None], K[None])
        assert there.mask[:, 0].float().mean() > 0.2
        # both steps are compared above, in float64: where the cache shows nothing, only the sign of a rounding error
        # drives the factor, so a second implementation is no witness there
        affine = align_inverse_depth_affine(estimate[None], there.depth[:, 0], there.mask[:, 0])
        turned = invert_rigid(pose)[None, :3, :3]
        composed = align_non_rigid(affine, there.depth[:, 0], there.mask[:, 0], K[None], turned)
        assert torch.equal(aligned, composed[0])
        cache = cache.updated(picture, estimate, pose, K)
        theirs.update(array(picture) * 2 - 1, array(aligned), np.linalg.inv(array(pose)), array(K))
    # the newest is replaced, the first stays
    close(cache.rgb[1], array(rgb), 1e-7)
    close(cache.rgb[0], array(scene(7)[0]), 1e-7)


def test_a_first_source_is_kept_between_0_and_100_and_a_filter_can_be_left_out():
    rgb, depth, c2w, K = scene()
    depth[0, 0], depth[1, 1], depth[2, 2] = torch.nan, 1e6, -1
    cache = PointCache.start(rgb, depth, c2w, K, CacheConfig(point_filter=None))
    local = (cache.points[0] - c2w[:3, 3]) @ c2w[:3, :3]
    assert float(local[0, 0, 2]) == pytest.approx(100, rel=1e-5) and float(local[1, 1, 2]) == pytest.approx(
        100, rel=1e-5
    )
    assert (cache.points[0, 2, 2] == 0).all() and (cache.weights == 1).all()
    with pytest.raises(ValueError, match="at least 1"):
        CacheConfig(buffers=0)


def test_a_video_is_seen_frame_by_frame():
    """Frame i in camera i, one buffer; two frames in a row share the largest depth of their weights; own edges each."""
    rgb, depth, c2w, K = scene()
    frames = 3
    video = torch.stack([rgb.roll(n, 2) for n in range(frames)])
    depths = torch.stack([depth.roll(3 * n, 1) + 0.3 * n for n in range(frames)])
    poses = trajectory_c2w("up", frames, 0.2, source_c2w=c2w)
    targets = trajectory_c2w("left", frames, 0.4, source_c2w=poses)
    targets[:, :3, 3] += torch.tensor([0.013, 0.021, -0.017])  # else points of frame 0 fall on whole pixels, or beside
    seen = see_frame_by_frame(video, depths, poses, K.expand(frames, 3, 3), targets)
    assert seen.rgb.shape == (frames, 1, 3, H, W)
    for group in ((0, 1), (2,)):
        lifted, items = [], []
        for n in group:
            points = plain.unproject(array(depths[n]), array(K), np.linalg.inv(array(poses[n])))
            reliable = plain.reliable(array(depths[n]))
            lifted.append((points, ~reliable))
            signed = array(video[n]).reshape(3, -1).T * 2 - 1
            w2c = np.linalg.inv(array(targets[n]))
            items.append((points.reshape(-1, 3), signed, reliable.reshape(-1).astype(float), w2c, array(K)))
        for n, item, (points, boundary), splatted in zip(group, items, lifted, plain.splat(items, H, W), strict=True):
            colour, z, mask = plain.hide(splatted, points, boundary, item[3], array(K))
            wrong = seen.mask[n, 0].numpy() != mask
            assert wrong.mean() < 0.01 and 0.3 < mask.mean() < 1
            for ours, theirs in ((seen.rgb[n, 0] * 2 - 1, colour), (seen.depth[n, 0], z)):
                assert np.quantile(np.abs(array(ours) - theirs)[..., ~wrong], 0.98) < 1e-3
