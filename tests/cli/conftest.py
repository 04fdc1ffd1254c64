"""Runs ``lyra`` in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lyra.cli import main


@dataclass(frozen=True)
class Outcome:
    """What the calling shell sees."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        return self.err.splitlines()


@pytest.fixture
def lyra(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call the command with words and get its exit code and both streams."""

    def run(*words: str | Path) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        streams = capsys.readouterr()
        return Outcome(code, streams.out, streams.err)

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small landscape photo: a gradient with a bright block."""
    pixels = np.linspace(0, 200, 60 * 96 * 3).reshape(60, 96, 3).astype(np.uint8)
    pixels[20:40, 30:60] = 250
    file = tmp_path / "garden.jpg"
    Image.fromarray(pixels).save(file)
    return file
