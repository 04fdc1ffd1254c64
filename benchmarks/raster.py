"""Time the rasteriser backends on a synthetic scene and print a table.

    python benchmarks/raster.py --count 200000 --size 256x448 --response ewa --json raster.json

The scene: three wavy depth layers, projected standard deviation about 1.2 pixels (log-normal), opacities
sigmoid(1.5 x normal), about 63 % of the Gaussians in view. CPU milliseconds are user + system time of the process over
all threads, the figure to compare on a busy machine; wall milliseconds are the best of the repetitions.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lyra.raster import RenderOptions, available_backends, rasterize


def wavy_layers(count: int, height: int, width: int, seed: int = 0) -> tuple[list[Tensor], Tensor, Tensor]:
    """The benchmark scene: five Gaussian tensors, w2c [1, 4, 4] and K [1, 3, 3]."""
    generator = torch.Generator().manual_seed(seed)
    focal = 0.9 * width
    layer = torch.randint(0, 3, (count,), generator=generator).float()
    # A square 1.26 times the picture on both sides: 1 / 1.26² = 63 % of it is in view.
    across = (torch.rand(count, 2, generator=generator) - 0.5) * 1.26
    base = 1.0 + 1.5 * layer
    wave = torch.sin(7 * across[:, 0] + layer) * torch.cos(5 * across[:, 1] - layer)
    z = base * (1 + 0.15 * wave) + 0.01 * torch.randn(count, generator=generator)
    size = torch.tensor([width, height]) / focal
    means = torch.cat([across * size * z[:, None], z[:, None]], dim=1)
    pixels = 1.2 * torch.exp(0.4 * torch.randn(count, 3, generator=generator))
    scales = pixels * z[:, None] / focal
    quats = torch.randn(count, 4, generator=generator)
    opacities = torch.sigmoid(1.5 * torch.randn(count, generator=generator))
    colors = torch.rand(count, 3, generator=generator)
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return [means, quats, scales, opacities, colors], torch.eye(4)[None], K[None]


def timed(step: Callable[[], object], repeats: int, cuda: bool) -> tuple[float, float]:
    """Median CPU milliseconds and best wall milliseconds of ``step``, after one warm-up."""
    step()
    cpu, wall = [], []
    for _ in range(repeats):
        if cuda:
            torch.cuda.synchronize()
        used, begun = time.process_time(), time.perf_counter()
        step()
        if cuda:
            torch.cuda.synchronize()
        cpu.append(1e3 * (time.process_time() - used))
        wall.append(1e3 * (time.perf_counter() - begun))
    return sorted(cpu)[len(cpu) // 2], min(wall)


def measure(backend: str, response: str, count: int, height: int, width: int, views: int, repeats: int) -> dict:
    device = "cuda" if backend == "cuda" else "cpu"
    scene, w2c, K = wavy_layers(count, height, width)
    leaves = [t.to(device).requires_grad_() for t in scene]
    w2c, K = w2c.repeat(views, 1, 1).to(device), K.repeat(views, 1, 1).to(device)
    options = RenderOptions(response=response, backend=backend)

    def forward() -> None:
        with torch.no_grad():
            rasterize(*leaves, w2c, K, height, width, options)

    def both() -> None:
        rgb, depth, alpha = rasterize(*leaves, w2c, K, height, width, options)
        (rgb.square().mean() + depth.mean() + alpha.mean()).backward()

    forward_cpu, forward_wall = timed(forward, repeats, device == "cuda")
    both_cpu, both_wall = timed(both, repeats, device == "cuda")
    return {
        "backend": backend,
        "response": response,
        "height": height,
        "width": width,
        "gaussians": count,
        "views": views,
        "forward_cpu_ms": forward_cpu,
        "forward_wall_ms": forward_wall,
        "both_cpu_ms": both_cpu,
        "both_wall_ms": both_wall,
        "gaussians_per_s": count * views / (forward_wall / 1e3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="+", default=["176x320", "256x448"], metavar="HxW")
    parser.add_argument("--count", nargs="+", type=int, default=[50_000, 200_000, 500_000])
    parser.add_argument("--response", nargs="+", choices=["ewa", "ray"], default=["ewa"])
    parser.add_argument("--backend", nargs="+", default=None, help="default: every fast backend that runs here")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="default: torch's own choice")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    backends = arguments.backend or [name for name in available_backends() if name != "reference"]
    where = torch.cuda.get_device_name() if "cuda" in backends else f"{os.cpu_count()} CPUs"
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {where}; times in ms, forward | with backward"
    )
    print(f"{'backend':9} {'response':8} {'H x W':>9} {'Gaussians':>9} {'views':>5} "
          f"{'CPU':>8} {'wall':>8} | {'CPU':>8} {'wall':>8} {'Gaussians/s':>12}")  # fmt: skip
    results = []
    for backend in backends:
        for response in arguments.response:
            for size in arguments.size:
                height, width = map(int, size.split("x"))
                for count in arguments.count:
                    row = measure(backend, response, count, height, width, arguments.views, arguments.repeats)
                    results.append(row)
                    print(f"{backend:9} {response:8} {height:>4}x{width:<4} {count:>9} {arguments.views:>5} "
                          f"{row['forward_cpu_ms']:8.1f} {row['forward_wall_ms']:8.1f} | {row['both_cpu_ms']:8.1f} "
                          f"{row['both_wall_ms']:8.1f} {row['gaussians_per_s']:12.3e}", flush=True)  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "where": where, "rows": results}, indent=2))
        if not all(math.isfinite(row["gaussians_per_s"]) for row in results):
            raise SystemExit("a measurement is not finite")


if __name__ == "__main__":
    main()
