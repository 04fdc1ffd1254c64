import dataclasses
import json
import math
from dataclasses import replace

import pytest
import torch

from lyra.models.decoder import Anchor, DecoderConfig, GaussianDecoder, anchor_inputs, nano
from lyra.models.decoder.head_anchored import bounded, cell_log_depth, soft_clamp
from lyra.structures import InputError


def rotation_of(quat):
    w, x, y, z = quat.unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def test_untrained_decoder_returns_the_lifted_anchor_frames(build):
    config = build.nano_config(footprint=0.5, opacity_start=0.8, hide_visible=False)
    inputs = build.inputs(config, batch=2, views=3)
    blocks = inputs.depth.unflatten(3, (-1, 2)).unflatten(5, (-1, 2))[..., :1, :, :1].expand(-1, -1, -1, -1, 2, -1, 2)
    inputs = replace(inputs, depth=blocks.flatten(5, 6).flatten(3, 4))  # constant in cells of 2 x 2
    gaussians = build.decoder(config)(inputs)
    height, width = 32, 48
    assert gaussians.means.shape == (2, height * width + 2 * 3 * (height * width // 4), 3)
    index = 0
    for anchor in config.anchors:
        slot = config.anchor_frames.index(anchor.frame)
        for view in range(1 if anchor.views == "first" else 3):
            rows, columns = torch.meshgrid(
                torch.arange(0, height, anchor.stride), torch.arange(0, width, anchor.stride), indexing="ij"
            )
            count = rows.numel()
            for scene in range(2):
                part = slice(index, index + count)
                depth = inputs.depth[scene, view, slot, :: anchor.stride, :: anchor.stride]
                K, c2w = inputs.K[scene, view], inputs.c2w[scene, view, anchor.frame]
                x = (columns + anchor.stride / 2 - K[0, 2]) / K[0, 0] * depth
                y = (rows + anchor.stride / 2 - K[1, 2]) / K[1, 1] * depth
                points = torch.stack([x, y, depth], dim=-1).reshape(-1, 3) @ c2w[:3, :3].T + c2w[:3, 3]
                torch.testing.assert_close(gaussians.means[scene, part], points, rtol=1e-4, atol=1e-5)
                rgb = inputs.rgb[scene, view, slot]
                rgb = rgb.reshape(3, height // anchor.stride, anchor.stride, -1, anchor.stride).mean(dim=(2, 4))
                torch.testing.assert_close(gaussians.colors[scene, part], rgb.reshape(3, -1).T)
                std = 0.5 * anchor.stride * depth.reshape(-1, 1).expand(-1, 3) / math.sqrt(40 * 42)
                torch.testing.assert_close(gaussians.scales[scene, part], std)
                turned = rotation_of(gaussians.quats[scene, part])
                torch.testing.assert_close(turned, c2w[:3, :3].expand_as(turned), rtol=0, atol=1e-5)
            index += count
    torch.testing.assert_close(gaussians.opacities, torch.full_like(gaussians.opacities, 0.8))


def test_residuals_act_by_the_stated_formulas(build):
    config = build.nano_config(anchors=(Anchor(16, 1, "all"),), opacity_start=0.8, hide_visible=False)
    inputs = build.inputs(config, views=1)
    decoder = build.decoder(config)
    base = decoder(inputs)
    raw = [0.2, 0.1, -0.3, 0.0, 0.4, -9.0, 9.0, 0.0, 0.5, 0.0, 0.0, 1.0]
    with torch.no_grad():
        decoder.head.refine["1"][-1].bias.copy_(torch.tensor(raw))
    moved = decoder(inputs)
    origin = inputs.c2w[0, 0, 16, :3, 3]
    stretch = math.exp(0.5 * math.tanh(0.2 / 0.5))
    torch.testing.assert_close(moved.means[0] - origin, (base.means[0] - origin) * stretch)
    growth = [math.exp(1.5 * math.tanh(x / 1.5)) for x in raw[4:7]]
    torch.testing.assert_close(moved.scales, base.scales * torch.tensor(growth))
    assert moved.opacities[0, 0].item() == pytest.approx(1 / (1 + math.exp(-(1 + math.log(4)))))
    tilt = 2 * math.atan(0.5)  # identity + (0, 0.5, 0, 0): a turn around the camera's x axis
    turn = torch.tensor(
        [[1, 0, 0], [0, math.cos(tilt), -math.sin(tilt)], [0, math.sin(tilt), math.cos(tilt)]], dtype=torch.float32
    )
    torch.testing.assert_close(rotation_of(moved.quats[0, 0]), inputs.c2w[0, 0, 16, :3, :3] @ turn, rtol=0, atol=1e-5)
    expected = base.colors + 0.5 * torch.tanh(torch.tensor(raw[1:4]) / 0.5)
    inside = (expected > 0) & (expected < 1)
    torch.testing.assert_close(moved.colors[inside], expected[inside])
    assert (~inside).any() and moved.item(0).colors.min() >= 0 and moved.item(0).colors.max() <= 1


def test_gaussians_of_later_frames_fade_by_how_much_of_their_cell_the_cache_shows(build):
    anchors = (Anchor(0, 1, "first"), Anchor(16, 2, "all"))
    inputs = build.inputs(build.nano_config(anchors=anchors), views=2)
    decoders = [
        build.decoder(build.nano_config(anchors=anchors, hide_visible=hide), random_weights=True)
        for hide in (False, True)
    ]
    open_, hidden = (decoder(inputs).opacities[0] for decoder in decoders)
    first = inputs.height * inputs.width
    assert torch.equal(open_[:first], hidden[:first])  # the first picture carries all it shows
    cells = inputs.visible[0, :, 1].unflatten(1, (-1, 2)).unflatten(3, (-1, 2)).mean(dim=(2, 4)).flatten()
    torch.testing.assert_close(hidden[first:], open_[first:] * (1 - cells))
    assert (cells == 1).any() and (cells == 0).any()


def test_sharpness_and_solidity_act_on_their_own_anchor_alone(build):
    plain = (Anchor(0, 1, "first"), Anchor(16, 2, "all"))
    changed = (Anchor(0, 1, "first", sharpness=1.6, solidity=3.0), Anchor(16, 2, "all"))
    inputs = build.inputs(build.nano_config(anchors=plain), views=2)
    base, other = (
        build.decoder(build.nano_config(anchors=anchors), random_weights=True)(inputs) for anchors in (plain, changed)
    )
    first = inputs.height * inputs.width
    torch.testing.assert_close(other.scales[0, :first], base.scales[0, :first] / 1.6)
    torch.testing.assert_close(1 - other.opacities[0, :first], (1 - base.opacities[0, :first]) ** 3)
    for name in ("means", "quats", "colors"):
        assert torch.equal(getattr(other, name), getattr(base, name))
    assert torch.equal(other.scales[0, first:], base.scales[0, first:])
    with pytest.raises(ValueError, match="must be positive"):
        Anchor(0, 1, solidity=0)


def test_soft_functions_keep_a_gradient_everywhere():
    x = torch.tensor([-2.0, -0.1, 0.0, 0.4, 1.0, 1.3], requires_grad=True)
    soft_clamp(x).sum().backward()
    assert (x.grad >= 0.05 - 1e-6).all() and x.grad[3] == 1
    assert soft_clamp(x)[[2, 3, 4]].tolist() == pytest.approx([0, 0.4, 1])
    assert bounded(torch.tensor(50.0), 0.5).item() == pytest.approx(0.5) and bounded(x, 0.5)[2] == 0


def test_cell_depth_takes_a_side_at_edges_and_the_middle_on_slopes():
    def of(values, stride=2):
        size = math.isqrt(len(values))
        return cell_log_depth(torch.tensor(values).log().reshape(1, 1, size, size), stride, 0.05).exp().item()

    assert of([1.0, 1.0, 1.0, 5.0]) == pytest.approx(1)
    assert of([5.0, 5.0, 5.0, 1.0]) == pytest.approx(5)
    assert of([5.0, 1.0, 5.0, 1.0]) == pytest.approx(1)  # an even split goes to the nearer side
    assert of([2.0, 2.0, 2.02, 2.02]) == pytest.approx(2.01, abs=1e-4)
    assert of([3.0] * 8 + [9.0] * 8, stride=4) == pytest.approx(3)


def test_every_parameter_learns_from_the_third_step_on(build):
    config = build.nano_config(anchors=(Anchor(0, 1, "first"), Anchor(8, 2, "all"), Anchor(16, 4, "all")))
    decoder, inputs = build.decoder(config), build.inputs(config)
    optimizer = torch.optim.SGD(decoder.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        gaussians = decoder(inputs)
        values = torch.cat([v.flatten() for v in vars(gaussians).values()])
        optimizer.zero_grad()
        (values * torch.randn(values.shape, generator=generator)).sum().backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        grads = {name: p.grad for name, p in decoder.named_parameters()}
        optimizer.step()
    for name, grad in grads.items():
        assert grad is not None and torch.isfinite(grad).all() and grad.abs().max() > 0, name


@pytest.mark.parametrize("views", [1, 2, 8])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (48, 32)])
def test_any_number_of_views_and_both_orientations(build, views, height, width):
    config = build.nano_config()
    decoder = build.decoder(config, random_weights=True)
    gaussians = decoder(build.inputs(config, views=views, height=height, width=width))
    pixels = height * width
    assert gaussians.means.shape == (1, pixels + 2 * views * pixels // 4, 3)
    assert all(torch.isfinite(value).all() for value in vars(gaussians).values())


def test_permuting_views_permutes_the_gaussians_of_anchors_in_all_views(build):
    config = build.nano_config(anchors=(Anchor(16, 2, "all"),))
    decoder = build.decoder(config, random_weights=True)
    inputs = build.inputs(config, views=3)
    order = [2, 0, 1]
    names = ("latents", "c2w", "K", "rgb", "depth", "visible")
    permuted = replace(inputs, **{name: getattr(inputs, name)[:, order] for name in names})
    one, other = decoder(inputs), decoder(permuted)
    expected = one.means.unflatten(1, (3, -1))[:, order].flatten(1, 2)
    torch.testing.assert_close(other.means, expected, rtol=1e-4, atol=1e-4)


def test_views_see_each_other_and_scenes_do_not(build):
    config = build.nano_config(anchors=(Anchor(0, 1, "first"),))
    decoder = build.decoder(config, random_weights=True)
    inputs = build.inputs(config, batch=2)
    latents = inputs.latents.clone()
    latents[0, 1] += 1  # scene 0, a view that carries no Gaussians
    before, after = decoder(inputs), decoder(replace(inputs, latents=latents))
    assert not torch.allclose(before.means[0], after.means[0])
    torch.testing.assert_close(before.means[1], after.means[1])


def test_latent_frames_and_guides_belong_to_their_anchor(build):
    config = build.nano_config()
    assert [config.latent_frame(frame) for frame in (0, 1, 8, 9, 16)] == [0, 1, 1, 2, 2]
    decoder, inputs = build.decoder(config), build.inputs(config)
    inputs.depth[:] = 2.0
    inputs.depth[:, :, 1] = 50.0  # beyond the far limit of 30
    guides = decoder._guides(inputs)
    assert guides.shape == (1, 2, 2, 3, 4, 6)
    assert guides[0, 0, 0, :, 0, 0].tolist() == pytest.approx([math.log(2), math.log(30), math.log(2)])
    torch.testing.assert_close(guides[0, 1, 1, 2, 1, 2], inputs.visible[0, 1, 2, 8:16, 16:24].mean())
    two_in_one = build.decoder(build.nano_config(anchors=(Anchor(12, 2), Anchor(16, 2))))
    guides = two_in_one._guides(build.inputs(two_in_one.config))
    assert guides.shape == (1, 2, 4, 3, 4, 6) and guides[:, :, :, :2].abs().max() == 0


def test_invalid_depth_does_not_poison_the_scene(build):
    config = build.nano_config()
    inputs = build.inputs(config)
    inputs.depth[0, 0, 0, :8] = 0.0
    inputs.depth[0, 0, 0, 8:16] = math.inf
    gaussians = build.decoder(config)(inputs)
    assert all(torch.isfinite(value).all() for value in vars(gaussians).values())


def test_bfloat16_autocast_leaves_the_geometry_in_float32(build):
    config = build.nano_config()
    decoder, inputs = build.decoder(config), build.inputs(config)
    exact = decoder(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = decoder(inputs)
    assert mixed.means.dtype == torch.float32
    torch.testing.assert_close(mixed.means, exact.means)


def test_mamba_blocks_fit_the_small_decoder_too(build):
    config = build.nano_config(attention_every=2, ssm_state=8, ssm_head=8, ssm_chunk=16)
    decoder = build.decoder(config, random_weights=True)
    assert [type(block).__name__ for block in decoder.trunk.blocks] == ["MambaBlock", "TransformerBlock"]
    assert torch.isfinite(decoder(build.inputs(config)).means).all()


def test_helper_picks_the_anchor_frames(build):
    config = build.nano_config()
    inputs = build.inputs(config)
    clip = torch.arange(17.0)[:, None, None].expand(1, 2, 17, 32, 48)
    rgb = clip[:, :, :, None].expand(-1, -1, -1, 3, -1, -1)
    made = anchor_inputs(config, inputs.latents, inputs.c2w, inputs.K, rgb, clip, clip > 5)
    assert made.depth[0, 1, :, 0, 0].tolist() == [0, 8, 16] and made.rgb.shape == (1, 2, 3, 3, 32, 48)
    assert made.visible[0, 0, :, 0, 0].tolist() == [0, 1, 1] and made.visible.dtype == rgb.dtype
    assert made.to("meta").latents.device.type == "meta" and made.to("meta").height == 32


def test_missing_or_wrong_anchor_maps_are_explained(build):
    config = build.nano_config()
    decoder, inputs = build.decoder(config), build.inputs(config)
    with pytest.raises(InputError, match="lack depth, visible"):
        decoder(replace(inputs, depth=None, visible=None))
    with pytest.raises(InputError, match="lack rgb"):
        decoder(replace(inputs, rgb=None))
    with pytest.raises(InputError, match="give frames 0, 8, 16"):
        decoder(replace(inputs, **{n: getattr(inputs, n)[:, :, :2] for n in ("rgb", "depth", "visible")}))
    short = replace(inputs, latents=inputs.latents[:, :, :, :2], c2w=inputs.c2w[:, :, :9])
    with pytest.raises(InputError, match="anchored on frame 16 but the clip has 9"):
        decoder(short)
    with pytest.raises(ValueError, match="axis"):
        replace(inputs, depth=inputs.depth[..., :-1])


def test_config_survives_json_and_refuses_contradictions():
    assert DecoderConfig(**json.loads(json.dumps(dataclasses.asdict(nano())))) == nano()
    for wrong in (
        dict(head="anchored"),
        dict(guides=True),
        dict(use_time=True, time_layers=False),
        dict(prune_ratio=1.0),
    ):
        with pytest.raises(ValueError, match="DecoderConfig"):
            DecoderConfig(**wrong)
    for wrong in (dict(frame=0, stride=3), dict(frame=0, stride=1, views="some")):
        with pytest.raises(ValueError, match="Anchor"):
            Anchor(**wrong)


def test_nano_has_its_size():
    with torch.device("meta"):
        assert sum(p.numel() for p in GaussianDecoder(nano()).parameters()) <= 12_000_000
