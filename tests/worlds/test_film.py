import torch

from lyra.geometry.constants import FAR_DEPTH, NEAR_DEPTH
from lyra.worlds import collate, film, film_source, sample_world, source_intrinsics

HEIGHT, WIDTH = 32, 56


def still(worlds: int, frames: int = 1) -> torch.Tensor:
    return torch.eye(4).expand(worlds, 1, frames, 4, 4)


def test_source_depth_has_median_one(textures, store):
    worlds = [sample_world(seed, "train", textures) for seed in range(5)]
    clip = film(collate(worlds, "cpu"), store, still(5), HEIGHT, WIDTH)
    assert clip.rgb.shape == (5, 1, 1, 3, HEIGHT, WIDTH)
    assert clip.rgb.min() >= 0 and clip.rgb.max() <= 1
    for depth, sky in zip(clip.depth[:, 0, 0], clip.sky[:, 0, 0], strict=True):
        assert abs(depth[~sky].median() - 1) < 1e-4
        assert (depth[sky] == FAR_DEPTH).all()
        assert depth.min() >= NEAR_DEPTH and depth.max() <= FAR_DEPTH
    pictures = film_source(collate(worlds, "cpu"), store, HEIGHT, WIDTH)
    assert torch.equal(pictures.rgb, clip.rgb[:, 0, 0]) and torch.equal(pictures.depth, clip.depth[:, 0, 0])


def test_moves_are_in_units_of_the_median_depth(textures, store):
    batch = collate([sample_world(1, "train", textures, "street")], "cpu")
    c2w = still(1, 2).clone()
    c2w[:, :, 1, 2, 3] = 0.2
    clip = film(batch, store, c2w, HEIGHT, WIDTH)
    before, after = clip.depth[0, 0]
    # the pixel on the optical axis sees the same surface, one fifth of the median nearer
    centre = before[HEIGHT // 2 - 1 : HEIGHT // 2 + 1, WIDTH // 2 - 1 : WIDTH // 2 + 1].mean()
    moved = after[HEIGHT // 2 - 1 : HEIGHT // 2 + 1, WIDTH // 2 - 1 : WIDTH // 2 + 1].mean()
    assert abs((centre - moved) - 0.2) < 0.05


def test_reprojection_agrees_between_views(textures, store):
    """Points unprojected from the first frame are found at their depth in the second one."""
    batch = collate([sample_world(2, "train", textures, "room")], "cpu")
    c2w = still(1, 2).clone()
    c2w[:, :, 1, 0, 3] = 0.15
    clip = film(batch, store, c2w, HEIGHT, WIDTH)
    K, (first, second) = clip.K[0], clip.depth[0, 0]
    v, u = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    points = torch.stack([(u - K[0, 2]) / K[0, 0] * first - 0.15, (v - K[1, 2]) / K[1, 1] * first, first])
    column = (points[0] / points[2] * K[0, 0] + K[0, 2]).floor().long()
    row = (points[1] / points[2] * K[1, 1] + K[1, 2]).floor().long()
    inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT) & ~clip.sky[0, 0, 0]
    error = (second[row[inside], column[inside]] / points[2][inside] - 1).abs()
    assert (error < 0.03).float().mean() > 0.8


def test_field_of_view_spans_the_longer_side(textures):
    batch = collate([sample_world(0, "train", textures)], "cpu")
    landscape, portrait = source_intrinsics(batch, 32, 56), source_intrinsics(batch, 56, 32)
    assert torch.allclose(landscape[0, 0, 0], portrait[0, 1, 1])
    assert torch.allclose(2 * torch.atan(28 / landscape[:, 0, 0]), batch.fov)


def test_time_changes_only_worlds_that_move(textures, store):
    worlds = [sample_world(seed, "train", textures) for seed in range(40)]
    moving = next(world for world in worlds if world.moving)
    resting = next(world for world in worlds if not world.moving)
    times = torch.tensor([0.0, 1.0])
    clip = film(collate([moving, resting], "cpu"), store, still(2, 2), HEIGHT, WIDTH, times)
    assert (clip.depth[0, 0, 0] != clip.depth[0, 0, 1]).sum() >= 3
    assert torch.equal(clip.rgb[1, 0, 0], clip.rgb[1, 0, 1])
    assert "moving" in moving.caption and "moving" not in resting.caption


def test_preview_writes_a_sheet(textures, store, tmp_path):
    from PIL import Image

    from lyra.worlds import preview

    captions = preview(0, tmp_path / "sheet.png", "train", 2, None, 16, 28, 2, textures, store)
    assert len(captions) == 2 and all(captions)
    assert Image.open(tmp_path / "sheet.png").size == (64, 20)
