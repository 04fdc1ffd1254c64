import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lyra.models.decoder import DecoderInputs, GaussianDecoder, official_dynamic, official_static
from lyra.models.decoder.config import DecoderConfig
from lyra.models.decoder.head_official import activate
from lyra.models.decoder.official import load_official, native_name, official_name, to_official
from lyra.structures import InputError

NAMES = json.loads((Path(__file__).parent / "official_names.json").read_text())


def on_meta(config):
    with torch.device("meta"):
        return GaussianDecoder(config)


@pytest.mark.parametrize("config", [official_static(), official_dynamic()], ids=["static", "dynamic"])
def test_every_official_tensor_has_its_place_and_shape(config):
    decoder = on_meta(config)
    exported = {name: list(tensor.shape) for name, tensor in to_official(decoder).items()}
    assert len(NAMES) == 254 and exported == NAMES
    assert all(official_name(native_name(name)) == name for name in NAMES)
    assert {native_name(name) for name in NAMES} == set(decoder.state_dict())
    assert sum(p.numel() for p in decoder.parameters()) == 32_753_996


def test_full_scale_shapes_from_latents_to_pruned_gaussians():
    decoder = on_meta(official_static())
    views, frames, height, width = 6, 121, 704, 1280
    with torch.device("meta"):
        inputs = DecoderInputs(
            latents=torch.empty(1, views, 16, 16, 88, 160),
            c2w=torch.empty(1, views, frames, 4, 4),
            K=torch.empty(1, views, 3, 3),
            height=height,
            width=width,
            plucker=torch.empty(1, views, 32, 16, 88, 160),
        )
        tokens = decoder.embed(inputs)
        assert tokens.shape == (1, 337_920, 512)
        gaussians = decoder.head(tokens.unflatten(1, (6, 16, 44, 80)), inputs)
        assert gaussians.means.shape == (1, 10_222_080, 3)
        assert gaussians.prune(1 - 0.8).means.shape == (1, 2_044_415, 3)


def test_weights_survive_the_trip_and_training_state_is_tolerated(build):
    source = build.decoder(build.official_config(), seed=1)
    target = build.decoder(build.official_config(), seed=2)
    load_official(target, {"module": to_official(source), "global_steps": 83_000, "optimizer": None})
    for (name, a), b in zip(source.state_dict().items(), target.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_wrong_files_are_named(build):
    decoder = build.decoder(build.official_config())
    state = to_official(decoder)
    name = "enc_blocks.0.mamba.mamba_scans.1.D"
    with pytest.raises(InputError, match=r"1 missing \(enc_blocks\.0\.mamba\.mamba_scans\.1\.D\)"):
        load_official(decoder, {key: value for key, value in state.items() if key != name})
    with pytest.raises(InputError, match=r"deconv\.bias \[5\] instead of \[12\]"):
        load_official(decoder, state | {"deconv.bias": torch.zeros(5)})
    with pytest.raises(InputError, match=r"1 surplus \(enc_blocks\.9\.x\)"):
        load_official(decoder, state | {"enc_blocks.9.x": torch.zeros(1)})
    with pytest.raises(InputError, match="another network"):
        load_official(decoder, state | {"unet.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="no tensors"):
        load_official(decoder, {"module": {"a": 1}})
    with pytest.raises(InputError, match="no counterpart"):
        to_official(build.decoder(build.nano_config()))


def published_forward(state, config, latents, plucker, time):
    """The published network written once more, from its tensors, with loops where loops are plainest.

    Returns the raw head output [V, 12, T, h, w] of one scene.
    """

    def embed(name, volume):  # [C, t, h, w] -> [t, h/2, w/2, D]
        weight, bias = state[f"{name}.proj.weight"], state[f"{name}.proj.bias"]
        channels, t, h, w = volume.shape
        patches = volume.reshape(channels, t, h // 2, 2, w // 2, 2)
        x = torch.einsum("cthiwj,dcij->thwd", patches, weight[:, :, 0]) + bias
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.norm.weight"], state[f"{name}.norm.bias"], 1e-5)

    def rms(x, weight):
        return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-5) * weight

    def scan(prefix, z, values, dt):
        kernel, bias = state[f"{prefix}.conv1d.weight"], state[f"{prefix}.conv1d.bias"]
        taps = kernel.shape[-1]
        padded = torch.cat([values.new_zeros(taps - 1, values.shape[1]), values])
        mixed = sum(padded[k : k + len(values)] * kernel[:, 0, k] for k in range(taps)) + bias
        mixed = mixed * torch.sigmoid(mixed)
        inner, n = z.shape[-1], config.ssm_state
        x, B, C = mixed[:, :inner], mixed[:, inner : inner + n], mixed[:, inner + n :]
        dt = torch.log1p(torch.exp(dt + state[f"{prefix}.dt_bias"]))
        A = -torch.exp(state[f"{prefix}.A_log"])
        ys = []
        memory = x.new_zeros(inner // config.ssm_head, config.ssm_head, n)
        for l in range(len(x)):
            x_l = x[l].reshape(-1, config.ssm_head)
            memory = torch.exp(dt[l] * A)[:, None, None] * memory
            memory = memory + dt[l][:, None, None] * x_l[:, :, None] * B[l]
            ys.append((memory @ C[l] + state[f"{prefix}.D"][:, None] * x_l).flatten())
        y = torch.stack(ys) * (z * torch.sigmoid(z))
        return rms(y, state[f"{prefix}.norm.weight"])

    tokens = torch.stack([embed("patch_embed", z) for z in latents])
    if time is not None:
        tokens = tokens + embed("patch_time_embed", time[:, :-1]) + embed("patch_time_embed_tgt", time[:, -1:])
    tokens = tokens + torch.stack([embed("patch_plucker_embed", p) for p in plucker])
    grid = tokens.shape
    x = tokens.reshape(-1, config.width)
    for block in range(config.depth):
        prefix = f"enc_blocks.{block}"
        if (block + 1) % config.attention_every == 0:

            def linear(name, value, prefix=prefix):
                return value @ state[f"{prefix}.{name}.weight"].T + state[f"{prefix}.{name}.bias"]

            def norm(name, value, prefix=prefix):
                weight, bias = state[f"{prefix}.{name}.weight"], state[f"{prefix}.{name}.bias"]
                return F.layer_norm(value, value.shape[-1:], weight, bias, 1e-6)

            q, k, v = linear("attn.qkv", norm("norm1", x)).reshape(len(x), 3, config.heads, -1).unbind(1)
            weight = torch.softmax(torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(q.shape[-1]), dim=-1)
            x = x + linear("attn.proj", torch.einsum("hij,jhd->ihd", weight, v).reshape(len(x), -1))
            x = x + linear("mlp.fc2", F.gelu(linear("mlp.fc1", norm("norm2", x))))
        else:
            projected = rms(x, state[f"{prefix}.norm.weight"]) @ state[f"{prefix}.mamba.in_proj.weight"].T
            inner, n = config.ssm_expand * config.width, config.ssm_state
            z, values, dt = projected.tensor_split((inner, 2 * inner + 2 * n), dim=1)
            forth = scan(f"{prefix}.mamba.mamba_scans.0", z, values, dt)
            back = scan(f"{prefix}.mamba.mamba_scans.1", z.flip(0), values.flip(0), dt.flip(0)).flip(0)
            x = x + (forth + back) @ state[f"{prefix}.mamba.out_proj.weight"].T
    x = F.layer_norm(x, x.shape[-1:], state["enc_norm.weight"], state["enc_norm.bias"], 1e-6)
    x = x.reshape(grid)
    views, t, h, w, _ = grid
    out = x.new_zeros(views, 12, 8 * t + 8, 2 * h, 2 * w)  # 4 frames of padding on both sides, cut below
    contribution = torch.einsum("vthwd,dckij->vcthwkij", x, state["deconv.weight"])
    for frame in range(t):
        patch = contribution[:, :, frame].permute(0, 1, 4, 2, 5, 3, 6).reshape(views, 12, 9, 2 * h, 2 * w)
        out[:, :, 8 * frame : 8 * frame + 9] += patch
    return out[:, :, 4 : 4 + 8 * (t - 1) + 1] + state["deconv.bias"][:, None, None, None]


@pytest.mark.parametrize("use_time", [False, True], ids=["static", "dynamic"])
def test_network_is_the_published_one_at_toy_size(build, use_time):
    config = build.official_config(use_time=use_time)
    decoder = build.decoder(config, random_weights=True).double()
    inputs = build.inputs(config, views=2, height=32, width=48, dtype=torch.float64)
    time = inputs.time_latents[0] if use_time else None
    raw = published_forward(to_official(decoder), config, inputs.latents[0], inputs.plucker[0], time)
    gaussians = decoder(inputs)

    # Gaussians from the raw map, in scalar words: views, frames, rows, columns.
    raw = raw.permute(0, 2, 3, 4, 1)
    view, frame, row, column = 1, 5, 2, 3
    index = ((view * 9 + frame) * 4 + row) * 6 + column
    distance, rgb, scale, rotation, opacity = raw[view, frame, row, column].split((1, 3, 3, 4, 1))
    omega = 1 / (1 + math.exp(-(distance.item() - 1.65)))
    s = 0.1 * (1 - omega) + 500 * omega
    K, c2w = inputs.K[0, view].double(), inputs.c2w[0, view, frame].double()
    x = (column + 0.5 - K[0, 2] / 8) / (K[0, 0] / 8)
    y = (row + 0.5 - K[1, 2] / 8) / (K[1, 1] / 8)
    ray = torch.tensor([x, y, 1.0], dtype=torch.float64)
    mean = c2w[:3, 3] + s * (c2w[:3, :3] @ (ray / ray.norm()))
    torch.testing.assert_close(gaussians.means[0, index], mean, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(gaussians.colors[0, index], 0.5 * torch.tanh(rgb) + 0.5, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gaussians.scales[0, index], (0.3 * torch.exp(scale - 1)).clamp(max=0.3))
    torch.testing.assert_close(gaussians.quats[0, index], rotation / rotation.norm(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gaussians.opacities[0, index], 1 / (1 + torch.exp(2 - opacity[0])))
    # And the whole map: colours are a bijection of three raw channels of every Gaussian.
    everywhere = torch.tanh(raw[..., 1:4].reshape(-1, 3)) * 0.5 + 0.5
    torch.testing.assert_close(gaussians.colors[0], everywhere, rtol=1e-9, atol=1e-9)


def test_activations_of_zero_and_of_large_values():
    rays = torch.zeros(1, 2, 3), torch.tensor([[[0.0, 0, 1], [1, 0, 0]]])
    raw = torch.zeros(1, 2, 12)
    raw[0, :, 7] = 3.0  # rotation (3, 0, 0, 0)
    raw[0, 1] += 9.0
    gaussians = activate(raw, *rays, DecoderConfig())
    assert gaussians.means[0, 0, 2].item() == pytest.approx(80.6, abs=0.1)
    assert gaussians.opacities[0, 0].item() == pytest.approx(0.11920292)
    assert gaussians.scales[0, 0, 0].item() == pytest.approx(0.3 / math.e)
    assert gaussians.colors[0, 0].tolist() == [0.5, 0.5, 0.5]
    assert gaussians.quats[0, 0].tolist() == [1, 0, 0, 0]
    assert gaussians.scales[0, 1].tolist() == pytest.approx([0.3] * 3)
    assert 499 < gaussians.means[0, 1, 0].item() < 500


def test_zero_initialised_rays_and_times_do_not_change_the_first_output(build):
    static = build.decoder(build.official_config())
    dynamic = build.decoder(build.official_config(use_time=True))
    dynamic.load_state_dict(static.state_dict())
    inputs = build.inputs(dynamic.config)
    other_rays = replace(inputs, plucker=inputs.plucker + 1)
    with torch.no_grad():
        plain, timed, turned = static(inputs), dynamic(inputs), dynamic(other_rays)
        assert torch.equal(plain.means, timed.means) and torch.equal(timed.opacities, turned.opacities)
        dynamic.embed_target_time.proj.weight.normal_()
        assert not torch.equal(dynamic(inputs).means, timed.means)


def test_bfloat16_rays_differ_slightly_from_float32_ones(build):
    config = build.official_config()
    inputs = build.inputs(config)
    clean = build.decoder(config)(inputs)
    rough = build.decoder(replace(config, ray_dtype="bfloat16"))(inputs)
    shift = (clean.means - rough.means).norm(dim=-1) / clean.means.norm(dim=-1)
    assert 1e-4 < shift.max() < 0.05 and rough.means.dtype == torch.float32


def test_pruning_inside_forward_keeps_the_most_opaque(build):
    config = build.official_config()
    inputs = build.inputs(config)
    everything = build.decoder(config)(inputs)
    pruned = build.decoder(replace(config, prune_ratio=0.8))(inputs)
    count = everything.opacities.shape[1]
    assert pruned.opacities.shape[1] == int(count * (1 - 0.8))
    order = sorted(range(count), key=lambda i: -everything.opacities[0, i].item())[: pruned.opacities.shape[1]]
    torch.testing.assert_close(pruned.means[0], everything.means[0, order])
    torch.testing.assert_close(pruned.opacities[0], everything.opacities[0, order])


def test_stride_four_has_four_times_the_gaussians(build):
    config = build.official_config(output_factor=(1, 4, 4))
    decoder = build.decoder(config)
    assert decoder.head.deconv.kernel_size == (9, 4, 4)
    assert decoder(build.inputs(config, views=1)).means.shape == (1, 9 * 8 * 12, 3)


def test_checkpointed_blocks_give_the_same_gradients(build):
    grads = []
    for checkpointed in (False, True):
        decoder = build.decoder(build.official_config(checkpoint_blocks=checkpointed))
        decoder(build.inputs(decoder.config)).means.sum().backward()
        grads.append(decoder.embed_latents.proj.weight.grad)
    torch.testing.assert_close(*grads)


def test_missing_fields_and_wrong_sizes_are_explained(build):
    config = build.official_config(use_time=True)
    decoder, inputs = build.decoder(config), build.inputs(config)
    with pytest.raises(InputError, match="lack plucker"):
        decoder(replace(inputs, plucker=None))
    with pytest.raises(InputError, match="lack time_latents"):
        decoder(replace(inputs, time_latents=None))
    with pytest.raises(InputError, match="one camera per frame"):
        decoder(replace(inputs, c2w=inputs.c2w[:, :, :8]))
    with pytest.raises(InputError, match="multiples of 16"):
        decoder(replace(inputs, height=40))
    with pytest.raises(InputError, match="latent grid"):
        decoder(replace(inputs, height=48))
    with pytest.raises(InputError, match="channels"):
        decoder(replace(inputs, latents=inputs.latents[:, :, :3], time_latents=None))
