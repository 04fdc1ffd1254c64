"""Time a step of fitting Gaussians to pictures, without networks or textures.

    python benchmarks/fit.py --steps 300 --json fit.json
    python benchmarks/fit.py --steps 300 --profile
    python benchmarks/fit.py --steps 10 --gaussians 3000 --height 64 --width 96 --device cpu

As `lyra evaluate optimisation` fits them: one picture a step, 78 pictures along six paths. The Gaussians stand on a
wavy wall, a pixel apart if there are as many as pixels, four times as dense by default; the pictures are smooth noise.
The last lines say milliseconds per step, peak memory and, with ``--profile``, what 20 steps spend their time on.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from lyra.geometry import intrinsics_from_fov
from lyra.geometry.trajectories import plan_six
from lyra.pipeline import FRAMES, resolve_device
from lyra.structures import Cameras, Gaussians
from lyra.studies.fit import optimise
from lyra.studies.optimisation import HELD_OUT


def wall(count: int, cameras: Cameras) -> Gaussians:
    """``count`` Gaussians about depth 1 that fill the picture of the first camera, with random colours."""
    generator = torch.Generator().manual_seed(0)
    fill = torch.rand(count, 2, generator=generator) - 0.5
    sides = torch.tensor([cameras.width, cameras.height]) / cameras.K[0, (0, 1), (0, 1)]
    xy = fill * sides
    z = 1 + 0.1 * torch.sin(6 * xy[:, :1]) * torch.cos(5 * xy[:, 1:])
    pitch = float((sides.prod() / count).sqrt())
    return Gaussians(
        torch.cat([xy * z, z], dim=1),
        torch.eye(1, 4).expand(count, -1),
        torch.full((count, 3), 0.45 * pitch),
        torch.full((count,), 0.8),
        torch.rand(count, 3, generator=generator),
    )


def main() -> None:
    """Make a scene, fit it, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--gaussians", type=int, default=458_752)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=448)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    device = resolve_device(given.device)
    size = (given.height, given.width)
    K = intrinsics_from_fov(torch.tensor(1.2), *size)[None]
    source = Cameras(torch.eye(4)[None], K, *size)
    fitted = [frame for frame in range(FRAMES) if frame not in HELD_OUT]
    c2w = torch.cat([path.cameras.c2w[fitted] for path in plan_six(FRAMES, source)]).float()
    small = torch.rand(len(c2w), 3, 16, 28, generator=torch.Generator().manual_seed(1))
    pictures = F.interpolate(small, size=size, mode="bicubic").clamp(0, 1).to(device)
    start, poses, lens = wall(given.gaussians, source).to(device), c2w.to(device), K.expand(len(c2w), 3, 3).to(device)

    began = time.perf_counter()
    optimise(start, pictures, poses, lens, 1, lambda line: None)
    first = time.perf_counter() - began
    print(f"first step, with what is compiled or loaded: {first:.1f} s", flush=True)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    optimise(start, pictures, poses, lens, given.steps, print)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    pace = 1e3 * (time.perf_counter() - began) / given.steps
    mib = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    peak = f", {mib:.0f} MiB" if mib is not None else ""
    print(f"{given.gaussians} Gaussians, {given.height} x {given.width}: {pace:.2f} ms a step{peak}", flush=True)
    if given.json:
        sizes = {"gaussians": given.gaussians, "height": given.height, "width": given.width, "steps": given.steps}
        times = {"first_step_seconds": first, "milliseconds_per_step": pace, "peak_mib": mib}
        given.json.write_text(json.dumps({**sizes, "device": str(device), **times}, indent=1))
    if given.profile:
        watched = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
        with profile(activities=watched) as found:
            optimise(start, pictures, poses, lens, 20, lambda line: None)
        order = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
        print(found.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=60))


if __name__ == "__main__":
    main()
