"""The card of a network in a model folder: its weight files, where they come from, what they may be used for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lyra.hub.config_json import config_from_dict, config_to_dict
from lyra.structures import InputError

CARD_FILE = "card.json"
FORMAT = 1


@dataclass(frozen=True)
class WeightFile:
    """One file of weights.

    Attributes:
        name: its name, beside the card.
        size: bytes.
        sha256: checksum.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FolderCard:
    """Everything known about the weights of one network that is too large for one file.

    Attributes:
        name: ``task/name`` in the registry.
        config: plain form of the network's config.
        files: the weight files, in order.
        parameters: number of trained parameters.
        dtype: type of the large weights.
        licence: licence of the weights.
        source: where they come from: repository, and the files they were converted from.
        format: version of this layout.
    """

    name: str
    config: dict[str, Any]
    files: tuple[WeightFile, ...]
    parameters: int
    dtype: str
    licence: str
    source: dict[str, Any]
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all weight files."""
        return sum(file.size for file in self.files)

    @property
    def sha256(self) -> str:
        """One checksum for all: that of the first file, or of the list of checksums where there are several."""
        import hashlib

        if len(self.files) == 1:
            return self.files[0].sha256
        return hashlib.sha256("".join(file.sha256 for file in self.files).encode()).hexdigest()

    def to_json(self) -> str:
        """The card as indented JSON text."""
        return json.dumps(config_to_dict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path) -> "FolderCard":
        """Read the card of a network's folder.

        Raises:
            InputError: no card, not readable, of another layout, or a weight file is absent or of another size.
        """
        path = folder / CARD_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"{path}: no model card here; import the checkpoints again") from error
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a readable model card ({error}); import the checkpoints again") from error
        if isinstance(values, Mapping) and isinstance(values.get("format"), int) and values["format"] > FORMAT:
            raise InputError(f"{path}: written by a newer version (format {values['format']}); update lyra")
        card = config_from_dict(cls, values, str(path))
        for file in card.files:
            found = folder / file.name
            size = found.stat().st_size if found.is_file() else None
            if size != file.size:
                state = "is missing" if size is None else f"has {size:,} of {file.size:,} bytes"
                raise InputError(f"{found}: the weight file {state}; copy it again, or import the checkpoints again")
        return card
