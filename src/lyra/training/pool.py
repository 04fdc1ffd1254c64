"""Examples kept ready on the device: what a pool holds follows from how many refreshes there were."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RefreshPlan:
    """When new examples come: ``first`` refreshes before step 0, then one at every step that ``every`` divides."""

    first: int
    every: int

    def before(self, step: int) -> int:
        """Refreshes that lie before ``step``."""
        return self.first + -(-step // self.every)

    def until(self, step: int) -> int:
        """Refreshes that lie before the loss of ``step``: its own included."""
        return self.before(step + 1)


class ExamplePool:
    """Tensors of ``size`` examples, overwritten in a circle by refreshes of ``per_refresh`` examples each.

    Refresh ``n`` always lands in the same place. A pool that is rebuilt from the last refreshes is therefore equal to
    one that saw them all, as soon as these fill it.
    """

    def __init__(self, size: int, per_refresh: int) -> None:
        self.size, self.per_refresh = size, per_refresh
        self.next = self.filled = 0
        self.store: list[Tensor] = []

    @staticmethod
    def refreshes_for(examples: int, per_refresh: int) -> int:
        """Refreshes that make at least ``examples``."""
        return -(-examples // per_refresh)

    def missing(self, until: int, window: int | None = None) -> range:
        """Numbers of the refreshes that are still to be made up to ``until``.

        Args:
            until: the count that is due.
            window: an empty pool begins with the last so many, ``None`` with the very first.
        """
        if not self.store:
            self.next = 0 if window is None else max(0, until - window)
        return range(self.next, until)

    def put(self, number: int, parts: Sequence[Tensor]) -> None:
        """Store what refresh ``number`` made: tensors with the examples along the first axis."""
        parts = [part[: self.size] for part in parts]
        if not self.store:
            self.store = [part.new_empty(self.size, *part.shape[1:]) for part in parts]
        count = len(parts[0])
        slots = (torch.arange(count, device=parts[0].device) + number * self.per_refresh) % self.size
        for store, part in zip(self.store, parts, strict=True):
            store[slots] = part
        self.next = number + 1
        self.filled = min(self.size, self.filled + count)

    def draw(self, count: int) -> Tensor:
        """[count] slots of random examples, on the device of the examples."""
        oldest = self.next * self.per_refresh - self.filled
        chosen = torch.randint(self.filled, (count,), device=self.store[0].device)
        return (oldest + chosen) % self.size

    def draw_turned(self, count: int, every: int, upright: bool) -> tuple[Tensor, bool]:
        """Slots of random examples that all have one format, and whether that is the upright one.

        Of ``every`` refreshes the last one is upright (see `is_upright`). A pool too small to hold a whole refresh of
        the wanted format gives examples of the other one.
        """
        held = self._whole_refreshes()
        wide = every - 1
        aligned = -(-held.start // every) * every
        tall = range(aligned - 1 if aligned > held.start else aligned + wide, held.stop, every)
        left = max(0, held.stop - aligned)
        flat = left // every * wide + min(left % every, wide)
        if (upright and tall) or (not flat and tall):
            chosen = self._random(len(tall), count)
            return self._slots(tall.start + every * chosen), True
        if not flat:  # a small pool without a whole turn: what it holds is flat
            return self._slots(held.start + self._random(len(held), count)), False
        chosen = self._random(flat, count)
        return self._slots(aligned + every * torch.div(chosen, wide, rounding_mode="floor") + chosen % wide), False

    def _whole_refreshes(self) -> range:
        """Numbers of the refreshes of which every example is still there, at least the last one."""
        oldest = self.next * self.per_refresh - self.filled
        return range(min(-(-oldest // self.per_refresh), self.next - 1), self.next)

    def _random(self, limit: int, count: int) -> Tensor:
        return torch.randint(limit, (count,), device=self.store[0].device)

    def _slots(self, refresh: Tensor) -> Tensor:
        """A random slot of each of these refreshes."""
        return (refresh * self.per_refresh + self._random(min(self.per_refresh, self.size), len(refresh))) % self.size


def is_upright(number: int, every: int) -> bool:
    """Whether refresh or step ``number`` is one of portrait format: the last of ``every``, none if that is 0."""
    return every > 0 and number % every == every - 1
