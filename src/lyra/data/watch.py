"""Which records a store holds by now, while others write into it."""

from pathlib import Path

from lyra.data.index import GROWING, INDEX, ShardIndex
from lyra.data.shard import scan


class StoreWatch:
    """Asks the disk again each time, but reads a finished shard's index only once.

    Args:
        folder: the store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._finished: dict[str, frozenset[str]] = {}

    def __contains__(self, key: str) -> bool:
        """Whether the record ``key`` is complete."""
        for path in self.folder.glob(f"*{INDEX}"):
            if path.name not in self._finished:
                self._finished[path.name] = frozenset(entry.key for entry in ShardIndex.read(path).entries)
        if any(key in keys for keys in self._finished.values()):
            return True
        for path in self.folder.glob(f"*{GROWING}"):
            try:
                if any(entry.key == key for entry in scan(path)):
                    return True
            except FileNotFoundError:  # finished in the meantime
                return key in self
        return False
