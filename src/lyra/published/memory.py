"""What a run needs and what a computer has, for the memory plan."""

from dataclasses import dataclass
from pathlib import Path

import torch

from lyra.hub.memory_plan import DEVICE_RESERVE, GIB, Workload
from lyra.hub.model_folder import network_shape
from lyra.models.decoder import GaussianDecoder
from lyra.models.teacher import PublishedTeacher
from lyra.models.tokenizer import CosmosTokenizer
from lyra.preset import Preset
from lyra.structures import InputError


@dataclass(frozen=True)
class NetworkShapes:
    """The networks of a model folder as their cards describe them, without weights."""

    tokenizer: CosmosTokenizer
    teacher: PublishedTeacher
    decoder: GaussianDecoder


def network_shapes(folder: Path, preset: Preset) -> NetworkShapes:
    """Read the cards of a model folder and build its networks without memory.

    Raises:
        InputError: a card is missing, a file of weights is missing or cut off, or a network is of another class.
    """
    return NetworkShapes(
        network_shape(folder / "tokenizer", CosmosTokenizer),
        network_shape(folder / "teacher", PublishedTeacher),
        network_shape(folder / preset.decoder, GaussianDecoder),
    )


def workload(shapes: NetworkShapes, preset: Preset, device: torch.device, text: bool) -> Workload:
    """What a run computes, for the memory plan."""
    return Workload(
        shapes.teacher.config,
        shapes.tokenizer.config,
        shapes.decoder.config,
        preset.frames,
        preset.height,
        preset.width,
        len(preset.trajectories),
        2 if device.type == "cuda" else 4,
        text,
    )


def device_memory(device: torch.device, limit: float | None, host: int) -> int:
    """Bytes that may be used on the device: what is free, or the limit in GiB if that is less.

    Args:
        device: where the networks compute.
        limit: GiB, None for none.
        host: bytes of host memory for this process, which is the device's where the processor computes.

    Raises:
        InputError: a limit that is not a positive number.
    """
    if limit is not None and not limit > 0:
        raise InputError(f"memory {limit:g} GiB should be above 0")
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else host
    if limit is not None:
        free = min(free, int(limit * GIB))
    return free - (DEVICE_RESERVE if device.type == "cuda" else 0)


def host_memory() -> int:
    """Bytes of host memory that can be taken; very many where the system does not say."""
    listing = Path("/proc/meminfo")
    if listing.is_file():
        for line in listing.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 1 << 62
