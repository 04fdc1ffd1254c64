"""``manifest.json``: what a store is made of, and a summary of its shards."""

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lyra import __version__
from lyra.data.latent_space import LatentSpace
from lyra.io.files import reason, replacing
from lyra.structures import InputError

MANIFEST = "manifest.json"
_FORMAT = "lyra-store"
_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """Written once by whoever writes first, then only its summary changes.

    Attributes:
        space: tokenizer and latent statistics of every record.
        config: how the first command made its records.
        networks: checksum and licence of each network that took part, by name.
        licences: what the records are under, and whose material is in them; sentences.
        shards: name, number of records, size in bytes and SHA-256 of each finished shard, at the end of the last run.
        lyra: version that made the store.
    """

    space: LatentSpace
    config: Mapping[str, Any] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    licences: tuple[str, ...] = ()
    shards: tuple[Mapping[str, Any], ...] = ()
    lyra: str = __version__

    @property
    def records(self) -> int:
        """Number of records in the finished shards."""
        return sum(int(shard["records"]) for shard in self.shards)

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """The manifest of a store.

        Raises:
            InputError: no store there, or an unreadable or newer manifest.
        """
        path = folder / MANIFEST
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(f"{folder} is not a store: it has no {MANIFEST}; give the folder of --store") from error
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path} is unreadable ({reason(error)}); restore the file") from error
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise InputError(f"{path} is not the manifest of a store; give the folder of --store")
        if values.get("version") != _VERSION:
            raise InputError(f"{path} has version {values.get('version')}, known is {_VERSION}; update lyra")
        try:
            return Manifest(
                LatentSpace.from_json(values["tokenizer"], str(path)),
                dict(values["config"]),
                {name: dict(network) for name, network in values["networks"].items()},
                tuple(values["licences"]),
                tuple(
                    {key: shard[key] for key in ("name", "records", "bytes", "sha256")} for shard in values["shards"]
                ),
                str(values["lyra"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} lacks or garbles an entry ({error!r}); restore the file") from error

    def write(self, folder: Path) -> None:
        """Put the manifest in place of the one that is there.

        Raises:
            InputError: it cannot be written.
        """
        with replacing(folder / MANIFEST, "manifest") as temporary:
            temporary.write_text(self._text(), encoding="utf-8")

    def write_first(self, folder: Path) -> None:
        """Write the manifest unless there is one already; of several writers one wins.

        Raises:
            InputError: it cannot be written.
        """
        path = folder / MANIFEST
        temporary = folder / f".{MANIFEST}.{secrets.token_hex(4)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_text(self._text(), encoding="utf-8")
                with suppress(FileExistsError):
                    os.link(temporary, path)  # fails where the file is there already, on shared disks too
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"cannot write store {folder} ({reason(error)}); choose another place") from error

    def _text(self) -> str:
        values = {
            "format": _FORMAT,
            "version": _VERSION,
            "lyra": self.lyra,
            "tokenizer": self.space.to_json(),
            "config": self.config,
            "networks": self.networks,
            "licences": self.licences,
            "records": self.records,
            "shards": self.shards,
        }
        return json.dumps(values, indent=1) + "\n"
