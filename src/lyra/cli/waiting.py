"""How a process waits for its threads, which is said before torch loads."""

from collections.abc import MutableMapping

SPINS = 20_000
"""Turns that an idle thread of GNU OpenMP waits awake, a fraction of a millisecond. Small operations follow each other
faster than that; asleep, a thread would be woken for each of them."""


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Let OpenMP's threads sleep when there is nothing to do for a while; what the user has set stays.

    On a busy machine they would burn a core each while they wait.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
        environment.setdefault("GOMP_SPINCOUNT", str(SPINS))
