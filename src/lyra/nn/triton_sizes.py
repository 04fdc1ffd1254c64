"""Sizes of kernel launches in plain Python: Triton's own functions take microseconds, as long as a small kernel."""


def pieces(total: int, size: int) -> int:
    """How many pieces of ``size`` cover ``total``."""
    return -(-total // size)


def room(count: int) -> int:
    """The smallest power of two that is at least ``count``; blocks of Triton have such sizes."""
    return 1 << (count - 1).bit_length()
