"""The verbs, with networks small enough to know what they return."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lyra.geometry import reliable_mask
from lyra.geometry.constants import FAR_DEPTH
from lyra.metrics import psnr
from lyra.models.decoder import Anchor, DecoderConfig, GaussianDecoder
from lyra.models.teacher import Teacher, TeacherConfig
from lyra.models.tokenizer import NanoTokenizer, NanoTokenizerConfig
from lyra.raster import render, settled
from lyra.stages import (
    PerceiveConfig,
    RecolorConfig,
    decode,
    imagine,
    perceive,
    plan,
    recolor,
    warp,
    warp_clips,
)  # fmt: skip
from lyra.stages.warp import fill_holes
from lyra.structures import Cameras, Frames, Gaussians, InputError, Scene, Trajectory, Views

HEIGHT, WIDTH, FRAMES = 64, 96, 17


class KnownDepth(nn.Module):
    """Stands in for the depth network: depth from brightness, so that every frame has a known answer."""

    def infer(self, rgb, settled=True, thorough=True):
        depth = 0.5 + rgb.mean(dim=1)
        return depth / depth.flatten(1).median(dim=1).values[:, None, None], depth > 99, torch.full((len(rgb),), 1.0)


def two_planes() -> tuple[torch.Tensor, torch.Tensor]:
    """A red square at depth 0.5 before a blue-green wall at depth 2."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    square = (rows - HEIGHT // 2).abs().lt(14) & (columns - WIDTH // 2).abs().lt(14)
    wall = torch.stack([torch.zeros(HEIGHT, WIDTH), 0.3 + 0.4 * (columns / WIDTH), 0.7 + 0 * columns])
    rgb = torch.where(square, torch.tensor([0.9, 0.1, 0.1])[:, None, None], wall)
    return rgb, torch.where(square, 0.5, 2.0)


def source_views() -> Views:
    rgb, depth = two_planes()
    K = torch.tensor([[[80.0, 0, WIDTH / 2], [0, 80.0, HEIGHT / 2], [0, 0, 1]]])
    camera = Cameras(torch.eye(4)[None], K, HEIGHT, WIDTH)
    return Views(Frames(rgb[None]), depth[None], torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool), camera)


def test_perceive_takes_the_users_word_for_angle_and_depth():
    rgb, depth = two_planes()
    free = perceive(Frames(rgb[None]), KnownDepth())
    assert float(free.cameras.fov_x) == pytest.approx(1.0, abs=1e-5)
    assert float(free.depth.median()) == pytest.approx(1.0, abs=0.01)
    valid = torch.ones_like(depth, dtype=torch.bool)
    valid[:3] = False
    measured = perceive(Frames(rgb[None]), KnownDepth(), None, (depth, valid))
    assert float(measured.cameras.fov_x) == pytest.approx(1.0, abs=1e-5)
    told = perceive(Frames(rgb[None]), None, PerceiveConfig(fov=60.0), (depth, valid))  # there is nothing to ask
    assert float(told.cameras.fov_x) == pytest.approx(math.radians(60), abs=1e-5)
    assert torch.allclose(told.depth[0][valid], depth[valid] / 2) and told.depth[0][~valid].eq(FAR_DEPTH).all()
    with pytest.raises(InputError, match="outside 5…150"):
        PerceiveConfig(fov=170)


def test_plan_returns_the_named_paths_in_order_and_refuses_others():
    views = source_views()
    paths = plan(views, FRAMES, ["zoom_in", "left"], generator=torch.Generator().manual_seed(0))
    assert [path.name for path in paths] == ["zoom_in", "left"]
    again = plan(views, FRAMES, None, generator=torch.Generator().manual_seed(0))
    assert len(again) == 6 and torch.equal(again[0].cameras.c2w, paths[1].cameras.c2w)
    farther = plan(views, FRAMES, ["left"], 2.0, torch.Generator().manual_seed(0))[0].cameras.c2w
    assert torch.allclose(farther[-1, :3, 3].norm(), 2 * paths[1].cameras.c2w[-1, :3, 3].norm(), rtol=0.02)
    for names in (["sideways"], ["left", "left"], []):
        with pytest.raises(InputError):
            plan(views, FRAMES, names)
    with pytest.raises(InputError, match="strength"):
        plan(views, FRAMES, factor=-1)


def test_warp_moves_a_plane_as_the_pinhole_says_and_fills_holes_with_background():
    views = source_views()
    c2w = torch.eye(4).repeat(1, 2, 1, 1)
    c2w[0, 1, 0, 3] = 0.1  # the camera moves 0.1 to the right: the square (depth 0.5) by 16 px, the wall (2) by 4 px
    rgb, depth, mask = warp_clips(views.frames.rgb, views.depth, views.cameras.K, c2w)
    assert torch.equal(rgb[0, 0], views.frames.rgb[0]) and mask[0, 0].all()
    middle = HEIGHT // 2
    assert float(rgb[0, 1, 0, middle, WIDTH // 2 - 16]) == pytest.approx(0.9, abs=0.02)
    assert float(depth[0, 1, middle, WIDTH // 2 - 16]) == pytest.approx(0.5, abs=0.02)
    assert float(rgb[0, 1, 1, 4, 40]) == pytest.approx(float(views.frames.rgb[0, 1, 4, 44]), abs=0.01)
    gap = slice(WIDTH // 2 - 4, WIDTH // 2 + 12)  # the square's edge, two pixels of it dropped, to the wall's
    assert not mask[0, 1, middle, gap].any() and mask[0, 1, middle, gap.start - 1] and mask[0, 1, middle, gap.stop]
    opened = rgb[0, 1, :, middle, gap]
    impartial = fill_holes(rgb[:, 1], mask[:, 1])[0, :, middle, gap]
    assert (opened[0] < impartial[0]).all(), "the wall counts more than the square"
    assert (opened[2] > impartial[2]).all()
    assert (opened[0, 8:] < 0.2).all() and (opened[2, 8:] > 0.55).all(), "its half of what opens is wall"


def tiny_networks() -> tuple[NanoTokenizer, Teacher, GaussianDecoder]:
    torch.manual_seed(0)
    tokenizer = NanoTokenizer(NanoTokenizerConfig())
    teacher = Teacher(
        TeacherConfig(
            latent_channels=tokenizer.channels, heads=2, head_dim=16, layers=1, text_dim=8, adaln_lora_dim=4, steps=1
        )
    )
    teacher.start_as_identity()
    config = DecoderConfig(
        latent_channels=tokenizer.channels, width=32, depth=1, heads=2, attention_every=1, zero_init_residual=True,
        rays="pooled", ray_dtype="float32", time_layers=False, guides=True, head="anchored", prune_ratio=0.0,
        anchors=(Anchor(0, 1, "first"), Anchor(16, 2, "all")),
    )  # fmt: skip
    return tokenizer.eval(), teacher.eval(), GaussianDecoder(config).eval()


def test_imagine_is_reproducible_and_a_subset_is_the_same():
    tokenizer, teacher, _ = tiny_networks()
    views = source_views()
    caches = [warp(views, path) for path in plan(views, FRAMES, ["left", "up"])]
    seen = []
    both = imagine(
        caches, teacher, tokenizer, steps=2, seed=3, on_step=lambda view, step: seen.append((view, step)), exact=True
    )
    assert both.z.shape == (2, tokenizer.channels, 3, HEIGHT // 8, WIDTH // 8)
    for view in range(2):  # the two may advance side by side
        assert [told for told in seen if told[0] == view] == [(view, 0), (view, 1)]
    alone = imagine(caches[:1], teacher, tokenizer, steps=2, seed=3, exact=True).z[0]
    assert torch.allclose(alone, both.z[0], atol=1e-5) and not torch.allclose(alone, both.z[1], atol=1e-2)
    again = imagine(caches, teacher, tokenizer, steps=2, seed=3, exact=True)
    assert torch.equal(again.z, both.z), "the same bits, whatever was done first"
    first = tokenizer.encode(views.frames.rgb[:1, :, None])[0, :, 0]
    assert torch.allclose(both.z[0, :, 0], first, atol=1e-4), "the first latent frame is the photo's"


def test_a_first_frame_that_is_not_the_caches_keeps_its_own_latent():
    tokenizer, teacher, _ = tiny_networks()
    views = source_views()
    cache = warp(views, plan(views, FRAMES, ["left"])[0])
    other = replace(cache, source=1 - cache.source)
    latents = imagine([other, cache], teacher, tokenizer, steps=1, exact=True).z[:, :, 0]
    wanted = [tokenizer.encode(picture[None, :, None])[0, :, 0] for picture in (1 - cache.source, cache.source)]
    assert torch.allclose(latents, torch.stack(wanted), atol=1e-4)
    assert not torch.allclose(wanted[0], wanted[1], atol=0.1)


def test_untrained_decoder_already_shows_the_photo():
    """Zero residuals leave the anchors where the depth put them, so the scene must look like the input."""
    tokenizer, teacher, decoder = tiny_networks()
    views = source_views()
    caches = [warp(views, path) for path in plan(views, FRAMES, ["left", "zoom_in"])]
    latents = imagine(caches, teacher, tokenizer, steps=1)
    frames = torch.stack([cache.warped for cache in caches])
    scene = decode(views, latents, caches, frames, decoder, tokenizer, KnownDepth())
    again = render(scene.gaussians[0], scene.source).rgb.clamp(0, 1)
    assert float(psnr(again, views.frames.rgb)) > 20
    last = caches[0].trajectory.cameras[16]
    seen = render(scene.gaussians[0], last).rgb.clamp(0, 1)
    # at the square's rim the cache shows the wall behind: edge pixels are not splatted, but they are in the scene
    mask = caches[0].mask[16:17]
    inside = mask & reliable_mask(torch.where(mask, caches[0].depth[16:17], 2.0), window=7, threshold=0.2)
    assert inside.float().mean() > 0.5
    assert float(psnr(seen, caches[0].warped[16:17], inside)) > 30


def cloud(count: int = 40) -> Gaussians:
    """Overlapping Gaussians before the source camera, the last one behind it."""
    generator = torch.Generator().manual_seed(3)
    means = torch.rand(count, 3, generator=generator) * torch.tensor([1.4, 0.9, 1.0]) + torch.tensor([-0.7, -0.45, 1.0])
    means[-1] = torch.tensor([0.0, 0.0, -2.0])
    quats = torch.tensor([1.0, 0, 0, 0]).expand(count, 4)
    scales = torch.rand(count, 3, generator=generator) * 0.1 + 0.03
    opacities = torch.rand(count, generator=generator) * 0.8 + 0.1
    return Gaussians(means, quats, scales, opacities, torch.full((count, 3), 0.5))


def test_several_steps_of_settling_are_single_ones_after_each_other():
    camera = source_views().cameras
    beside = replace(camera, c2w=camera.c2w.clone())
    beside.c2w[0, 0, 3] = 0.1
    told = [(camera, two_planes()[0][None], 3.0), (beside, 1 - two_planes()[0][None], 1.0)]
    once = cloud()
    for _ in range(3):
        once = settled(once, told)
    torch.testing.assert_close(settled(cloud(), told, 3).colors, once.colors, atol=1e-6, rtol=0)
    assert settled(cloud(), told, 0).colors.equal(cloud().colors)


def test_recolor_takes_the_step_that_explicit_blending_weights_give():
    views, gaussians = source_views(), cloud()
    camera, count = views.cameras[0], len(gaussians)
    white = torch.zeros(count, count, 3).index_put((torch.arange(count), torch.arange(count)), torch.tensor(1.0))
    weights = torch.stack(  # W: how much of each Gaussian every pixel shows
        [render(replace(gaussians, colors=one), camera).rgb[0, 0].flatten() for one in white], dim=1
    ).double()
    photo = views.frames.rgb[0].flatten(1).T.double()
    residual = photo - weights @ gaussians.colors.double()
    step = 3 * (weights.T @ residual) / (3 * weights.T @ weights.sum(dim=1, keepdim=True) + 0.1)
    scene = recolor(Scene((gaussians,), camera), views, RecolorConfig(1))
    expected = (gaussians.colors + step).clamp(0, 1)
    assert torch.allclose(scene.gaussians[0].colors.double(), expected, atol=2e-4)
    assert torch.equal(scene.gaussians[0].colors[-1], gaussians.colors[-1])  # behind the camera: not shown, not touched
    assert torch.equal(scene.gaussians[0].means, gaussians.means)


def test_a_shared_round_takes_the_step_of_all_pictures_together():
    views, gaussians = source_views(), cloud()
    count, camera = len(gaussians), views.cameras[0]
    c2w = torch.eye(4).repeat(3, 1, 1)
    c2w[1:, 0, 3] = torch.tensor([0.05, 0.1])
    cameras = Cameras(c2w, camera.K.expand(3, -1, -1), HEIGHT, WIDTH)
    clip = torch.rand(3, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(4))
    told = SimpleNamespace(trajectory=Trajectory("left", cameras))
    looks = [(camera, views.frames.rgb[0], 3.0), (cameras[1], clip[1], 1.0), (cameras[2], clip[2], 1.0)]
    white = torch.zeros(count, count, 3).index_put((torch.arange(count), torch.arange(count)), torch.tensor(1.0))
    above, below = 0.0, 0.0
    for look, picture, often in looks:
        weights = torch.stack(
            [render(replace(gaussians, colors=one), look).rgb[0, 0].flatten() for one in white], dim=1
        ).double()
        residual = picture.flatten(1).T.double() - weights @ gaussians.colors.double()
        above = above + often * (weights.T @ residual)
        below = below + often * (weights.T @ weights.sum(dim=1, keepdim=True))
    scene = Scene((gaussians,), camera)
    shared = recolor(scene, views, RecolorConfig(1, shared=1), [told], clip[None]).gaussians[0]
    step = (gaussians.colors + above / (below + 0.1)).clamp(0, 1).float()
    afterwards = recolor(Scene((replace(gaussians, colors=step),), camera), views, RecolorConfig(1)).gaussians[0]
    assert torch.allclose(shared.colors, afterwards.colors, atol=2e-4)
    alone = recolor(scene, views, RecolorConfig(1, shared=0), [told], clip[None]).gaussians[0]
    assert torch.equal(alone.colors, recolor(scene, views, RecolorConfig(1)).gaussians[0].colors)
    three = recolor(scene, views, RecolorConfig(1, shared=3), [told], clip[None]).gaussians[0]

    def error(made: Gaussians) -> float:
        return sum(float((render(made, look).rgb[0] - picture).square().mean()) for look, picture, _ in looks[1:])

    assert error(three) < error(shared) < error(alone)
    kept = recolor(scene, views, RecolorConfig(0), [told], clip[None]).gaussians[0]
    assert torch.equal(kept.colors, gaussians.colors), "no rounds, no change"


def test_no_round_of_recolouring_makes_the_picture_worse():
    views, gaussians = source_views(), cloud(200)
    camera = views.cameras[0]
    errors = []
    for rounds in range(6):
        scene = recolor(Scene((gaussians,), camera), views, RecolorConfig(rounds))
        errors.append(float((render(scene.gaussians[0], camera).rgb - views.frames.rgb).square().mean()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.6 * errors[0]
    assert scene.gaussians[0].colors.min() >= 0 and scene.gaussians[0].colors.max() <= 1
    with pytest.raises(InputError, match="outside 0…100"):
        RecolorConfig(-1)


def test_cracks_of_a_near_surface_are_filled_from_it_and_what_opens_beside_it_from_behind():
    rgb = torch.zeros(1, 3, 48, 64)
    rgb[:, 2] = 1.0  # a blue wall at 3
    depth = torch.full((1, 48, 64), 3.0)
    rgb[0, :, 12:36, 8:32] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]  # a red box at 1
    depth[0, 12:36, 8:32] = 1.0
    mask = torch.ones(1, 48, 64, dtype=torch.bool)
    mask[0, 12:36, 32:44] = False  # what the box uncovers
    mask[0, 12:36, 20:22] = False  # and a crack in it
    filled = fill_holes(torch.where(mask[:, None], rgb, torch.nan), mask, depth)
    crack, opened = filled[0, :, 14:34, 20:22], filled[0, :, 14:34, 32:44]
    assert (crack[0] > 0.9).all() and (crack[2] < 0.1).all()
    assert (opened[2] > 0.8).all() and (opened[0] < 0.2).all()
    evenly = fill_holes(rgb, mask)[0, :, 14:34, 32:44]
    assert (evenly[0, :, 0] > 0.5).all(), "without depth the box bleeds into what it uncovers"
