"""The one way kernels are compiled: without the interpreter lock, cached on disk where a disk lets us.

No kernel uses Numba's own threads. They work on a range of their input and release the interpreter lock, and
``lyra.raster.workers`` runs several ranges at once. So no thread layer can abort when two Python threads render, a
forked child finds no dead OpenMP team, and compiling takes a fraction of the time of ``parallel=True``.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

# Everything but ninf and nnan: the kernels rely on comparisons with NaN being false.
_FAST = {"reassoc", "contract", "arcp", "nsz"}


def _sources() -> str:
    """Fingerprint of every file whose text ends up in a kernel."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), here.parent / "options.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


_FINGERPRINT = _sources()


class _TolerantCache(FunctionCache):
    """Numba's disk cache with two differences.

    A full or read-only disk costs the cache and not the run. And an entry is good for a text of all kernel files, where
    Numba would look at the time stamp of the kernel's own file and miss a changed helper or constant.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = _FINGERPRINT

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:
            self.disable()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except (OSError, EOFError):  # unreadable, or cut short by a full disk
            self.disable()
            return None


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel at its first call; it releases the interpreter lock while running."""
    compiled = numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")(function)
    try:
        compiled._cache = _TolerantCache(function)
    except RuntimeError:  # Numba found no folder it can write to
        return compiled
    return compiled


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a scalar function that kernels call; LLVM inlines it into each of them."""
    return numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")(function)
