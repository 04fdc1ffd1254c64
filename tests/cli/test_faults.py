"""Which exceptions become one line, and which keep their traceback."""

import errno
import subprocess
import sys

import pytest
import torch

from lyra.cli.faults import one_line
from lyra.structures import InputError


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EFBIG])
def test_what_the_system_refuses_names_the_file(number: int) -> None:
    line = one_line(OSError(number, "whatever the system says", "/mnt/stick/scene.ply"))
    assert line is not None
    assert line.code == 2
    assert line.text.startswith("/mnt/stick/scene.ply: ")


def test_input_errors_are_one_line_even_when_the_message_has_two() -> None:
    assert one_line(InputError("this is wrong;\n  do that")) == ("this is wrong; do that", 2)


@pytest.mark.parametrize("fault", [MemoryError("12 GiB"), torch.OutOfMemoryError("12 GiB")], ids=type)
def test_lack_of_memory_says_what_to_do(fault: Exception) -> None:
    line = one_line(fault)
    assert line is not None
    assert line.code == 1
    assert "12 GiB" in line.text
    assert "--device cpu" in line.text


@pytest.mark.parametrize(
    "fault", [ValueError("ours"), RuntimeError("ours"), OSError(errno.EIO, "disk died"), OSError("odd")]
)
def test_everything_else_is_ours(fault: Exception) -> None:
    assert one_line(fault) is None


def test_a_reader_that_leaves_early_gets_no_complaint() -> None:
    program = f"{sys.executable} -m lyra --help | true"
    outcome = subprocess.run(["bash", "-c", f"set -o pipefail; {program}"], capture_output=True, text=True, timeout=60)
    assert outcome.stderr == ""
