"""The model card: what a weight file holds, where it comes from and how good it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lyra.hub.config_json import config_from_dict, config_to_dict
from lyra.hub.storage import Storage
from lyra.structures import InputError

FORMAT = 1


@dataclass(frozen=True)
class ModelCard:
    """Everything known about one weight file; stored as JSON beside it.

    Attributes:
        name: ``task/name`` in the registry.
        config: plain form of the model's config.
        sha256: checksum of the weight file.
        size: bytes of the weight file.
        parameters: number of trained parameters.
        storage: stored form of the large weights.
        licence: licence of the weights.
        credits: authors whose material went into the weights.
        recipe: how they were trained, plain JSON values.
        seed: seed of that training.
        scores: measured quality, name to number.
        format: version of this layout.
    """

    name: str
    config: dict[str, Any]
    sha256: str
    size: int
    parameters: int
    storage: Storage
    licence: str
    credits: tuple[str, ...]
    recipe: dict[str, Any]
    seed: int
    scores: dict[str, float]
    format: int = FORMAT

    def to_json(self) -> str:
        """The card as indented JSON text."""
        return json.dumps(config_to_dict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> "ModelCard":
        """Read a card.

        Raises:
            InputError: no such file, not JSON, unknown or missing fields, or a newer layout.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"{path}: no model card here; give a folder with card.json") from error
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: not a readable model card ({error}); restore the file") from error
        if isinstance(values, Mapping) and isinstance(values.get("format"), int) and values["format"] > FORMAT:
            raise InputError(f"{path}: written by a newer version (format {values['format']}); update lyra")
        return config_from_dict(cls, values, str(path))
