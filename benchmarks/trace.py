"""Frames per second of the world tracer, per backend: python benchmarks/trace.py [--json]."""

import argparse
import json
import time

import torch

from lyra.worlds import TextureStore, WorldBatch, collate, load_textures, sample_world, source_intrinsics, trace


def measure(
    batch: WorldBatch, store: TextureStore, backend: str, frames: int, height: int, width: int, smooth_edges: bool
) -> float:
    """Frames per second over ``frames`` frames spread over the worlds."""
    index = torch.arange(frames, device=batch.device) % len(batch)
    K = source_intrinsics(batch, height, width)[index]
    c2w = batch.source_c2w[index]

    def run() -> None:
        trace(batch, store, index, c2w, K, height, width, None, backend, smooth_edges)  # type: ignore[arg-type]
        if batch.device.type == "cuda":
            torch.cuda.synchronize()

    run()
    start, rounds = time.perf_counter(), 0
    while rounds < 1 or time.perf_counter() - start < 2.0:
        run()
        rounds += 1
    return rounds * frames / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=32)
    parser.add_argument("--frames", type=int, help="per call; default 1024 on a GPU, 4 on a CPU")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=448)
    parser.add_argument("--tiles", type=int, default=120)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    textures = load_textures(None, "train", options.tiles)
    store = textures.to(device)
    start = time.perf_counter()
    worlds = [sample_world(seed, "train", textures) for seed in range(options.worlds)]
    sampling = (time.perf_counter() - start) / options.worlds
    batch = collate(worlds, device)
    result: dict[str, object] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "height": options.height,
        "width": options.width,
        "primitives": sum(len(world.primitives) for world in worlds) / len(worlds),
        "milliseconds_per_world_sampled": 1e3 * sampling,
    }
    for backend in ("torch", "triton") if device == "cuda" else ("torch",):
        frames = options.frames or (1024 if backend == "triton" else 4)
        for smooth in (False, True):
            rate = measure(batch, store, backend, frames, options.height, options.width, smooth)
            result[f"{backend}{'_smooth' if smooth else ''}_frames_per_second"] = rate
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>40}: {value:.2f}" if isinstance(value, float) else f"{name:>40}: {value}")


if __name__ == "__main__":
    main()
