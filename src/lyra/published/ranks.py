"""Several processes on one job, as torchrun starts them: each takes some trajectories, or all share every one."""

import atexit
import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from lyra.structures import InputError


class Ranks:
    """This process among ``world`` of them; the first one leads.

    Args:
        rank, world: number of this process, and how many there are.
        share: whether all compute every trajectory together, instead of some each.
    """

    def __init__(self, rank: int = 0, world: int = 1, share: bool = False) -> None:
        self.rank, self.world = rank, world
        self.share = share and world > 1

    @staticmethod
    def from_environment(device: torch.device, share: bool = False) -> "Ranks":
        """The processes that torchrun started; one alone where it did not. Joins them over NCCL or gloo.

        Raises:
            InputError: as `started`, or the processes do not find each other.
        """
        rank, world = Ranks.started()
        if world > 1 and not dist.is_initialized():
            try:
                dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            except (RuntimeError, ValueError) as error:
                raise InputError(f"the {world} processes do not find each other ({error}); use torchrun") from error
            atexit.register(_leave)
        return Ranks(rank, world, share)

    @staticmethod
    def started() -> tuple[int, int]:
        """Number of this process and how many torchrun started; 0 and 1 where it did not. Joins nothing.

        Raises:
            InputError: the variables that torchrun sets are not numbers.
        """
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            return 0, 1
        try:
            return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        except ValueError as error:
            raise InputError(f"RANK and WORLD_SIZE should be numbers ({error}); start the job with torchrun") from error

    @staticmethod
    def device(name: str) -> str:
        """``name``, or for ``auto`` and ``cuda`` the GPU that belongs to this process."""
        if name in ("auto", "cuda") and "LOCAL_RANK" in os.environ and torch.cuda.is_available():
            return f"cuda:{os.environ['LOCAL_RANK']}"
        return name

    @property
    def beside(self) -> int:
        """Processes on this computer, which share its memory."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.world > 1 else 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the result."""
        return self.rank == 0

    def mine(self, count: int) -> range:
        """Which of ``count`` pieces of work this process takes."""
        return range(count) if self.share else range(self.rank, count, self.world)

    def together(self, parts: dict[int, Tensor], count: int) -> Tensor:
        """Parts [...] of all processes in order: [count, ...].

        Every part is added to zeros of the others, so the values are exactly those that one process would have; where
        all is shared, every process has all parts already.

        Args:
            parts: number of each part made here, and its value; all of one shape, type and device.
            count: of all parts; every process has made at least one (`require_work`).
        """
        like = next(iter(parts.values()))
        whole = like.new_zeros(count, *like.shape)
        for number, part in parts.items():
            whole[number] = part
        if self.world > 1 and not self.share:
            dist.all_reduce(whole)
        return whole

    def close(self) -> None:
        """Part from the others, once all have come here."""
        if self.world > 1 and dist.is_initialized():
            dist.barrier()
            _leave()

    def require_work(self, pieces: Sequence[object]) -> None:
        """Refuse more processes than pieces of work.

        Raises:
            InputError: so.
        """
        if self.world > len(pieces) and not self.share:
            raise InputError(
                f"{self.world} processes for {len(pieces)} trajectories; start at most {len(pieces)}, "
                "or add --share-clips"
            )


def _leave() -> None:
    """End the groups before the interpreter goes: threads of gloo that outlive it abort the process."""
    if dist.is_initialized():
        dist.destroy_process_group()
