"""Time the Mamba-2 block with fused kernels, with the plain scan, and beside attention.

    python benchmarks/scan.py --json
    python benchmarks/scan.py --profile

Two questions. In training at 8k tokens (nano width, forward and backward, autocast): is the block as fast as attention?
On a GPU a step is timed with its kernels launched one by one, and recorded and replayed, as one GPU alone trains. At
the official 338k tokens (width 512, state 256, forward, bfloat16): how much faster is it than with the plain scan?
Blocks are timed whole, with their projections, convolution, gate and norms; the best of the repetitions counts. Without
a GPU only small sizes make sense, and the fused and recorded columns are missing.

With ``--profile`` a training step of each block is taken apart instead: its kernels by time, how many there are, and
how much of the step the device was at work.
"""

import argparse
import json
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from lyra.nn import MambaBlock, TransformerBlock, ssm
from lyra.training.recorded import RecordedCalls


def timed(step: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Best milliseconds of ``step`` after two warm-ups."""
    best = float("inf")
    for turn in range(2 + repeats):
        if device.type == "cuda":
            torch.cuda.synchronize()
        begun = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if turn >= 2:
            best = min(best, 1e3 * (time.perf_counter() - begun))
    return best


def training_step(
    block: nn.Module, tokens: Tensor, call: Callable[[Tensor], Tensor] | None = None
) -> Callable[[], object]:
    """Forward and backward under autocast, as the loop does it; ``call`` stands for the block."""
    call = block if call is None else call

    def step() -> None:
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=tokens.is_cuda):
            loss = call(tokens).float().square().mean()
        loss.backward()
        block.zero_grad(set_to_none=True)

    return step


def recorded_rows(blocks: dict[str, nn.Module], tokens: Tensor, repeats: int) -> dict[str, float]:
    """Milliseconds of replayed training steps; Mamba-2 fused.

    Raises:
        SystemExit: a step could not be recorded.
    """
    found = {}
    for name, block in blocks.items():
        calls = RecordedCalls(block)
        label = f"{name}_fused" if isinstance(block, MambaBlock) else name
        found[f"training_{label}_recorded_ms"] = timed(training_step(block, tokens, calls), tokens.device, repeats)
        if calls.failed:
            raise SystemExit(f"{name}: the step could not be recorded, so nothing can be said of replayed ones")
    return found


def forward_step(block: nn.Module, tokens: Tensor) -> Callable[[], object]:
    """Forward without a graph."""

    def step() -> None:
        with torch.no_grad():
            block(tokens)

    return step


def take_apart(blocks: dict[str, nn.Module], tokens: Tensor, repeats: int) -> None:
    """Print what a training step of each block spends its time on."""
    watched = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * tokens.is_cuda
    for name, block in blocks.items():
        step = training_step(block, tokens)
        whole = timed(step, tokens.device, repeats)
        with profile(activities=watched) as found:
            for _ in range(repeats):
                step()
            if tokens.is_cuda:
                torch.cuda.synchronize()
        times = [
            (event.self_device_time_total if tokens.is_cuda else event.self_cpu_time_total, event.count, event.key)
            for event in found.key_averages()
            if not tokens.is_cuda or event.device_type == DeviceType.CUDA
        ]
        busy, calls = sum(row[0] for row in times), sum(row[1] for row in times)
        print(f"{name}: {whole:.2f} ms a step; {busy / 1e3 / repeats:.2f} ms of work in {calls / repeats:.0f} calls")
        for spent, count, key in sorted(times, reverse=True)[:20]:
            print(f"{spent / 1e3 / repeats:>12.3f} ms {count / repeats:>7.1f} x {key[:90]}")


def rows(blocks: dict[str, nn.Module], tokens: Tensor, make: Callable, repeats: int, unit: str) -> dict[str, float]:
    """Milliseconds and peak MiB of each block; Mamba-2 both ways where it runs fused."""
    found = {}
    for name, block in blocks.items():
        ways = {name: ssm.runs_fused}
        if isinstance(block, MambaBlock):
            ways = {f"{name}_plain": lambda values: False}
            if ssm.runs_fused(tokens):
                ways[f"{name}_fused"] = ssm.runs_fused
        for label, chosen in ways.items():
            if tokens.is_cuda:
                torch.cuda.reset_peak_memory_stats()
            with patch.object(ssm, "runs_fused", chosen):
                found[f"{unit}_{label}_ms"] = timed(make(block, tokens), tokens.device, repeats)
            if tokens.is_cuda:
                found[f"{unit}_{label}_peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=8064, help="of a training step")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--state", type=int, default=64)
    parser.add_argument(
        "--long", type=int, default=337_920, help="tokens of the forward pass at official size; 0 leaves it out"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="take a training step apart instead")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    result: dict[str, object] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "tokens": arguments.tokens,
        "batch": arguments.batch,
        "long_tokens": arguments.long,
    }
    blocks = {
        "attention": TransformerBlock(arguments.width, arguments.width // 64).to(device),
        "mamba": MambaBlock(arguments.width, state=arguments.state, chunk=64).to(device),
    }
    tokens = torch.randn(arguments.batch, arguments.tokens, arguments.width, device=device)
    if arguments.profile:
        take_apart(blocks, tokens, arguments.repeats)
        return
    training = rows(blocks, tokens, training_step, arguments.repeats, "training")
    result |= training
    if "training_mamba_fused_ms" in training:
        fused = training["training_mamba_fused_ms"]
        recorded = recorded_rows(blocks, tokens, arguments.repeats)
        result |= recorded
        result["training_speed_over_attention"] = (
            recorded["training_attention_recorded_ms"] / recorded["training_mamba_fused_recorded_ms"]
        )
        result["training_speed_over_attention_launched"] = training["training_attention_ms"] / fused
        result["training_speed_over_plain"] = training["training_mamba_plain_ms"] / fused
    if arguments.long:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        blocks = {"attention": TransformerBlock(512, 8).to(device, dtype), "mamba": MambaBlock(512).to(device, dtype)}
        tokens = torch.randn(1, arguments.long, 512, device=device, dtype=dtype)
        long = rows(blocks, tokens, forward_step, arguments.repeats, "long_forward")
        result |= long
        if "long_forward_mamba_fused_ms" in long:
            fused = long["long_forward_mamba_fused_ms"]
            result["long_forward_speed_over_plain"] = long["long_forward_mamba_plain_ms"] / fused
            result["long_forward_speed_over_attention"] = long["long_forward_attention_ms"] / fused
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>40}: {value:.2f}" if isinstance(value, float) else f"{name:>40}: {value}")


if __name__ == "__main__":
    main()
