"""The decoder's trunk, recorded: the part of its step that does the same kernels whatever the scene is.

What follows the trunk cannot be recorded: how many Gaussians a tile of the picture holds is known only in the step.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from lyra.models.decoder.trunk import Trunk
from lyra.training.recorded import RecordedCalls


class RecordedTrunk:
    """Calls of a trunk inside of training steps, recorded once for each shape and from then on replayed.

    The trunk knows of it only while a step runs the network, so that copies, weight files and scores do not.
    """

    def __init__(self, trunk: Trunk) -> None:
        self._trunk = trunk
        self._calls = RecordedCalls(_Mixing(trunk))

    @contextmanager
    def step(self) -> Iterator[None]:
        """Inside, the trunk is replayed where gradients are wanted; the backward pass comes before the next step."""
        if self._trunk.checkpoint_blocks:  # what is computed again asks for the state of the random numbers
            yield
            return
        self._trunk.replay = self._calls
        try:
            with self._calls.step():
                yield
        finally:
            self._trunk.replay = None

    def forget(self) -> None:
        """Let go of all records, as sizes will be others."""
        self._calls.forget()


class _Mixing(nn.Module):
    """What of a trunk is recorded."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, tokens: Tensor) -> Tensor:
        """The trunk's blocks and norm."""
        return self.trunk.mix(tokens)
