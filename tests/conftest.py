"""Shared by every room's tests: quiet threads, and the root of the repository."""

import os
from pathlib import Path

import pytest
import torch

# Tests are small; more threads than cores only make them wait for each other.
torch.set_num_threads(min(torch.get_num_threads(), os.cpu_count() or 1))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return Path(__file__).resolve().parents[1]
