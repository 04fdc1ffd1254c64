"""Lines of progress that say when."""

import time
from collections.abc import Callable

Tell = Callable[[str], None]


def since_now(tell: Tell) -> Tell:
    """Passes lines on to ``tell``, each behind the seconds from this call on."""
    began = time.perf_counter()
    return lambda line: tell(f"[{time.perf_counter() - began:6.1f} s] {line}")
