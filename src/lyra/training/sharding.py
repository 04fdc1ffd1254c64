"""Networks too large for one device: FSDP2 shards, their checkpoints, and the way back to a whole network."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from lyra.models.teacher import Teacher
from lyra.training.checkpoint import UNREADABLE, CheckpointFolder, remove
from lyra.training.ema import WeightAverage
from lyra.training.processes import Agreement, rank_and_size
from lyra.training.task import Task

SUFFIX = ".sharded"
PLAIN = "run.pt"
"""File with step, seconds and options inside the folder of a sharded checkpoint."""


def shard(task: Task) -> nn.Module:
    """Split the teacher of ``task`` over all processes, block by block; float32 shards, bfloat16 work on GPUs."""
    network = task.network
    if not isinstance(network, Teacher):
        raise ValueError(f"shard: expected a Teacher, got a {type(network).__name__}")
    on_gpu = next(network.parameters()).is_cuda
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if on_gpu else MixedPrecisionPolicy()
    for block in network.backbone.transformer_blocks:
        fully_shard(block, mp_policy=policy)
    fully_shard(network, mp_policy=policy)
    return network


def whole(value: Tensor) -> Tensor:
    """The tensor itself, put together where it was split; every process must ask."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def gathered(network: nn.Module) -> nn.Module:
    """On process 0 an unsharded copy on the CPU, elsewhere the shards; every process must ask."""
    state = get_model_state_dict(network, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if rank_and_size()[0] != 0:
        return network
    assert isinstance(network, Teacher)
    copy = Teacher(network.config)
    copy.load_state_dict(state)
    return copy


class ShardedCheckpoints:
    """Checkpoints as folders to which every process writes its part; they load on any number of processes."""

    def __init__(self, folder: Path, agreement: Agreement) -> None:
        self.agreement = agreement
        self.rank, _ = rank_and_size()
        self.folder = self.folder_of(folder)
        self.part = folder / ".checkpoint.sharded.part"

    @staticmethod
    def folder_of(folder: Path) -> CheckpointFolder:
        """Where the checkpoints of a run lie."""
        return CheckpointFolder(folder, SUFFIX, active=rank_and_size()[0] == 0)

    @staticmethod
    def peek(folder: Path) -> dict[str, Any] | None:
        """Step, seconds and options of the checkpoint that ``load`` will try first, if they can be read."""
        for path in ShardedCheckpoints.folder_of(folder).candidates()[:1]:
            with suppress(*UNREADABLE):
                return _read_plain(path)
        return None

    def save(
        self, state: dict[str, Any], network: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage
    ) -> None:
        """Write the plain values ``state`` and all shards; the folder takes its name when every process is done."""
        if self.rank == 0:
            remove(self.part)
            self.part.mkdir(parents=True)
            torch.save(state, self.part / PLAIN)
        self.agreement.wait()
        dcp.save(_tensors(network, optimizer, average), checkpoint_id=self.part)
        self.agreement.wait()
        if self.rank == 0:
            self.folder.accept(self.part)
        self.agreement.wait()

    def load(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage,
        notify: Callable[[str], None],
    ) -> dict[str, Any]:
        """Put the newest readable checkpoint in place; returns its plain values.

        Raises:
            InputError: there is none, or none can be read.
        """

        def read(path: Path) -> dict[str, Any]:
            self.agreement.wait()  # nobody renames what another process still lists
            state: dict[str, Any] = self._together(lambda: _read_plain(path))
            tensors = _tensors(network, optimizer, average)
            self._together(lambda: dcp.load(tensors, checkpoint_id=path))
            set_state_dict(
                network, optimizer, model_state_dict=tensors["network"], optim_state_dict=tensors["optimizer"]
            )
            average.load_state_dict(tensors["average"])
            return state

        state: dict[str, Any] = self.folder.first_readable(read, notify)
        return state

    def _together(self, act: Callable[[], Any]) -> Any:
        """The outcome of ``act``, which fails in every process when it fails in one."""
        fault: BaseException | None = None
        outcome = None
        try:
            outcome = act()
        except (*UNREADABLE, CheckpointException) as error:
            fault = error
        if self.agreement.any(fault is not None):
            raise RuntimeError(str(fault) if fault else "another process cannot read its part") from fault
        return outcome


def _read_plain(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path / PLAIN, weights_only=True)
    return state


def _tensors(network: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage) -> dict[str, Any]:
    weights, moments = get_state_dict(network, optimizer)
    return {"network": weights, "optimizer": moments, "average": average.state_dict()}
