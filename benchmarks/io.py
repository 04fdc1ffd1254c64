"""Time writing and reading of every file format of Gaussians and print a table.

    python benchmarks/io.py --count 1000000 --json io.json

The scene: the wavy layers of benchmarks/raster.py (three depth layers, random attributes).
Wall milliseconds are the best of the repetitions after one warm-up, CPU milliseconds the user + system time of the
process over all threads at their median, the figure to compare on a busy machine. The file lies in the folder for
temporary files, so it is read from the cache of the operating system.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import torch

from lyra.io import FORMATS, GaussianFormat
from lyra.structures import Gaussians
from raster import timed, wavy_layers


def scene(count: int) -> Gaussians:
    means, quats, scales, opacities, colors = wavy_layers(count, 256, 448)[0]
    return Gaussians(means, quats / quats.norm(dim=1, keepdim=True), scales, opacities, colors)


def measure(form: GaussianFormat, gaussians: Gaussians, folder: Path, repeats: int) -> dict:
    path = folder / f"scene{form.suffix}"
    write_cpu, write_wall = timed(lambda: form.write(path, gaussians), repeats, cuda=False)
    read_cpu, read_wall = timed(lambda: form.read(path), repeats, cuda=False)
    if len(form.read(path)) != len(gaussians):
        raise SystemExit(f"{form.name} gave back another number of Gaussians")
    return {
        "format": form.name,
        "gaussians": len(gaussians),
        "bytes_per_gaussian": path.stat().st_size / len(gaussians),
        "write_cpu_ms": write_cpu,
        "write_wall_ms": write_wall,
        "read_cpu_ms": read_cpu,
        "read_wall_ms": read_wall,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", nargs="+", type=int, default=[1_000_000])
    parser.add_argument("--format", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None, help="default: torch's own choice")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    where = f"{os.cpu_count()} CPUs"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {where}; times in ms, write | read | both")
    print(f"{'format':14} {'Gaussians':>9} {'bytes each':>10} "
          f"{'CPU':>8} {'wall':>8} | {'CPU':>8} {'wall':>8} | {'wall':>8}")  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.count:
            gaussians = scene(count)
            for name in arguments.format:
                row = measure(FORMATS[name], gaussians, Path(folder), arguments.repeats)
                rows.append(row)
                print(f"{name:14} {count:>9} {row['bytes_per_gaussian']:10.2f} "
                      f"{row['write_cpu_ms']:8.1f} {row['write_wall_ms']:8.1f} | "
                      f"{row['read_cpu_ms']:8.1f} {row['read_wall_ms']:8.1f} | "
                      f"{row['write_wall_ms'] + row['read_wall_ms']:8.1f}", flush=True)  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "where": where, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
