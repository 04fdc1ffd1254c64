"""Which pixels of a depth map may be splatted."""

from torch import Tensor
from torch.nn import functional as F

POINT_FILTER, POINT_FILTER_ROWS = 0.05, 704
"""The published filter drops pixels whose 5x5 window varies by 5 % in depth, for pictures of 704 rows. A coarser pixel
spans more of a slope, so the threshold grows with the pixel; otherwise a meadow would count as an edge."""


def reliable_mask(depth: Tensor, window: int = 5, threshold: float = 0.05) -> Tensor:
    """Pixels whose neighbourhood has little relative depth range, after the GEN3C point filter.

    A pixel is reliable where (max - min) / (mean + 1e-6) < ``threshold`` in its ``window`` x ``window`` neighbourhood
    and its depth is positive. Maximum and minimum ignore what lies outside the picture; the mean counts it as zeros.

    Args:
        depth: [B, H, W] finite depth.
        window: odd side of the neighbourhood in pixels.
        threshold: largest relative range.

    Returns:
        [B, H, W] bool; its complement is the boundary mask of the foreground test.
    """
    margin = window // 2
    maps = depth[:, None]
    high = _maximum(maps, window, margin)
    low = -_maximum(-maps, window, margin)
    mean = F.avg_pool2d(maps, window, stride=1, padding=margin, count_include_pad=True)
    return (((high - low) / (mean + 1e-6) < threshold) & (maps > 0))[:, 0]


def edge_mask(depth: Tensor) -> Tensor:
    """[B, H, W] bool: pixels at the edges of a depth [B, H, W], which are not trusted."""
    return ~reliable_mask(depth, threshold=POINT_FILTER * POINT_FILTER_ROWS / min(depth.shape[-2:]))


def _maximum(maps: Tensor, window: int, margin: int) -> Tensor:
    """Sliding maximum over [B, 1, H, W], one axis after the other."""
    rows = F.max_pool2d(maps, (window, 1), stride=1, padding=(margin, 0))
    return F.max_pool2d(rows, (1, window), stride=1, padding=(0, margin))
