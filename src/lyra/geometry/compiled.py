"""Loops compiled for the CPU, kept on disk between runs where a disk lets us."""

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` at its first call; it releases the interpreter lock while it runs."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep the compiled code in: compile once per process
        return numba.njit(**options)(function)
