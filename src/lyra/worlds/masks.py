"""Procedural silhouettes: alpha masks for foliage, mountain ridges, windows, fences and holes.

A mask is a [256, 256] uint8 picture; a surface exists where the bilinear value is at least 128.
Row 0 is the top of the shape.
"""

from dataclasses import dataclass

import numpy as np

from lyra.worlds.noise import ridge_line, spectral_noise

MASK_SIZE = 256


@dataclass(frozen=True)
class MaskSet:
    """Silhouettes and what they show.

    Attributes:
        masks: [K, 256, 256] uint8.
        kinds: K words: leaves, crown, conifer, bush, grass, ridge, treeline, panes, frame, hole, opening, arch,
            disc, fence, rail.
    """

    masks: np.ndarray
    kinds: tuple[str, ...]

    def of(self, kind: str) -> list[int]:
        """Indices of the masks of one kind."""
        return [index for index, name in enumerate(self.kinds) if name == kind]


def make_masks(seed: int) -> MaskSet:
    """Draw the full set of silhouettes; the random ones differ from seed to seed."""
    rng = np.random.default_rng([seed, 17])
    masks: list[np.ndarray] = []
    kinds: list[str] = []

    def add(kind: str, field: np.ndarray) -> None:
        masks.append(np.clip(np.rint(field * 255.0), 0, 255).astype(np.uint8))
        kinds.append(kind)

    for coverage in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75):
        add("leaves", _leaves(rng, coverage))
    for _ in range(6):
        add("crown", _crown(rng))
    for _ in range(4):
        add("conifer", _conifer(rng))
    for _ in range(5):
        add("bush", _bush(rng))
    for _ in range(4):
        add("grass", _grass(rng))
    for slope in (1.0, 1.1, 1.2, 1.35, 1.5, 1.7):
        add("ridge", _ridge(rng, slope))
    for _ in range(3):
        add("treeline", _treeline(rng))
    for columns, rows in ((1, 1), (2, 2), (2, 3), (1, 2)):
        add("panes", _panes(columns, rows))
        add("frame", _frame(columns, rows))
    add("hole", 1.0 - _rectangle(0.24, 0.76, 0.2, 0.68))
    add("hole", 1.0 - _rectangle(0.15, 0.85, 0.15, 0.75))
    add("hole", 1.0 - np.maximum(_rectangle(0.12, 0.4, 0.18, 0.7), _rectangle(0.6, 0.88, 0.18, 0.7)))
    add("opening", 1.0 - _rectangle(0.25, 0.75, 0.17, 0.82))
    add("arch", 1.0 - _arch())
    add("disc", _disc())
    add("fence", _fence())
    add("rail", _rail())
    return MaskSet(np.stack(masks), tuple(kinds))


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """x and y in 0…1 at pixel centres, y downwards."""
    line = (np.arange(MASK_SIZE, dtype=np.float32) + 0.5) / MASK_SIZE
    return np.broadcast_to(line[None], (MASK_SIZE, MASK_SIZE)), np.broadcast_to(line[:, None], (MASK_SIZE, MASK_SIZE))


def _edge(distance: np.ndarray, width: float = 0.006) -> np.ndarray:
    """Coverage of a shape from its signed distance (positive inside)."""
    return np.clip(0.5 + distance / (2 * width), 0.0, 1.0)


def _threshold(field: np.ndarray, coverage: float, softness: float) -> np.ndarray:
    level = np.quantile(field, 1.0 - coverage)
    return np.clip(0.5 + (field - level) / softness, 0.0, 1.0)


def _leaves(rng: np.random.Generator, coverage: float) -> np.ndarray:
    fine = spectral_noise(rng, MASK_SIZE, MASK_SIZE, 0.9, cutoff=10)
    broad = spectral_noise(rng, MASK_SIZE, MASK_SIZE, 1.5, cutoff=2)
    return _threshold(fine + 0.5 * broad, coverage, 0.5)


def _crown(rng: np.random.Generator) -> np.ndarray:
    x, y = _grid()
    blob = np.full_like(x, -1.0)
    for _ in range(14):
        cx, cy = 0.5 + 0.2 * rng.standard_normal(), 0.5 + 0.17 * rng.standard_normal()
        radius = rng.uniform(0.12, 0.24)
        cx, cy = np.clip(cx, radius + 0.04, 0.96 - radius), np.clip(cy, radius + 0.04, 0.96 - radius)
        blob = np.maximum(blob, radius - np.hypot(x - cx, y - cy))
    fine = spectral_noise(rng, MASK_SIZE, MASK_SIZE, 0.9, cutoff=8)
    return np.clip(0.5 + (blob + 0.035 * fine - 0.01) / 0.03, 0.0, 1.0) * _border(x, y)


def _conifer(rng: np.random.Generator) -> np.ndarray:
    x, y = _grid()
    tiers = rng.integers(7, 12)
    saw = (y * tiers) % 1.0
    half = (0.03 + 0.42 * y) * (0.55 + 0.45 * saw)
    fine = spectral_noise(rng, MASK_SIZE, MASK_SIZE, 0.8, cutoff=12)
    return np.clip(0.5 + (half - np.abs(x - 0.5) + 0.03 * fine * (0.3 + y)) / 0.02, 0.0, 1.0) * _border(x, y)


def _bush(rng: np.random.Generator) -> np.ndarray:
    x, y = _grid()
    top = 0.35 + 0.12 * ridge_line(rng, MASK_SIZE, 1.2)[None] + 0.9 * np.abs(x - 0.5) ** 2
    fine = spectral_noise(rng, MASK_SIZE, MASK_SIZE, 0.8, cutoff=9)
    side = 0.48 - np.abs(x - 0.5)
    return np.clip(0.5 + (np.minimum(y - top, side) + 0.045 * fine) / 0.03, 0.0, 1.0) * (x > 0.01) * (x < 0.99)


def _grass(rng: np.random.Generator) -> np.ndarray:
    x, y = _grid()
    field = np.zeros_like(x)
    for _ in range(38):
        root, lean, tall = rng.uniform(0.08, 0.92), rng.normal(0, 0.16), rng.uniform(0.35, 0.95)
        height = 1.0 - y
        bend = root + lean * (height / tall) ** 2
        half = 0.014 * (1.0 - height / tall)
        field = np.maximum(field, _edge(np.minimum(half - np.abs(x - bend), tall - height), 0.008))
    return field * _border(x, y, bottom=False)


def _ridge(rng: np.random.Generator, slope: float) -> np.ndarray:
    _, y = _grid()
    line = ridge_line(rng, MASK_SIZE, slope)
    line = (line - line.min()) / (line.max() - line.min())
    top = 0.04 + 0.8 * (1.0 - line)
    return np.clip(0.5 + (y - top[None]) / 0.012, 0.0, 1.0)


def _treeline(rng: np.random.Generator) -> np.ndarray:
    _, y = _grid()
    line = np.abs(ridge_line(rng, MASK_SIZE, 0.9))
    broad = ridge_line(rng, MASK_SIZE, 1.8)
    top = np.clip(0.5 - 0.2 * line - 0.1 * broad, 0.03, 0.97)
    fine = spectral_noise(rng, MASK_SIZE, MASK_SIZE, 0.8, cutoff=12)
    return np.clip(0.5 + (y - top[None] + 0.03 * fine) / 0.02, 0.0, 1.0)


def _border(x: np.ndarray, y: np.ndarray, bottom: bool = True) -> np.ndarray:
    inside = (x > 0.01) & (x < 0.99) & (y > 0.01)
    return inside & (y < 0.99) if bottom else inside


def _rectangle(left: float, right: float, top: float, bottom: float) -> np.ndarray:
    x, y = _grid()
    return _edge(np.minimum(np.minimum(x - left, right - x), np.minimum(y - top, bottom - y)))


def _panes(columns: int, rows: int) -> np.ndarray:
    """Glass of one window in the middle of its bay."""
    field = np.zeros((MASK_SIZE, MASK_SIZE), np.float32)
    left, right, top, bottom = 0.28, 0.72, 0.2, 0.8
    for column in range(columns):
        for row in range(rows):
            x0 = left + (right - left) * column / columns + 0.012
            x1 = left + (right - left) * (column + 1) / columns - 0.012
            y0 = top + (bottom - top) * row / rows + 0.012
            y1 = top + (bottom - top) * (row + 1) / rows - 0.012
            field = np.maximum(field, _rectangle(x0, x1, y0, y1))
    return field


def _frame(columns: int, rows: int) -> np.ndarray:
    """Surround and bars of the same window, with a sill."""
    outer = np.maximum(_rectangle(0.24, 0.76, 0.16, 0.83), _rectangle(0.2, 0.8, 0.82, 0.87))
    return np.clip(outer - _panes(columns, rows), 0.0, 1.0)


def _arch() -> np.ndarray:
    x, y = _grid()
    round_top = 0.26 - np.hypot(x - 0.5, y - 0.42)
    shaft = np.minimum(0.26 - np.abs(x - 0.5), y - 0.42)
    return _edge(np.maximum(round_top, shaft))


def _disc() -> np.ndarray:
    x, y = _grid()
    return _edge(0.485 - np.hypot(x - 0.5, y - 0.5))


def _fence() -> np.ndarray:
    x, y = _grid()
    phase = (x * 6) % 1.0
    picket = np.minimum((0.34 - np.abs(phase - 0.5)) / 6, y - 0.03 - 0.4 * np.abs(phase - 0.5) / 6)
    bars = np.maximum(0.04 - np.abs(y - 0.3), 0.04 - np.abs(y - 0.75))
    return _edge(np.maximum(picket, bars))


def _rail() -> np.ndarray:
    x, y = _grid()
    phase = (x * 8) % 1.0
    posts = (0.11 - np.abs(phase - 0.5)) / 8
    bars = np.maximum(0.03 - np.abs(y - 0.06), 0.02 - np.abs(y - 0.92))
    return _edge(np.maximum(posts, bars))
