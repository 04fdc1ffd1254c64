"""How threads wait."""

import pytest

from lyra.cli.waiting import SPINS, wait_briefly


def test_threads_wait_a_moment_and_then_sleep():
    environment: dict[str, str] = {}
    wait_briefly(environment)
    assert environment == {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": str(SPINS)}


@pytest.mark.parametrize("set_by_user", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "PASSIVE"}])
def test_what_the_user_says_about_waiting_stays(set_by_user):
    environment = dict(set_by_user)
    wait_briefly(environment)
    assert environment == set_by_user
