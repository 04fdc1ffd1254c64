"""Beside each finished shard a small file that says what is in it, so that nobody needs to read the shard to know."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lyra.data.shard import Entry
from lyra.io.files import reason, replacing
from lyra.structures import InputError

SHARD, INDEX, GROWING = ".tar", ".tar.json", ".tar.growing"
"""Endings of a finished shard, of its index, and of a shard that its writer has not finished."""


@dataclass(frozen=True)
class ShardIndex:
    """What a finished shard holds.

    Attributes:
        name: file name of the shard without its ending.
        entries: its records, in order.
        size: bytes of the file.
        sha256: checksum of the file.
    """

    name: str
    entries: tuple[Entry, ...]
    size: int
    sha256: str

    def summary(self) -> dict[str, Any]:
        """What the manifest says about the shard."""
        return {
            "name": self.name + SHARD,
            "records": len(self.entries),
            "bytes": self.size,
            "sha256": self.sha256,
        }

    def write(self, folder: Path) -> None:
        """Write the index file, in one go.

        Raises:
            InputError: it cannot be written.
        """
        values = {**self.summary(), "entries": [asdict(entry) for entry in self.entries]}
        with replacing(folder / (self.name + INDEX), "index") as temporary:
            temporary.write_text(json.dumps(values) + "\n", encoding="utf-8")

    @staticmethod
    def read(path: Path) -> "ShardIndex":
        """Read an index file.

        Raises:
            InputError: unreadable, or no index.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            entries = _entries(values["entries"])
            return ShardIndex(path.name.removesuffix(INDEX), entries, int(values["bytes"]), str(values["sha256"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"index {path} is unreadable ({reason(error)}); delete it, it is made again") from error


def _entries(values: Sequence[dict[str, Any]]) -> tuple[Entry, ...]:
    return tuple(Entry(str(value["key"]), int(value["offset"]), int(value["size"])) for value in values)
