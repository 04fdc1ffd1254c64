"""Shape checks for the values that travel: named axes must agree within one value."""

from torch import Tensor


def check_shapes(owner: str, **fields: tuple[Tensor, str]) -> dict[str, int]:
    """Check tensors against axis patterns such as ``"T 3 H W"`` and return the size of each named axis.

    A number in a pattern is a fixed size, a name must have one size throughout the call.

    Raises:
        ValueError: a tensor has another rank, or an axis another size, than its pattern says.
    """
    sizes: dict[str, int] = {}
    for name, (tensor, pattern) in fields.items():
        axes = pattern.split()
        shape = tuple(tensor.shape)
        if len(shape) != len(axes):
            raise ValueError(f"{owner}.{name}: expected shape [{pattern}], got {list(shape)}")
        for axis, size in zip(axes, shape, strict=True):
            expected = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
            if size != expected:
                raise ValueError(f"{owner}.{name}: axis {axis} of [{pattern}] should be {expected}, got {list(shape)}")
    return sizes
