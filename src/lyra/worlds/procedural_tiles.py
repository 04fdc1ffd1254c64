"""Tiles made by formula, for machines without a texture pack; every tile repeats seamlessly."""

import numpy as np

from lyra.worlds.noise import spectral_noise

_PALETTE = {
    "terrain": ((0.42, 0.47, 0.25), (0.55, 0.46, 0.33), (0.62, 0.55, 0.42), (0.33, 0.42, 0.2)),
    "ground": ((0.5, 0.42, 0.32), (0.66, 0.6, 0.48)),
    "vegetation": ((0.25, 0.4, 0.15), (0.36, 0.46, 0.18), (0.2, 0.33, 0.14)),
    "wood": ((0.55, 0.37, 0.2), (0.72, 0.55, 0.34), (0.36, 0.23, 0.13)),
    "stone": ((0.55, 0.54, 0.52), (0.45, 0.43, 0.4), (0.66, 0.62, 0.55)),
    "wall": ((0.82, 0.8, 0.75), (0.62, 0.33, 0.25), (0.75, 0.68, 0.55)),
    "paving": ((0.5, 0.49, 0.47), (0.6, 0.5, 0.42)),
    "tile": ((0.85, 0.85, 0.83), (0.55, 0.62, 0.66)),
    "metal": ((0.5, 0.52, 0.55), (0.45, 0.36, 0.3)),
    "fabric": ((0.6, 0.2, 0.2), (0.25, 0.35, 0.55), (0.8, 0.75, 0.65)),
    "roof": ((0.5, 0.24, 0.17),),
    "water": ((0.2, 0.36, 0.42),),
    "photo": ((0.6, 0.5, 0.4), (0.3, 0.45, 0.6), (0.55, 0.6, 0.35), (0.65, 0.35, 0.4)),
}


def make_tiles(seed: int, size: int = 512, limit: int | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Tiles [N, size, size, 3] uint8 (sRGB) and their categories.

    Categories come round robin, so a small ``limit`` still spreads over the main materials.
    """
    order = [
        (category, colours[turn]) for turn in range(4) for category, colours in _PALETTE.items() if turn < len(colours)
    ]
    order = order[: limit or len(order)]
    rng = np.random.default_rng([seed, 29])
    tiles = np.stack([_tile(rng, category, colour, size) for category, colour in order])
    return tiles, tuple(category for category, _ in order)


def _tile(rng: np.random.Generator, category: str, colour: tuple[float, float, float], size: int) -> np.ndarray:
    base = np.clip(np.asarray(colour) * rng.uniform(0.85, 1.15) + rng.normal(0, 0.03, 3), 0.03, 0.95)
    fine = spectral_noise(rng, size, size, 0.7, cutoff=8)
    broad = spectral_noise(rng, size, size, 1.6, cutoff=2)
    tone: np.ndarray = 1.0 + 0.09 * fine + 0.07 * broad
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.broadcast_to(line[None], (size, size)), np.broadcast_to(line[:, None], (size, size))
    hue: np.ndarray = np.zeros((size, size, 3), np.float32)
    if category in ("terrain", "vegetation", "ground"):
        tone = tone + 0.12 * np.maximum(fine, 0) - 0.1 * np.maximum(-broad, 0)
        hue += 0.035 * spectral_noise(rng, size, size, 1.2, cutoff=3)[..., None] * np.array([1.0, 0.3, -0.6])
    elif category == "wood":
        stretched = spectral_noise(rng, size, size, 1.0, cutoff=2)
        grain = np.sin(2 * np.pi * (8 * y + 0.25 * stretched))
        board = np.floor(y * 4)
        tone = 1.0 + 0.07 * grain + 0.04 * fine + 0.08 * np.cos(2.4 * board) - 0.4 * ((y * 4) % 1.0 < 0.02)
    elif category in ("wall", "paving", "tile", "roof"):
        rows = {"wall": 8, "paving": 6, "tile": 4, "roof": 8}[category]
        columns = {"wall": 4, "paving": 4, "tile": 4, "roof": 8}[category]
        row = np.floor(y * rows)
        shift = 0.5 * (row % 2) if category != "tile" else 0.0
        column = np.floor(x * columns + shift) % columns
        joint = ((y * rows) % 1.0 < 0.07) | ((x * columns + shift) % 1.0 < 0.05)
        shade = rng.normal(0, 0.09, (rows, columns))[row.astype(int), column.astype(int)]
        tone = np.where(joint, 0.75, tone + shade)
    elif category == "fabric":
        tone = tone + 0.08 * np.sin(2 * np.pi * 64 * x) * np.sin(2 * np.pi * 64 * y) + 0.15 * ((x * 8) % 1.0 < 0.3)
    elif category == "metal":
        tone = 1.0 + 0.05 * fine + 0.1 * broad - 0.25 * ((x * 2) % 1.0 < 0.015) - 0.25 * ((y * 2) % 1.0 < 0.015)
    elif category == "photo":
        for _ in range(6):
            weight = np.clip(0.5 + 2.5 * spectral_noise(rng, size, size, 1.9), 0, 1)[..., None]
            hue = hue * (1 - weight) + weight * rng.normal(0, 0.22, 3)
    picture = np.clip(base * tone[..., None] + hue, 0.02, 0.98)
    return np.rint(picture * 255).astype(np.uint8)
