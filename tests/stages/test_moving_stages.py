"""Cameras, steady depth and background of a clip whose truth is known."""

import math

import pytest
import torch
from torch.nn import functional as F

from lyra.geometry.bundle import camera_errors
from lyra.geometry.cameras import invert_rigid
from lyra.geometry.gaussian_sets import joined, moved
from lyra.geometry.handheld import handheld_c2w
from lyra.models.decoder import Anchor, DecoderConfig, GaussianDecoder
from lyra.models.depth import DepthConfig, DepthNet
from lyra.models.tokenizer import NanoTokenizer, NanoTokenizerConfig
from lyra.raster import render
from lyra.stages import (
    background_plate,
    behind,
    decode_hidden,
    decode_visible,
    locate,
    plan,
    plan_moving,
    scale_to_depth,
    steady,
    still_cameras,
    unlike,
    warp_moving,
)
from lyra.structures import Cameras, Frames, Gaussians, Latents, Views

HEIGHT, WIDTH, FRAMES = 96, 160, 9
K = torch.tensor([[140.0, 0, WIDTH / 2], [0, 140.0, HEIGHT / 2], [0, 0, 1]])


def textured(seed: int) -> torch.Tensor:
    noise = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(400, 600), mode="bicubic", align_corners=False).clamp(0, 1)


def two_walls(c2w: torch.Tensor, square: list[float] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """A wall at z = 2, another at 1 before its left half, and a moving square at 0.7: [T, 3, H, W] and [T, H, W]."""
    pictures, depths = [], []
    rows, columns = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    rays = torch.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], torch.ones_like(rows)], dim=-1)
    for frame, pose in enumerate(c2w):
        ways, eye = rays @ pose[:3, :3].T, pose[:3, 3]
        picture, depth = torch.zeros(3, HEIGHT, WIDTH), torch.full((HEIGHT, WIDTH), 9.0)
        for plane, (z, paint) in enumerate(((2.0, textured(1)), (1.0, textured(2)), (0.7, textured(3)))):
            far = (z - eye[2]) / ways[..., 2]
            hit = eye + far[..., None] * ways
            grid = (hit[..., :2] / torch.tensor([1.6, 1.1]))[None]
            there = torch.ones_like(far, dtype=torch.bool)
            if plane == 1:
                there = hit[..., 0] < -0.1
            if plane == 2:
                if square is None:
                    continue
                there = (hit[..., 0] - square[frame]).abs().lt(0.06) & hit[..., 1].abs().lt(0.06)
            colour = F.grid_sample(paint, grid, padding_mode="reflection", align_corners=False)[0]
            use = there & (far < depth)
            picture, depth = torch.where(use, colour, picture), torch.where(use, far, depth)
        pictures.append(picture)
        depths.append(depth)
    return torch.stack(pictures), torch.stack(depths)


def views_of(rgb: torch.Tensor, depth: torch.Tensor, c2w: torch.Tensor) -> Views:
    cameras = Cameras(c2w, K.repeat(len(c2w), 1, 1), HEIGHT, WIDTH)
    return Views(Frames(rgb), depth, torch.ones_like(depth, dtype=torch.bool), cameras)


def test_a_carried_camera_is_found_and_depth_of_each_frame_may_have_its_own_scale():
    truth = handheld_c2w(FRAMES, 0.25, 6, torch.Generator().manual_seed(3))
    rgb, depth = two_walls(truth, torch.linspace(-0.1, 0.2, FRAMES).tolist())
    scales = torch.exp(0.3 * torch.randn(FRAMES, generator=torch.Generator().manual_seed(0)))
    scales[0] = 1
    path = locate(Frames(rgb), depth * scales[:, None, None], K)
    assert path.kind == "moving" and path.sureness > 0.6
    turn, way = camera_errors(path.cameras.c2w, truth)
    assert float(turn.median()) < 0.3 and float(way.nanmedian()) < 4
    length = path.cameras.c2w[-1, :3, 3].norm() / truth[-1, :3, 3].norm()
    assert 0.85 < float(length) < 1.15


def test_a_tripod_is_told_and_so_is_that_nothing_can_be():
    eye = torch.eye(4).repeat(FRAMES, 1, 1)
    rgb, depth = two_walls(eye, torch.linspace(-0.3, 0.3, FRAMES).tolist())
    path = locate(Frames(rgb), depth, K)
    assert path.kind == "static" and path.sureness > 0.6 and "stands still" in path.words
    blank = locate(Frames(torch.full_like(rgb, 0.5)), depth, K)
    assert blank.kind == "static" and blank.sureness == 0 and "taken to stand still" in blank.words
    noise = torch.rand(rgb.shape, generator=torch.Generator().manual_seed(1))
    lost = locate(Frames(noise), depth, K)
    assert lost.kind == "static" and lost.sureness < 0.36 and torch.equal(lost.cameras.c2w, eye)


def test_cameras_of_unknown_scale_are_brought_to_the_depth():
    truth = handheld_c2w(FRAMES, 0.25, 4, torch.Generator().manual_seed(3))
    rgb, depth = two_walls(truth)
    wrong = truth.clone()
    wrong[:, :3, 3] *= 7.0
    factor = scale_to_depth(Frames(rgb), depth, Cameras(wrong, K.repeat(FRAMES, 1, 1), HEIGHT, WIDTH))
    assert factor is not None and torch.allclose(factor * wrong[:, :3, 3], truth[:, :3, 3], atol=0.02)
    assert scale_to_depth(Frames(rgb), depth, still_cameras(FRAMES, K, HEIGHT, WIDTH)) is None


@pytest.mark.parametrize("reach", [0.0, 0.2])
def test_depth_gets_one_scale_and_loses_its_flicker_while_what_moves_keeps_its_own(reach):
    c2w = handheld_c2w(FRAMES, reach, 20 * reach, torch.Generator().manual_seed(3))
    rgb, truth = two_walls(c2w, torch.linspace(-0.3, 0.3, FRAMES).tolist())
    generator = torch.Generator().manual_seed(0)
    scales = torch.exp(0.1 * torch.randn(FRAMES, 1, 1, generator=generator))
    scales[0] = 1
    patches = F.interpolate(torch.randn(FRAMES, 1, 6, 10, generator=generator), size=(HEIGHT, WIDTH), mode="bilinear")
    raw = truth * scales * torch.exp(0.04 * patches[:, 0])
    cameras = Cameras(c2w, K.repeat(FRAMES, 1, 1), HEIGHT, WIDTH)
    calm = steady(rgb, raw, cameras)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    before, after = ((part / truth).log()[inner] for part in (raw, calm))
    assert float(after.flatten(1).median(dim=1).values.std()) < 0.3 * float(
        before.flatten(1).median(dim=1).values.std()
    )
    assert float(after.abs().median()) < 0.6 * float(before.abs().median())
    square = truth < 0.9
    assert float((calm / truth).log()[square].abs().median()) < 0.12, "the square is not drawn to the wall"
    aligned = steady(rgb, raw, cameras, known=calm[:3])
    assert torch.equal(aligned[:3], calm[:3]), "what a chunk before settled stays"
    if reach == 0:
        pixel = calm[:, 10, 150].log()
        assert float(pixel.std()) < 0.35 * float(raw[:, 10, 150].log().std())


def test_the_plate_shows_what_the_square_hides_and_nothing_of_the_square():
    eye = torch.eye(4).repeat(FRAMES, 1, 1)
    places = torch.linspace(-0.3, 0.3, FRAMES).tolist()
    rgb, depth = two_walls(eye, places)
    views = views_of(rgb, depth, eye)
    plate = background_plate(views, (0, FRAMES - 1, FRAMES // 2))
    assert len(plate) > 200 and float(plate.means[:, 2].min()) > 0.95, "wall, not square"
    empty, _ = two_walls(eye[:1])
    here = plate[behind(plate, views, 0)]
    picture = render(here, views.cameras[0])
    hidden = picture.alpha[0] > 0.9
    square = depth[0] < 0.9
    assert (hidden & square).sum() > 0.8 * square.sum(), "behind the square of the first moment there is wall now"
    assert float((picture.rgb[0] - empty[0]).abs().mean(0)[hidden & square].mean()) < 0.08


def test_a_point_fits_a_moment_if_it_is_behind_or_outside():
    eye = torch.eye(4).repeat(2, 1, 1)
    depth = torch.stack([torch.full((HEIGHT, WIDTH), 1.0), torch.full((HEIGHT, WIDTH), 3.0)])
    views = views_of(torch.rand(2, 3, HEIGHT, WIDTH), depth, eye)
    means = torch.tensor([[0.0, 0, 0.5], [0, 0, 2.0], [0, 0, 4.0], [9.0, 0, 2.0], [0, 0, -1.0]])
    count = len(means)
    points = Gaussians(
        means, torch.eye(1, 4).repeat(count, 1), torch.ones(count, 3), torch.ones(count), means.abs() * 0
    )
    assert behind(points, views, 0).tolist() == [False, True, True, True, True]
    assert behind(points, views, 1).tolist() == [False, False, True, True, True]
    new = unlike(points, points[torch.tensor([1])], torch.zeros(3))
    assert new.tolist() == [True, False, True, True, True]
    assert len(joined(points, points[:2])) == count + 2


def test_paths_depart_from_a_source_that_moves():
    c2w = handheld_c2w(17, 0.3, 10, torch.Generator().manual_seed(1))
    rgb = torch.rand(17, 3, HEIGHT, WIDTH)
    views = views_of(rgb, torch.ones(17, HEIGHT, WIDTH), c2w)
    moving = plan_moving(views, ["left", "clockwise"], 1.0, torch.Generator().manual_seed(0))
    home = views_of(rgb[:1], torch.ones(1, HEIGHT, WIDTH), torch.eye(4)[None])
    still = plan(home, 17, ["left", "clockwise"], 1.0, torch.Generator().manual_seed(0))
    for path, alone in zip(moving, still, strict=True):
        assert torch.allclose(invert_rigid(c2w) @ path.cameras.c2w, alone.cameras.c2w, atol=1e-5)


def test_what_the_source_shows_is_decoded_for_every_moment_where_its_camera_stands():
    torch.manual_seed(0)
    tokenizer = NanoTokenizer(NanoTokenizerConfig(latent_channels=8, widths=(16, 32), blocks=(1, 1))).eval()
    config = DecoderConfig(
        latent_channels=8, width=32, depth=1, heads=2, attention_every=1, zero_init_residual=True, rays="pooled",
        ray_dtype="float32", time_layers=False, guides=True, head="anchored", prune_ratio=0.0,
        anchors=(Anchor(0, 1, "first", 4 / 3, 4.0), Anchor(16, 2, "all")),
    )  # fmt: skip
    c2w = handheld_c2w(3, 0.3, 20, torch.Generator().manual_seed(2))
    rgb, depth = two_walls(c2w)
    views = views_of(rgb, depth, c2w)
    sets = decode_visible(views, GaussianDecoder(config).eval(), tokenizer, [0, 2])
    for moment, one in zip((0, 2), sets, strict=True):
        picture = render(one, views.cameras[moment])
        assert len(one) == HEIGHT * WIDTH and float((picture.rgb[0] - rgb[moment]).abs().mean()) < 0.06
        off = render(one, views.cameras[2 - moment])
        assert float((off.rgb[0] - rgb[moment]).abs().mean()) > 0.08
    assert math.isclose(float(sets[1].quats.norm(dim=1).mean()), 1, abs_tol=1e-4)


def test_what_the_source_hides_does_not_depend_on_where_a_chunk_begins():
    """The decoder knows clips that begin at the identity; a later chunk begins anywhere, turned by any angle."""
    torch.manual_seed(0)
    tokenizer = NanoTokenizer(NanoTokenizerConfig(latent_channels=8, widths=(16, 32), blocks=(1, 1))).eval()
    config = DecoderConfig(
        latent_channels=8, width=32, depth=1, heads=2, attention_every=1, rays="pooled",
        ray_dtype="float32", time_layers=False, guides=True, head="anchored", prune_ratio=0.0,
        anchors=(Anchor(0, 1, "first"), Anchor(8, 2, "all")),
    )  # fmt: skip
    decoder = GaussianDecoder(config).eval()
    size = {"width": 16, "context_width": 24, "context_blocks": 1, "context_heads": 2}
    depth_net = DepthNet(DepthConfig(**size, fine_width=8, refine_width=8)).eval()
    c2w = handheld_c2w(FRAMES, 0.2, 10, torch.Generator().manual_seed(2))
    rgb, depth = two_walls(c2w)
    half_turn = torch.tensor([[-1.0, 0, 0, 2], [0, 1, 0, -1], [0, 0, -1, 3], [0, 0, 0, 1]])
    found = []
    for place in (torch.eye(4), half_turn):
        views = views_of(rgb, depth, place @ c2w)
        paths = plan_moving(views, ["left", "up"], 1.0, torch.Generator().manual_seed(0))
        told = [warp_moving(views, path) for path in paths]
        frames = torch.stack([each.warped for each in told])
        z = tokenizer.encode(frames.transpose(1, 2))
        found.append(
            decode_hidden(views, Latents(z, paths, "nano"), told, frames, decoder, tokenizer, depth_net, [0])[0]
        )
    home, away = moved(found[0], half_turn), found[1]
    assert len(home) == len(away) > 1000
    torch.testing.assert_close(away.means, home.means, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(away.opacities, home.opacities, atol=1e-3, rtol=0)
    same = (away.quats * home.quats).sum(dim=1).abs()
    assert float(same.min()) > 0.999
