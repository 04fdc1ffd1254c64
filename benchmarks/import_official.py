"""Import a made-up checkpoint of full size and report time and memory.

``python benchmarks/import_official.py FOLDER [--role teacher] [--dtype bfloat16|float32]``

Names and shapes are the published ones, values are random, written a tensor at a time. The folder is removed
afterwards; the teacher needs 29 GB of disk in bfloat16, 44 GB in float32. The import runs in a process of its own,
whose peak is its own.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

from lyra.hub.official import SLOTS, Slot, import_official
from lyra.hub.official.slots import WRAPPERS
from lyra.hub.official.tensor_archive import TensorArchive


def write_fake(folder: Path, slot: Slot, dtype: torch.dtype) -> Path:
    path = folder / slot.folder / slot.exported
    path.parent.mkdir(parents=True)
    state = slot.network().state_dict()
    names = {slot.in_file(published): own for published, own in slot.names(state).items()}
    with torch.serialization.skip_data():
        empty = {name: torch.empty(state[own].shape, dtype=dtype) for name, own in names.items()}
        torch.save({slot.wrapper: empty}, path)
    archive = TensorArchive(path, WRAPPERS)
    with path.open("r+b") as file:
        for name, tensor in empty.items():
            file.seek(archive.tensors[name].position)
            file.write(torch.randn(tensor.shape).to(dtype).view(torch.uint8).numpy().tobytes())
    if slot.statistics:
        torch.save((torch.zeros(256), torch.ones(256)), path.parent / "mean_std.pt")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--role", choices=[slot.role for slot in SLOTS], default="teacher")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    slot = next(slot for slot in SLOTS if slot.role == arguments.role)
    if arguments.measure:
        start = time.perf_counter()
        cards = import_official(arguments.folder / "checkpoints", arguments.folder / "model", {}, (slot.role,))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"imported   {len(cards[0].files)} files, {cards[0].size / 1e9:.2f} GB")
        print(f"time       {time.perf_counter() - start:.0f} s")
        print(f"peak       {peak:.2f} GiB of host memory")
        return
    arguments.folder.mkdir(parents=True)
    try:
        path = write_fake(arguments.folder / "checkpoints", slot, getattr(torch, arguments.dtype))
        print(f"checkpoint {path.name}, {path.stat().st_size / 1e9:.2f} GB {arguments.dtype}", flush=True)
        words = [sys.executable, __file__, str(arguments.folder), "--role", slot.role, "--measure"]
        subprocess.run(words, check=True)
    finally:
        shutil.rmtree(arguments.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
