"""How threads wait and what the allocator keeps: measured in processes of their own."""

import platform
import subprocess
import sys

import pytest

from lyra.cli.waiting import SPINS, wait_briefly

FAULTS = """
import resource, torch, sys
from lyra.cli.waiting import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.zeros(16 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_threads_wait_a_moment_and_then_sleep():
    environment: dict[str, str] = {}
    wait_briefly(environment)
    assert environment == {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": str(SPINS)}


@pytest.mark.parametrize("set_by_user", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "PASSIVE"}])
def test_what_the_user_says_about_waiting_stays(set_by_user):
    environment = dict(set_by_user)
    wait_briefly(environment)
    assert environment == set_by_user


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_a_block_of_64_mib_that_was_freed_is_used_again():
    """Without, each of 20 blocks is filled by the system anew: page faults by the thousand."""
    given, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("give", "keep")
    )
    assert kept < 0.2 * given
