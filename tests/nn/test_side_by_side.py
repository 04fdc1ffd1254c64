"""Clips side by side: every index once and in order, threads divided and given back, faults raised."""

import threading
import time

import pytest
import torch

from lyra.nn.side_by_side import TOGETHER, side_by_side

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(TOGETHER)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_results_are_in_order_whatever_takes_long(two_threads, count):
    def work(index: int) -> int:
        time.sleep(0.02 * (count - index))
        return 10 * index

    assert side_by_side(work, count, CPU) == [10 * index for index in range(count)]


def test_pairs_share_the_threads_and_what_is_left_has_all(two_threads):
    seen = [
        side_by_side(lambda _: (torch.get_num_threads(), threading.current_thread().name), 3, CPU) for _ in range(2)
    ]
    for (first, one), (second, two), (last, three) in seen:
        assert (first, second, last) == (1, 1, TOGETHER)
        assert one.startswith("lyra-clips") and two.startswith("lyra-clips") and three == "MainThread"
    assert torch.get_num_threads() == TOGETHER


def test_two_are_at_work_at_the_same_time(two_threads):
    meet = threading.Barrier(2, timeout=10)
    side_by_side(lambda _: meet.wait(), 2, CPU)


def test_one_thread_computes_one_after_the_other(two_threads):
    torch.set_num_threads(1)
    assert side_by_side(lambda _: threading.current_thread().name, 2, CPU) == ["MainThread"] * 2


def test_no_gradients_pass(two_threads):
    weight = torch.ones(2, requires_grad=True)
    assert not any(part.requires_grad for part in side_by_side(lambda index: weight * index, 3, CPU))
    assert torch.is_grad_enabled()


def test_a_fault_is_raised_and_the_threads_are_given_back(two_threads):
    done = []

    def work(index: int) -> None:
        if index == 0:
            raise ValueError("no")
        done.append(index)
        time.sleep(0.05)

    with pytest.raises(ValueError, match="no"):
        side_by_side(work, 40, CPU)
    assert len(done) < 30, "what had not begun is left"
    assert torch.get_num_threads() == TOGETHER
