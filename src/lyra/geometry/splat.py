"""Forward splatting of points into pictures, nearer points outweighing farther ones (the GEN3C cache renderer)."""

import torch
from torch import Tensor

from lyra.geometry.cameras import transform_points
from lyra.structures import check_shapes

_SHARPNESS = 50.0
_LARGEST_EXPONENT = 80.0
_EPSILON = 1e-7


def splat_points(
    points: Tensor,
    values: Tensor,
    weights: Tensor,
    w2c: Tensor,
    K: Tensor,
    height: int,
    width: int,
    log_depth_max: Tensor | None = None,
    pixel_centre: float = 0.5,
    whole_pixels_twice: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Splat coloured points into B cameras.

    A point at camera depth Z > 0 projects to (x, y) = (…) / (Z + 1e-7) and goes to its four neighbours with
    bilinear weight · point weight / D, D = exp(min(50 · ln(1 + Z) / (M + 1e-7), 80)) + 1e-7. A pixel takes the
    weighted mean; it is a hole where no weight arrived.

    On a CUDA device, or where a gradient is wanted, plain torch operations run without synchronising; on a CPU a
    compiled loop does the same. A point set shared by several cameras may be given with a batch axis of 1, or
    expanded: it is not copied per camera.

    Args:
        points: [B or 1, N, 3] finite world points.
        values: [B or 1, C, N] what to splat.
        weights: [B or 1, N] non-negative; 0 leaves a point out.
        w2c: [B, 4, 4] world-to-camera.
        K: [B, 3, 3] intrinsics in pixels, last row (0, 0, 1).
        height, width: size of the pictures.
        log_depth_max: [B] M, the largest ln(1 + Z); None takes the maximum over all points of each item (those of
            weight 0 and those outside the picture count, as published).
        pixel_centre: where in its cell a pixel is measured; 0.0 is the integer-pixel form of the GEN3C cache.
        whole_pixels_twice: take the neighbours at the floor and the ceiling of a place, as published, so that a point
            exactly on a column (or row) of pixels is added to it twice; False takes two neighbours always.

    Returns:
        values [B, C, H, W] (0 in holes), depth z [B, H, W] (0 in holes), mask [B, H, W] bool.

    Raises:
        ValueError: shapes disagree.
    """
    count = w2c.shape[0]
    points, values, weights = _unexpanded(points), _unexpanded(values), _unexpanded(weights)
    sizes = check_shapes(
        "splat_points", points=(points, "P N 3"), w2c=(w2c, "B 4 4"), K=(K, "B 3 3"), values=(values, "Q C N")
    )
    check_shapes("splat_points", points=(points, "P N 3"), weights=(weights, "R N"))
    for name, tensor in (("points", points), ("values", values), ("weights", weights)):
        if tensor.shape[0] not in (1, count):
            raise ValueError(f"splat_points.{name}: expected a batch of 1 or {count}, got {tensor.shape[0]}")
    if sizes["N"] == 0:
        empty = values.new_zeros(count, sizes["C"], height, width)
        depth = empty.new_zeros(count, height, width)
        return empty, depth, depth.bool()
    tensors = (points, values, weights, w2c, K)
    wants_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    if points.device.type == "cpu" and not wants_gradient:
        from lyra.geometry import splat_cpu  # compiling is paid for by those who splat

        return splat_cpu.splat_points_cpu(*tensors, height, width, log_depth_max, pixel_centre, whole_pixels_twice)
    return splat_points_torch(*tensors, height, width, log_depth_max, pixel_centre, whole_pixels_twice)


def splat_points_torch(
    points: Tensor,
    values: Tensor,
    weights: Tensor,
    w2c: Tensor,
    K: Tensor,
    height: int,
    width: int,
    log_depth_max: Tensor | None,
    pixel_centre: float,
    whole_pixels_twice: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """`splat_points` in plain torch: any device, differentiable in values and weights, no synchronisation."""
    camera = transform_points(points, w2c)
    z = camera[..., 2]
    k = K[..., None]
    x = (k[:, 0, 0] * camera[..., 0] + k[:, 0, 1] * camera[..., 1] + k[:, 0, 2] * z) / (z + _EPSILON) - pixel_centre
    y = (k[:, 1, 0] * camera[..., 0] + k[:, 1, 1] * camera[..., 1] + k[:, 1, 2] * z) / (z + _EPSILON) - pixel_centre
    # beyond the picture every place is alike; the clamp keeps the conversion to integers defined
    x = torch.nan_to_num(x, nan=-2.0).clamp(-2.0, width + 1.0)
    y = torch.nan_to_num(y, nan=-2.0).clamp(-2.0, height + 1.0)

    log_depth = torch.log(1 + z.clamp(min=0))
    largest = log_depth.amax(dim=1) if log_depth_max is None else log_depth_max
    exponent = (_SHARPNESS * log_depth / (largest[:, None] + _EPSILON)).clamp(max=_LARGEST_EXPONENT)
    weight = torch.where(z > 0, weights / (torch.exp(exponent) + _EPSILON), 0.0)

    batch, number = z.shape
    channels = values.shape[1]
    cells = height * width
    features = torch.cat([values.mT.expand(batch, -1, -1), z[..., None], torch.ones_like(z)[..., None]], dim=-1)
    item = torch.arange(batch, device=z.device)[:, None] * cells
    # places without effect are spread over the picture with weight 0: piling them on one cell would serialise atomics
    idle = torch.arange(number, device=z.device) % cells
    columns, rows = ((place.floor(), place.ceil() if whole_pixels_twice else place.floor() + 1) for place in (x, y))
    total = z.new_zeros(batch * cells, channels + 2)
    for column in columns:
        for row in rows:
            share = (1 - (x - column).abs()) * (1 - (y - row).abs()) * weight
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            share = torch.where(inside, share, 0.0)
            cell = torch.where(share > 0, row.long() * width + column.long(), idle) + item
            total.index_add_(0, cell.flatten(), (features * share[..., None]).flatten(0, 1))
    total = total.view(batch, height, width, channels + 2)
    sum_of_weights = total[..., -1]
    mask = sum_of_weights > 0
    mean = torch.where(mask[..., None], total[..., :-1] / torch.where(mask, sum_of_weights, 1.0)[..., None], 0.0)
    return mean[..., :channels].permute(0, 3, 1, 2).contiguous(), mean[..., channels].contiguous(), mask


def _unexpanded(tensor: Tensor) -> Tensor:
    """The tensor with a batch axis of 1 where its batch is one item repeated without memory."""
    return tensor[:1] if tensor.shape[0] > 1 and tensor.stride(0) == 0 else tensor
