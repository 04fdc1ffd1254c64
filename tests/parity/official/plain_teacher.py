"""The published diffusion network and sampler written once more in NumPy, float64, from their description alone."""

import math

import numpy as np


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def layer_norm(x, eps=1e-6):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


def rms_norm(x, weight, eps=1e-6):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def rotary(t, h, w, head, fps=24.0):
    """[t h w, head / 2] angles: time, height, width; time frequencies stretched for twice the length."""
    dim_h = dim_w = head // 6 * 2
    dim_t = head - dim_h - dim_w
    base_t = 10000 * 2 ** (dim_t / (dim_t - 2))
    angles = []
    for frame in range(t):
        for row in range(h):
            for column in range(w):
                parts = [frame * 24 / fps / base_t ** (2 * k / dim_t) for k in range(dim_t // 2)]
                parts += [row / 10000 ** (2 * k / dim_h) for k in range(dim_h // 2)]
                parts += [column / 10000 ** (2 * k / dim_w) for k in range(dim_w // 2)]
                angles.append(parts)
    return np.array(angles)


def rotate(x, angles):
    """Rotate-half form; x [N, heads, head]."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def attention(q, k, v):
    """[N, heads, head] each."""
    scores = np.einsum("ihd,jhd->hij", q, k) / math.sqrt(q.shape[-1])
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("hij,jhd->ihd", scores / scores.sum(-1, keepdims=True), v).reshape(len(q), -1)


def network(state, hidden, c_noise, text, heads, layers):
    """hidden [channels, t, h, w] with all input channels, text [L, D]; returns [16, t, h, w]."""
    channels, t, h, w = hidden.shape
    patches = hidden.reshape(channels, t, h // 2, 2, w // 2, 2)
    x = patches.transpose(1, 2, 4, 0, 3, 5).reshape(t * h // 2 * w // 2, -1) @ state["x_embedder.proj.1.weight"].T
    width = x.shape[1]
    k = np.arange(width // 2)
    angle = c_noise * np.exp(-math.log(1e4) * k / (width // 2))
    sinusoid = np.concatenate([np.cos(angle), np.sin(angle)])
    E = rms_norm(sinusoid, state["affline_norm.weight"])
    L = silu(sinusoid @ state["t_embedder.1.linear_1.weight"].T) @ state["t_embedder.1.linear_2.weight"].T

    def modulation(prefix):
        first, second = state[f"{prefix}.adaLN_modulation.1.weight"], state[f"{prefix}.adaLN_modulation.2.weight"]
        return silu(E) @ first.T @ second.T

    position = (
        state["extra_pos_embedder.pos_emb_t"][:t, None, None]
        + state["extra_pos_embedder.pos_emb_h"][None, : h // 2, None]
        + state["extra_pos_embedder.pos_emb_w"][None, None, : w // 2]
    ).reshape(-1, width)
    position = position / (1e-6 + np.sqrt((position**2).mean(-1, keepdims=True)))
    angles = rotary(t, h // 2, w // 2, width // heads)
    for block in range(layers):
        x = x + position
        for part in range(3):
            prefix = f"blocks.block{block}.blocks.{part}"
            shift, scale, gate = np.split(modulation(prefix) + L, 3)
            y = layer_norm(x) * (1 + scale) + shift
            if part == 2:
                y = gelu(y @ state[f"{prefix}.block.layer1.weight"].T) @ state[f"{prefix}.block.layer2.weight"].T
            else:
                source = y if part == 0 else text
                q, key, v = (
                    (values @ state[f"{prefix}.block.attn.{name}.0.weight"].T).reshape(len(values), heads, -1)
                    for name, values in (("to_q", y), ("to_k", source), ("to_v", source))
                )
                q = rms_norm(q, state[f"{prefix}.block.attn.to_q.1.weight"])
                key = rms_norm(key, state[f"{prefix}.block.attn.to_k.1.weight"])
                if part == 0:
                    q, key = rotate(q, angles), rotate(key, angles)
                y = attention(q, key, v) @ state[f"{prefix}.block.attn.to_out.0.weight"].T
            x = x + gate * y
    shift, scale = np.split(modulation("final_layer") + L[: 2 * width], 2)
    x = (layer_norm(x) * (1 + scale) + shift) @ state["final_layer.linear.weight"].T
    x = x.reshape(t, h // 2, w // 2, 2, 2, 1, -1)  # row, column, t, channel inside a patch
    return x.transpose(6, 0, 5, 1, 3, 2, 4).reshape(-1, t, h, w)


def channels(x, sigma, warped, mask, indicator_mask):
    """All input channels: noisy latent scaled by c_in, condition mask, (latent, mask) of each buffer, padding mask."""
    c_in = 1 / math.sqrt(sigma**2 + 0.25)
    parts = [x * c_in, indicator_mask[None]]
    for latent, validity in zip(warped, mask, strict=True):
        parts += [latent, validity]
    return np.concatenate([*parts, np.zeros_like(x[:1])])


def sigmas(steps=35, low=0.0002, high=80.0, rho=7):
    a, b = high ** (1 / rho), low ** (1 / rho)
    return [(a + i / (steps - 1) * (b - a)) ** rho for i in range(steps)] + [0.0]


def sample(F, z, frame_noise, noise, guidance=1.0, steps=35):
    """The published loop. F(x, sigma, conditional) is the raw network; z and frame_noise [C, h, w] of frame 0."""
    levels = sigmas(steps)
    x = noise * math.sqrt(levels[0] ** 2 + 1)
    for level, following in zip(levels[:-1], levels[1:], strict=True):
        given = level > 0.001
        x = x.copy()
        if given:
            own, outer = (1 / math.sqrt(s**2 + 0.25) for s in (0.001, level))
            x[:, 0] = (z + 0.001 * frame_noise) * own / outer
        wanted, unwanted = F(x, level, True), F(x, level, False)
        out = wanted + guidance * (wanted - unwanted)
        c_skip, c_out = 0.25 / (level**2 + 0.25), 0.5 * level / math.sqrt(level**2 + 0.25)
        if given:
            out[:, 0] = (z - c_skip * x[:, 0]) / c_out
        clean = c_skip * x + c_out * out
        x = x + (x - clean) / level * (following - level)
    return x
