"""The doctor finds what is wrong, and its exit code says whether the main job can run."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lyra.cli import health

Lyra = Callable[..., Any]  # the fixture of conftest.py


def test_a_healthy_computer(lyra: Lyra) -> None:
    outcome = lyra("doctor")
    assert outcome.code == 0, outcome.out
    for name in ("python", "torch", "processor", "memory", "numba", "cuda", "video", "networks", "disk"):
        assert f"  {name} " in outcome.out


def test_damaged_networks(lyra: Lyra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYRA_WEIGHTS_DIR", str(tmp_path / "nothing-here"))
    outcome = lyra("doctor")
    assert outcome.code == 1
    assert "BAD   networks" in outcome.out
    assert "nothing-here" in outcome.out


def test_full_disk_and_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.shutil, "disk_usage", lambda path: SimpleNamespace(free=5))
    monkeypatch.setattr(health, "available_memory_mib", lambda: 100.0)
    assert health.free_disk().state == "BAD"
    assert health.memory().state == "--"


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"avx2", "sse4_2"}, ["avx2", "no, fp32"]),
        ({"avx512f", "amx_bf16"}, ["avx512f", "amx_bf16"]),
        (set(), ["no known"]),
    ],
)
def test_processor(monkeypatch: pytest.MonkeyPatch, features: set[str], words: list[str]) -> None:
    monkeypatch.setattr(health, "cpu_features", lambda: frozenset(features))
    assert all(word in health.processor().detail for word in words)


def test_a_compiler_that_fails_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    def broken(function: object) -> object:
        raise RuntimeError("no LLVM\nsecond line")

    monkeypatch.setattr(numba, "njit", broken)
    finding = health.compiled_kernels()
    assert finding.state == "BAD"
    assert "no LLVM" in finding.detail
    assert "second line" not in finding.detail
