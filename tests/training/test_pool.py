"""What a pool holds, and what is drawn, follows from numbers alone."""

import pytest
import torch

from lyra.training.pool import ExamplePool, RefreshPlan, is_upright
from lyra.training.seeds import mixed_seed, own_randomness, seed_everything
from lyra.training.world_feed import WorldFeed

CPU = torch.device("cpu")


def filled(plan: RefreshPlan, size: int, per_refresh: int, first_step: int, last_step: int) -> ExamplePool:
    """A pool whose examples carry the numbers of their refreshes, from a start at ``first_step`` on."""
    pool = ExamplePool(size, per_refresh)
    for until in [plan.before(first_step), *(plan.until(step) for step in range(first_step, last_step))]:
        for number in pool.missing(until, plan.first):
            pool.put(number, [torch.full((per_refresh, 2), float(number))])
    return pool


@pytest.mark.parametrize("size", [3, 8, 11])
def test_a_rebuilt_pool_is_the_one_that_saw_everything(size):
    plan = RefreshPlan(ExamplePool.refreshes_for(size, 2), every=3)
    for step in range(1, 30):
        whole, rebuilt = filled(plan, size, 2, 0, 40), filled(plan, size, 2, step, 40)
        assert torch.equal(whole.store[0], rebuilt.store[0]) and whole.next == rebuilt.next
        torch.manual_seed(step)
        one = whole.draw(20)
        torch.manual_seed(step)
        assert torch.equal(one, rebuilt.draw(20))


def test_a_pool_that_is_not_full_draws_only_what_it_holds():
    """As on a GPU, where a run begins with a part of its pool."""
    plan = RefreshPlan(first=2, every=1)
    pool = filled(plan, 40, 2, first_step=15, last_step=16)
    held = {float(v) for v in pool.store[0][pool.draw(500)][:, 0]}
    assert held == {15.0, 16.0, 17.0} and pool.filled == 6  # two refreshes before step 15, one at it


def test_refreshes_come_at_multiples_of_every():
    plan = RefreshPlan(first=5, every=4)
    assert [plan.before(step) for step in (0, 1, 4, 5)] == [5, 6, 6, 7]
    assert [plan.until(step) for step in (0, 1, 3, 4)] == [6, 6, 6, 7]


def test_seeds_differ_for_every_number_and_leave_the_outside_alone():
    assert len({mixed_seed(a, b, c) for a in range(5) for b in range(5) for c in range(5)}) == 125
    assert mixed_seed(1, 2) != mixed_seed(2, 1) and 0 <= mixed_seed(-3) < 2**63
    seed_everything(1)
    undisturbed = torch.rand(4)
    seed_everything(1)
    with own_randomness(CPU, 7):
        inside = torch.rand(4)
    assert torch.equal(torch.rand(4), undisturbed)
    with own_randomness(CPU, 7):
        assert torch.equal(torch.rand(4), inside)


def test_worlds_are_the_same_for_any_workers_and_divided_among_processes(few_textures, monkeypatch):
    def worlds(workers: int, start: int, count: int, rank: int = 0, size: int = 1) -> list[torch.Tensor]:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(size))
        feed = WorldFeed(few_textures["train"], "train", 2, 100, CPU, workers, shared=True)
        feed.seek(start)
        return [feed.next().source_c2w for _ in range(count)]

    alone = worlds(0, 0, 6)
    assert all(torch.equal(a, b) for a, b in zip(worlds(2, 0, 6), alone, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(worlds(0, 4, 2), alone[4:], strict=True))
    halves = [worlds(0, 0, 3, rank, 2) for rank in (0, 1)]
    taken = [batch for pair in zip(*halves, strict=True) for batch in pair]
    assert all(torch.equal(a, b) for a, b in zip(taken, alone, strict=True))
    assert not torch.equal(alone[0], alone[1])


@pytest.mark.parametrize("every", [2, 3, 4])
@pytest.mark.parametrize(("size", "per_refresh", "refreshes"), [(40, 4, 7), (40, 4, 33), (43, 4, 30), (24, 8, 11)])
def test_batches_have_one_format_and_miss_no_refresh(every, size, per_refresh, refreshes):
    pool = ExamplePool(size, per_refresh)
    for number in range(refreshes):
        pool.put(number, [torch.full((per_refresh,), float(number))])
    torch.manual_seed(0)
    held = set(pool.store[0][: pool.filled].tolist())
    for wanted in (False, True):
        slots, upright = pool.draw_turned(3000, every, wanted)
        numbers = {int(value) for value in pool.store[0][slots]}
        assert all(is_upright(number, every) == upright for number in numbers)
        same = {number for number in held if is_upright(int(number), every) == upright}
        assert len(numbers) >= len(same) - every  # at the old end a turn may be incomplete
        if any(is_upright(int(number), every) == wanted for number in held) and refreshes > 2 * every and size >= 40:
            assert upright == wanted
        assert slots.min() >= 0 and slots.max() < size


@pytest.mark.parametrize("refreshes", range(1, 8))
def test_a_pool_smaller_than_a_refresh_gives_what_it_has(refreshes):
    pool = ExamplePool(2, 3)
    for number in range(refreshes):
        pool.put(number, [torch.full((3,), float(number))])
    slots, upright = pool.draw_turned(50, 3, True)
    numbers = {int(value) for value in pool.store[0][slots]}
    assert numbers == {refreshes - 1} and upright == is_upright(refreshes - 1, 3)


def test_none_is_upright_where_no_turn_is_asked_for():
    assert not any(is_upright(number, 0) for number in range(10))
    assert [is_upright(number, 3) for number in range(6)] == [False, False, True, False, False, True]
