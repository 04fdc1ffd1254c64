"""How much a compressed file may claim to hold, so that a small file cannot fill the memory."""

from pathlib import Path

from lyra.structures import InputError

_FREELY = 64 << 20
_RATIO = 100
"""Real scenes shrink to a third at best once they are quantised; a hundredth is no scene."""


def require_plausible(path: Path, what: str, unpacked: int) -> None:
    """Refuse a file that claims to unpack to more than 64 MiB and more than a hundred times its own size.

    Args:
        path: the file.
        what: what the message calls it.
        unpacked: bytes that it claims to hold.

    Raises:
        InputError: the claim is not plausible.
    """
    size = path.stat().st_size
    if unpacked > max(_FREELY, _RATIO * size):
        raise InputError(
            f"{what} {path} claims {unpacked} bytes of content in a file of {size}; fetch or export it again"
        )
