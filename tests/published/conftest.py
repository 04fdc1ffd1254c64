"""A model folder of tiny networks with random weights, and a photo."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lyra.hub import config_to_dict
from lyra.hub.official import toy_slots, write_random_model
from lyra.preset import toy

ROLES = ("tokenizer", "teacher", "decoder-static", "decoder-dynamic")


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four networks at the smallest size; only read."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    write_random_model(folder, {"preset": config_to_dict(toy())}, ROLES, toy_slots())
    return folder


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gradient with a bright block."""
    pixels = np.linspace(0, 200, 60 * 96 * 3).reshape(60, 96, 3).astype(np.uint8)
    pixels[20:40, 30:60] = 250
    file = tmp_path_factory.mktemp("photos") / "garden.png"
    Image.fromarray(pixels).save(file)
    return file
