"""One clip shared by two processes, over gloo: what one process computes."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lyra.models.teacher import PublishedTeacher, TeacherInputs
from lyra.models.teacher.config import official
from lyra.models.teacher.offload import stream_blocks
from lyra.models.teacher.parallel import require_equal_shares, share_clip
from lyra.structures import InputError

TINY = replace(
    official(), latent_channels=4, mask_channels=4, heads=2, head_dim=16, layers=3, text_dim=6, text_tokens=3,
    adaln_lora_dim=5, max_size=(8, 16, 16),
)  # fmt: skip


def estimates(processes: int, streamed: bool = False) -> torch.Tensor:
    torch.manual_seed(0)
    net = PublishedTeacher(TINY).eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    draws = [torch.randn(shape) for shape in ((1, 4, 3, 4, 6), (1, 4, 1, 4, 6), (1, 2, 4, 3, 4, 6))]
    inputs = TeacherInputs(draws[1], draws[2], draws[2].flip(0), torch.randn(1, 3, 6))
    if streamed:
        stream_blocks(net, torch.device("cpu"))
    if processes > 1:
        share_clip(net, processes, torch.device("cpu"))
    with torch.no_grad():
        return net(3 * draws[0], torch.tensor([2.0]), inputs)


def work(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save((estimates(2), estimates(2, streamed=True)), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_share_a_clip(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = estimates(1)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other), "both hold the whole state"
        torch.testing.assert_close(one, alone, rtol=1e-5, atol=1e-5)


def test_unequal_shares_are_refused() -> None:
    require_equal_shares(8, 16 * 44 * 80, 32)
    with pytest.raises(InputError, match="3 processes cannot share 56320 tokens and 32 heads equally"):
        require_equal_shares(3, 56320, 32)
