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
