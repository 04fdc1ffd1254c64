"""What the documentation says can be typed, and leads somewhere."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lyra.cli.entry import parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def typed(program: str) -> list[str]:
    """Every command line of the documentation that starts with ``program``."""
    lines = [
        line.partition("  #")[0].strip()
        for page in PAGES
        for block in blocks(page, "bash")
        for line in block.splitlines()
    ]
    return sorted({line for line in lines if line.split()[:1] == [program]})


@pytest.mark.parametrize("line", typed("lyra"))
def test_command_is_accepted_as_written(line: str) -> None:
    assert hasattr(parse(shlex.split(line)[1:]), "run")


def test_the_check_refuses_what_the_command_does_not_know() -> None:
    with pytest.raises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        parse(["generate", "photo.jpg", "-o", "out", "--quality", "best"])


def test_every_command_is_in_the_table_of_the_readme() -> None:
    from lyra.cli.entry import COMMANDS

    table = re.findall(r"^\| `lyra ([^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = {tuple(row.split()[:2]) for row in table} | {tuple(row.split()[:1]) for row in table}
    for name, command in COMMANDS.items():
        for words in [(name, inner) for inner in command[1]] if isinstance(command, tuple) else [(name,)]:
            assert words in named, f"lyra {' '.join(words)} is not in the table"


@pytest.mark.parametrize("line", typed("make"))
def test_make_knows_the_target(line: str) -> None:
    outcome = subprocess.run([*shlex.split(line), "--dry-run"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert outcome.returncode == 0, outcome.stderr


def test_the_python_block_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_networks: None
) -> None:
    (block,) = blocks(ROOT / "README.md", "python")
    promised = re.findall(r"\)  # (.+)$", block, flags=re.MULTILINE)
    assert len(promised) >= 4
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((120, 200, 3), 128, np.uint8)).save("photo.jpg")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(block, "README.md", "exec"), {})
    assert printed.getvalue().splitlines() == promised


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    for target in targets:
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_json_examples_are_json(page: Path) -> None:
    import json

    for block in blocks(page, "json"):
        assert isinstance(json.loads(block), dict)


@pytest.mark.skipif(os.name == "nt", reason="make is not a Windows tool")
def test_a_missing_python_is_explained(tmp_path: Path) -> None:
    """`make demo` on a computer without Python 3.11 says so and names the remedy."""
    for tool in ("sh", "touch", "rm", "mkdir", "make", "sort", "find", "sed", "test", "echo"):
        found = subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True, text=True).stdout.strip()
        if found.startswith("/"):
            (tmp_path / tool).symlink_to(found)
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    outcome = subprocess.run(
        ["make", "demo", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert outcome.returncode != 0
    assert "Python 3.11 or newer" in outcome.stderr
    assert not (tmp_path / "venv").exists()
    assert sys.version_info >= (3, 11)
