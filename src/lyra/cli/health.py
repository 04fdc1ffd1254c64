"""The checks of ``lyra doctor``, one function each."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OLDEST_PYTHON = (3, 11)
SPARE_DISK_MIB = 200
SPARE_MEMORY_MIB = 4096


@dataclass(frozen=True)
class Finding:
    """One checked thing.

    Attributes:
        name: what was checked.
        state: ``ok``, ``--`` (works without, but slower or less), or ``BAD`` (the main job cannot run).
        detail: what was found, and where needed the remedy.
    """

    name: str
    state: Literal["ok", "--", "BAD"]
    detail: str


def examine() -> list[Finding]:
    """Run every check; each returns its finding, whatever it meets."""
    checks: tuple[Callable[[], Finding], ...] = (
        python_version,
        torch_build,
        processor,
        memory,
        compiled_kernels,
        graphics_card,
        video_codec,
        embedded_networks,
        free_disk,
    )
    return [check() for check in checks]


def python_version() -> Finding:
    """Python and operating system."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("python", "BAD", f"{found}; install Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer")
    return Finding("python", "ok", found)


def torch_build() -> Finding:
    """The torch that is installed, and one matrix product with it."""
    try:
        import torch
    except (ImportError, OSError) as fault:
        return Finding("torch", "BAD", f"cannot be imported ({_first_line(fault)}); pip install torch")
    ours = torch.eye(3) @ torch.arange(3.0)
    if ours.tolist() != [0.0, 1.0, 2.0]:
        return Finding("torch", "BAD", f"{torch.__version__} computes wrong products; install another build of torch")
    return Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")


def processor() -> Finding:
    """Cores, vector instructions, and whether bfloat16 products are in hardware."""
    features = cpu_features()
    vectors = next((name for name in ("avx512f", "avx2", "asimd", "sse4_2") if name in features), "no known vectors")
    bf16 = [name for name in ("amx_bf16", "avx512_bf16", "bf16") if name in features]
    detail = f"{usable_cores()} cores, {vectors}, bf16 in hardware: {bf16[0] if bf16 else 'no, fp32 is used'}"
    return Finding("processor", "ok", detail)


def memory() -> Finding:
    """Memory that programs can still take."""
    free = available_memory_mib()
    if free is None:
        return Finding("memory", "--", "this system does not say how much is free")
    if free < SPARE_MEMORY_MIB:
        return Finding("memory", "--", f"{free:.0f} MiB free; close other programs if the job is killed")
    return Finding("memory", "ok", f"{free:.0f} MiB free")


def compiled_kernels() -> Finding:
    """Compile and run a one-line Numba kernel, as the CPU rasteriser does."""
    try:
        import numba
        import numpy as np

        kernel = numba.njit(lambda values: values.sum())
        total = kernel(np.arange(4.0))
    except (ImportError, OSError, RuntimeError, SystemError) as fault:
        return Finding("numba", "BAD", f"does not compile ({_first_line(fault)}); pip install --force-reinstall numba")
    if total != 6.0:
        return Finding("numba", "BAD", f"{numba.__version__} computes wrong sums; pip install --force-reinstall numba")
    return Finding("numba", "ok", f"{numba.__version__} compiles")


def graphics_card() -> Finding:
    """CUDA device and gsplat; both are optional."""
    try:
        import torch
    except (ImportError, OSError):
        return Finding("cuda", "--", "unknown without torch")
    if not torch.cuda.is_available():
        return Finding("cuda", "--", "no CUDA device; everything runs on the CPU")
    name = torch.cuda.get_device_name(0)
    if importlib.util.find_spec("gsplat") is None:
        return Finding("cuda", "--", f"{name}; for fast rendering there: pip install 'lyra-scenes[cuda]'")
    return Finding("cuda", "ok", f"{name}, gsplat {importlib.metadata.version('gsplat')}")


def video_codec() -> Finding:
    """PyAV and the H.264 encoder."""
    try:
        av = importlib.import_module("av")
    except (ImportError, OSError) as fault:
        return Finding("video", "BAD", f"PyAV cannot be imported ({_first_line(fault)}); pip install av")
    if "libx264" not in av.codecs_available:
        return Finding("video", "--", f"PyAV {av.__version__} without H.264; videos are written as MPEG-4 part 2")
    return Finding("video", "ok", f"PyAV {av.__version__} with H.264")


def embedded_networks() -> Finding:
    """Every network of the main road is there and its checksum is right."""
    from lyra.hub import load_model
    from lyra.pipeline import MODELS
    from lyra.structures import InputError

    try:
        for name in MODELS:
            load_model(name)
    except (InputError, OSError) as fault:
        return Finding("networks", "BAD", _first_line(fault))
    return Finding("networks", "ok", f"{', '.join(MODELS)}: checksums are right")


def free_disk() -> Finding:
    """Room for results in the current folder."""
    free = shutil.disk_usage(Path.cwd()).free / 2**20
    if free < SPARE_DISK_MIB:
        return Finding("disk", "BAD", f"{free:.0f} MiB free in this folder; {SPARE_DISK_MIB} MiB are enough")
    return Finding("disk", "ok", f"{free:.0f} MiB free in this folder")


def cpu_features() -> frozenset[str]:
    """Names of instruction sets as the system lists them; empty where it does not."""
    listing = Path("/proc/cpuinfo")
    if not listing.is_file():
        return frozenset({"asimd"} if platform.machine() in ("arm64", "aarch64") else ())
    for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory_mib() -> float | None:
    """Memory that can be taken without swapping, MiB, where the system tells."""
    listing = Path("/proc/meminfo")
    if not listing.is_file():
        return None
    for line in listing.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return None


def _first_line(fault: Exception) -> str:
    lines = str(fault).splitlines()
    return lines[0] if lines else type(fault).__name__
