"""The published 3D decoder written once more in NumPy, float64, token by token, from its description alone."""

import math

import numpy as np


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def layer_norm(x, weight, bias, eps):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias


def rms_norm(x, weight):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight


def embed(state, name, volume):
    """[C, t, h, w] to tokens [t h/2 w/2, D]."""
    weight, bias = state[f"{name}.proj.weight"], state[f"{name}.proj.bias"]
    _, t, h, w = volume.shape
    tokens = []
    for frame in range(t):
        for row in range(0, h, 2):
            for column in range(0, w, 2):
                patch = volume[:, frame, row : row + 2, column : column + 2]
                tokens.append((weight[:, :, 0] * patch).sum(axis=(1, 2, 3)) + bias)
    return layer_norm(np.array(tokens), state[f"{name}.norm.weight"], state[f"{name}.norm.bias"], 1e-5)


def scan(state, prefix, z, values, dt, n, head):
    """One direction over tokens [L, …], state zero before the first."""
    kernel, bias = state[f"{prefix}.conv1d.weight"][:, 0], state[f"{prefix}.conv1d.bias"]
    inner = z.shape[1]
    heads = inner // head
    A, D = -np.exp(state[f"{prefix}.A_log"]), state[f"{prefix}.D"]
    memory = np.zeros((heads, head, n))
    out = np.zeros_like(z)
    for l in range(len(values)):
        mixed = bias.copy()
        for tap in range(4):
            if l - 3 + tap >= 0:
                mixed += kernel[:, tap] * values[l - 3 + tap]
        mixed = silu(mixed)
        x, B, C = mixed[:inner].reshape(heads, head), mixed[inner : inner + n], mixed[inner + n :]
        step = np.log1p(np.exp(dt[l] + state[f"{prefix}.dt_bias"]))
        memory = np.exp(step * A)[:, None, None] * memory + step[:, None, None] * x[:, :, None] * B
        out[l] = (memory @ C + D[:, None] * x).reshape(-1)
    return rms_norm(out * silu(z), state[f"{prefix}.norm.weight"])


def trunk(state, x, depth, every, heads, n, head):
    for i in range(depth):
        b = f"enc_blocks.{i}"
        if (i + 1) % every == 0:

            def norm(name, value, b=b):
                return layer_norm(value, state[f"{b}.{name}.weight"], state[f"{b}.{name}.bias"], 1e-6)

            def linear(name, value, b=b):
                return value @ state[f"{b}.{name}.weight"].T + state[f"{b}.{name}.bias"]

            q, k, v = (
                part.reshape(len(x), heads, -1).transpose(1, 0, 2)
                for part in np.split(linear("attn.qkv", norm("norm1", x)), 3, axis=1)
            )
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            mixed = (scores / scores.sum(-1, keepdims=True)) @ v
            x = x + linear("attn.proj", mixed.transpose(1, 0, 2).reshape(len(x), -1))
            x = x + linear("mlp.fc2", gelu(linear("mlp.fc1", norm("norm2", x))))
        else:
            y = rms_norm(x, state[f"{b}.norm.weight"]) @ state[f"{b}.mamba.in_proj.weight"].T
            inner = 2 * x.shape[1]
            z, values, dt = y[:, :inner], y[:, inner : 2 * inner + 2 * n], y[:, 2 * inner + 2 * n :]
            scans = f"{b}.mamba.mamba_scans"
            forth = scan(state, f"{scans}.0", z, values, dt, n, head)
            back = scan(state, f"{scans}.1", z[::-1], values[::-1], dt[::-1], n, head)[::-1]
            x = x + (forth + back) @ state[f"{b}.mamba.out_proj.weight"].T
    return layer_norm(x, state["enc_norm.weight"], state["enc_norm.bias"], 1e-6)


def deconvolve(state, x, t, h, w):
    """Tokens of one view to [T, 2h, 2w, 12]: kernel (9, 2, 2), stride (8, 2, 2), padding (4, 0, 0)."""
    weight = state["deconv.weight"]  # [D, 12, 9, 2, 2]
    full = np.zeros((8 * (t - 1) + 9, 2 * h, 2 * w, 12))
    for frame in range(t):
        for row in range(h):
            for column in range(w):
                token = x[(frame * h + row) * w + column]
                piece = np.tensordot(token, weight, axes=1).transpose(1, 2, 3, 0)
                full[8 * frame : 8 * frame + 9, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += piece
    return full[4:-4] + state["deconv.bias"]


def gaussian(raw, origin, direction):
    """14 numbers: position 3, opacity, scale 3, quaternion 4, rgb 3."""
    sigmoid = lambda value: 1 / (1 + math.exp(-value))  # noqa: E731
    omega = sigmoid(raw[0] - 1.65)
    length = 0.1 * (1 - omega) + 500 * omega
    scale = np.minimum(np.exp(raw[4:7] - (1 - math.log(0.3))), 0.3)
    rotation = raw[7:11] / np.linalg.norm(raw[7:11])
    colour = 0.5 * np.tanh(raw[1:4]) + 0.5
    return np.concatenate([origin + length * direction, [sigmoid(raw[11] - 2)], scale, rotation, colour])


def decode(state, config, latents, plucker, time, c2w, K):
    """All Gaussians [N, 14]: views, frames, rows, columns. latents and plucker [V, C, t, h, w], c2w [V, T, 4, 4]."""
    V, _, t, h, w = latents.shape
    tokens = []
    for view in range(V):
        x = embed(state, "patch_embed", latents[view]) + embed(state, "patch_plucker_embed", plucker[view])
        if time is not None:
            target = np.repeat(time[:, -1:], t, axis=1)
            x = x + embed(state, "patch_time_embed", time[:, :-1]) + embed(state, "patch_time_embed_tgt", target)
        tokens.append(x)
    x = trunk(
        state, np.concatenate(tokens), config.depth, config.attention_every, config.heads, config.ssm_state,
        config.ssm_head,
    )  # fmt: skip
    result = []
    for view, part in enumerate(np.split(x, V)):
        raw = deconvolve(state, part, t, h // 2, w // 2)
        fx, fy, cx, cy = (K[view][i] / 8 for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
        for frame in range(len(raw)):
            pose = c2w[view, frame]
            for row in range(h):
                for column in range(w):
                    ray = np.array([(column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy, 1.0])
                    ray = pose[:3, :3] @ (ray / np.linalg.norm(ray))
                    result.append(gaussian(raw[frame, row, column], pose[:3, 3], ray))
    return np.array(result)


def prune(gaussians, ratio=0.8):
    keep = int(len(gaussians) * (1 - ratio))
    return gaussians[np.argsort(-gaussians[:, 3], kind="stable")[:keep]]
