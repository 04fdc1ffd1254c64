"""The published networks at full size with random weights: seconds, memory, and what each setting gives.

    python benchmarks/official.py --json official.json              one GPU with at least 40 GB
    python benchmarks/official.py --json official.json --limit 24 16 12
    python benchmarks/official.py --toy                             the smallest networks, on any computer

The baseline is the sampler as published: 35 steps of two passes, one trajectory at a time, nothing compiled. Every
other line changes one thing, and says whether it changes the result. A line takes a few steps of the real sampler;
seconds of a trajectory are the passes it needs times the seconds of a pass. Time and memory do not depend on the
values of the weights, except how many passes the first-block cache skips: of that one only the price of a skipped pass
is told. The floor is the number of operations of a pass at the rate of a large matrix product on the same device.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lyra.diffusion import Guidance
from lyra.hub.memory_plan import GIB, Workload, plan_memory
from lyra.hub.official import SLOTS, Slot, toy_slots
from lyra.models.decoder import DecoderInputs
from lyra.models.teacher import PublishedInputs, PublishedTeacher, TeacherConfig
from lyra.models.teacher.lean import make_lean
from lyra.models.teacher.offload import store_in_8_bits, stream_blocks
from lyra.models.teacher.speed import compile_blocks, multiply_in_8_bits, reuse_blocks, side
from lyra.preset import published, toy
from lyra.published import QUALITIES
from lyra.published.pipeline import DEVICE_RESERVE
from lyra.stages import PublishedSampling, imagine_published
from lyra.structures import InputError

SAME, ROUNDED, OTHER = "no", "rounding", "yes"
"""Whether a setting changes the result."""

BASELINE = "as published"
UNGUIDED = Guidance(0.0)
INTERVAL = QUALITIES["balanced"].guidance


@dataclass(frozen=True)
class Bench:
    """Where and at which size is measured."""

    device: torch.device
    dtype: torch.dtype
    slots: dict[str, Slot]
    frames: int
    height: int
    width: int
    steps: int

    @property
    def latent(self) -> tuple[int, int, int]:
        return 1 + (self.frames - 1) // 8, self.height // 8, self.width // 8

    @property
    def teacher(self) -> TeacherConfig:
        config: TeacherConfig = self.slots["teacher"].config
        return config

    def workload(self, views: int) -> Workload:
        tokenizer, decoder = self.slots["tokenizer"].config, self.slots["decoder-static"].config
        size = torch.empty(0, dtype=self.dtype).element_size()
        return Workload(self.teacher, tokenizer, decoder, self.frames, self.height, self.width, views, size)


@dataclass(frozen=True)
class Setting:
    """One line of the table: what is changed, and whether the result changes."""

    name: str
    changes: str
    prepare: Callable[[PublishedTeacher], None] = lambda teacher: None
    sampling: PublishedSampling = field(default_factory=PublishedSampling)
    together: int = 1
    cuda_only: bool = False


def settings(bench: Bench) -> Iterator[Setting]:
    published_one, balanced, draft = PublishedSampling(), QUALITIES["balanced"], QUALITIES["draft"]

    def eight_bits(teacher: PublishedTeacher) -> None:
        store_in_8_bits(teacher, bench.dtype)

    def fast(teacher: PublishedTeacher) -> None:
        multiply_in_8_bits(teacher)
        compile_blocks(teacher)

    yield Setting(BASELINE, SAME)
    yield Setting("no guidance", OTHER, sampling=replace(published_one, guidance=UNGUIDED))
    yield Setting("guidance on middle noise levels", OTHER, sampling=replace(published_one, guidance=INTERVAL))
    yield Setting("18 steps of order 2", OTHER, sampling=replace(published_one, steps=18, order=2))
    yield Setting("12 steps of order 3", OTHER, sampling=replace(published_one, steps=12, order=3))
    yield Setting("blocks in parts", SAME, lambda teacher: make_lean(teacher.backbone))
    yield Setting("weights stored in 8 bits", ROUNDED, eight_bits)
    yield Setting("products in 8 bits", ROUNDED, multiply_in_8_bits)
    yield Setting("compiled blocks", SAME, compile_blocks, cuda_only=True)
    yield Setting("compiled blocks, products in 8 bits", ROUNDED, fast, cuda_only=True)
    for together in (2, 6):
        yield Setting(f"{together} trajectories at once", SAME, together=together)
    yield Setting("quality balanced", OTHER, sampling=balanced)
    yield Setting("quality balanced, compiled blocks", OTHER, compile_blocks, balanced, cuda_only=True)
    yield Setting("quality balanced, compiled, products in 8 bits", OTHER, fast, balanced, cuda_only=True)
    yield Setting("quality draft", OTHER, sampling=draft)
    yield Setting("quality draft, compiled, products in 8 bits", OTHER, fast, draft, cuda_only=True)


def random_network(slot: Slot, bench: Bench) -> Any:
    """A network of a slot on the device; the values are small enough for nothing to overflow."""
    kind, usual = type(slot.network()), torch.get_default_dtype()
    torch.set_default_dtype(bench.dtype)  # never a copy in float32, which would be 29 GB of the teacher
    try:
        with torch.device(bench.device):
            network = kind(slot.config).to(bench.dtype)
    finally:
        torch.set_default_dtype(usual)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)
    return network.requires_grad_(False).eval()


def random_inputs(bench: Bench, together: int, device: torch.device | str) -> PublishedInputs:
    config, latent = bench.teacher, bench.latent
    shapes: list[tuple[int, ...]] = [
        (together, config.latent_channels, 1, *latent[1:]),
        (together, config.buffers, config.latent_channels, *latent),
        (together, config.buffers, config.mask_channels, *latent),
        (together, 1, config.text_dim),
    ]
    return PublishedInputs(*(torch.randn(shape, device=device, dtype=bench.dtype) for shape in shapes))


def operations(bench: Bench) -> int:
    """Of one pass: multiplications and additions of all matrix products and of attention, counted without memory."""
    config = bench.teacher
    bare = replace(bench, device=torch.device("meta"))
    network, inputs = bench.slots["teacher"].network().to(bench.dtype), random_inputs(bare, 1, "meta")
    state = torch.empty(1, config.latent_channels, *bench.latent, device="meta", dtype=bench.dtype)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.network(state, torch.empty(1, device="meta"), inputs)
    return int(counter.get_total_flops())


def matrix_rate(bench: Bench) -> float:
    """Operations per second of a large matrix product."""
    size = 8192 if bench.device.type == "cuda" else 512
    a, b = (torch.randn(size, size, device=bench.device, dtype=bench.dtype) for _ in range(2))
    return 2 * size**3 / min(seconds(lambda: a @ b, bench) for _ in range(10))


def seconds(call: Callable[[], Any], bench: Bench) -> float:
    wait(bench)
    start = time.perf_counter()
    call()
    wait(bench)
    return time.perf_counter() - start


def wait(bench: Bench) -> None:
    if bench.device.type == "cuda":
        torch.cuda.synchronize(bench.device)


def released(bench: Bench) -> None:
    gc.collect()
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(bench.device)


def peaks(bench: Bench) -> dict[str, float | None]:
    """GiB; None where the device does not count."""
    if bench.device.type != "cuda":
        return {"allocated": None, "reserved": None}
    counts = (torch.cuda.max_memory_allocated(bench.device), torch.cuda.max_memory_reserved(bench.device))
    return dict(zip(("allocated", "reserved"), (round(count / GIB, 2) for count in counts), strict=True))


def pass_seconds(teacher: PublishedTeacher, setting: Setting, bench: Bench) -> float:
    """Seconds of one network pass per clip, inside the sampler."""
    inputs = random_inputs(bench, setting.together, bench.device)
    guidance = Guidance(setting.sampling.guidance.weight)
    short = PublishedSampling(bench.steps, guidance, setting.sampling.order)
    imagine_published(inputs, teacher, replace(short, steps=1))  # compiles, picks kernels
    passes = bench.steps * (1 if guidance.weight == 0 else 2) * setting.together
    return seconds(lambda: imagine_published(inputs, teacher, short), bench) / passes


def measured(setting: Setting, bench: Bench) -> dict[str, Any]:
    """One line: seconds of a pass and of a trajectory, peaks; or why there is none."""
    line: dict[str, Any] = {"name": setting.name, "changes_the_result": setting.changes}
    if setting.cuda_only and bench.device.type != "cuda":
        return {**line, "not_measured": "needs a GPU"}
    passes = setting.sampling.passes(bench.teacher.sigma_min, bench.teacher.sigma_max)
    try:
        released(bench)
        teacher = random_network(bench.slots["teacher"], bench)
        setting.prepare(teacher)
        each = pass_seconds(teacher, setting, bench)
    except torch.cuda.OutOfMemoryError:
        return {**line, "passes": passes, "not_measured": "too little memory"}
    return {**line, "passes": passes, "pass_seconds": each, "clip_seconds": each * passes, **peaks(bench)}


def skipped_pass(bench: Bench) -> dict[str, Any]:
    """Price of a pass in which the first-block cache skips the other blocks."""
    released(bench)
    teacher = random_network(bench.slots["teacher"], bench)
    reuse_blocks(teacher, 0.1)
    inputs = random_inputs(bench, 1, bench.device)
    config = bench.teacher
    state = torch.randn(1, config.latent_channels, *bench.latent, device=bench.device)
    level = torch.ones(1, device=bench.device)

    def one_pass() -> None:
        with torch.no_grad(), side(teacher, "wanted"):
            teacher(state, level, inputs)

    full = seconds(one_pass, bench)
    skipped = min(seconds(one_pass, bench) for _ in range(3))
    return {"name": "first-block cache, a skipped pass", "changes_the_result": OTHER, "first": full, "seconds": skipped}


def limited(bench: Bench, limit: float, baseline: float) -> dict[str, Any]:
    """The teacher as the memory plan holds it on a card of ``limit`` GiB; the card's memory is cut to that."""
    cuda = bench.device.type == "cuda"
    work = bench.workload(6)
    try:
        plan = plan_memory(work, int(limit * GIB) - (DEVICE_RESERVE if cuda else 0), 1 << 50)
    except InputError as error:
        return {"limit": limit, "not_measured": str(error)}
    planned = next(phase for phase in plan.phases if phase.name == "imagine").device / GIB
    line = {"limit": limit, "choice": asdict(plan.choice), "planned_imagine": round(planned, 2)}
    teacher = random_network(bench.slots["teacher"], bench)
    if plan.choice.teacher == "streamed":
        teacher = teacher.cpu()
    released(bench)
    if cuda:
        total = torch.cuda.get_device_properties(bench.device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit * GIB / total), bench.device)
    try:
        if plan.choice.lean:
            make_lean(teacher.backbone)
        if plan.choice.teacher == "streamed":
            stream_blocks(teacher, bench.device)
        each = pass_seconds(teacher, Setting("", SAME), bench)
    except torch.cuda.OutOfMemoryError:
        return {**line, "not_measured": "out of memory"}
    finally:
        if cuda:
            torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
    return {**line, "pass_seconds": each, "times_resident": each / baseline, **peaks(bench)}


@torch.no_grad()
def decoder_lines(bench: Bench, views: int) -> list[dict[str, Any]]:
    """The 3D decoder on all views, with all tokens at once and in pieces."""
    slot, config = bench.slots["decoder-static"], bench.slots["decoder-static"].config
    latent, lines = bench.latent, []

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, device=bench.device, dtype=bench.dtype)

    K = torch.tensor([[bench.width, 0, bench.width / 2], [0, bench.width, bench.height / 2], [0, 0, 1.0]])
    inputs = DecoderInputs(
        noise(1, views, config.latent_channels, *latent),
        torch.eye(4, device=bench.device).expand(1, views, bench.frames, 4, 4),
        K.to(bench.device).expand(1, views, 3, 3),
        bench.height,
        bench.width,
        noise(1, views, config.ray_channels, *latent),
    )
    for together in (None, 1 << 16, 1 << 14):
        released(bench)
        decoder = random_network(slot, bench)
        decoder.trunk.together = together
        decoder(inputs)
        lines.append(
            {"tokens_together": together, "seconds": seconds(lambda d=decoder: d(inputs), bench)} | peaks(bench)
        )
    return lines


@torch.no_grad()
def tokenizer_lines(bench: Bench) -> list[dict[str, Any]]:
    """One clip through the tokenizer, at once and in pieces of latent frames."""
    latent, lines = bench.latent, []
    for together in (None, 4, 1):
        released(bench)
        tokenizer = random_network(bench.slots["tokenizer"], bench)
        tokenizer.together = together
        clip = torch.rand(1, 3, bench.frames, bench.height, bench.width)
        z = torch.randn(1, bench.slots["tokenizer"].config.latent_channels, *latent)

        def decode(tokenizer: Any = tokenizer, z: Tensor = z) -> None:
            for _ in tokenizer.decode_pieces(z):
                pass

        try:
            encode_seconds = seconds(lambda t=tokenizer, c=clip: t.encode(c), bench)
            decode_seconds = seconds(decode, bench)
        except torch.cuda.OutOfMemoryError:
            lines.append({"frames_together": together, "not_measured": "too little memory"})
            continue
        line = {"frames_together": together, "encode_seconds": encode_seconds, "decode_seconds": decode_seconds}
        lines.append(line | peaks(bench))
    return lines


def show(report: dict[str, Any]) -> None:
    print(f"{report['device']}, {report['frames']} frames of {report['height']} x {report['width']}, random weights")
    rate, operations = report["operations_per_second"], report["operations_of_a_pass"]
    print(f"a pass takes {operations:.4g} operations; a large matrix product runs at {rate:.4g} a second")
    floors = report["floor_pass_seconds"], report["floor_clip_seconds"]
    print(f"floor: {floors[0]:.4g} s a pass, {floors[1]:.4g} s a clip as published\n")
    print(f"{'setting':48s} {'changes':9s} {'passes':>6s} {'s/pass':>9s} {'s/clip':>9s} {'faster':>7s} {'GiB':>6s}")
    baseline = report["settings"][0]
    for line in report["settings"]:
        head = f"{line['name']:48s} {line['changes_the_result']:9s}"
        if "pass_seconds" not in line:
            print(f"{head} {line['not_measured']}")
            continue
        faster = baseline["clip_seconds"] / line["clip_seconds"]
        print(
            f"{head} {line['passes']:6d} {line['pass_seconds']:9.4g} {line['clip_seconds']:9.4g} {faster:6.2f}x "
            f"{'' if line['allocated'] is None else line['allocated']:>6}"
        )
    for part in ("first_block_cache", "limits", "decoder", "tokenizer"):
        print(f"\n{part}")
        for line in report[part]:
            print("  " + ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items()))


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the numbers to a file")
    parser.add_argument("--toy", action="store_true", help="smallest networks, 17 frames of 64 x 96")
    parser.add_argument("--limit", type=float, nargs="*", default=[24.0, 16.0], help="GiB of made-up smaller cards")
    parser.add_argument("--steps", type=int, default=2, help="steps of the sampler for each line")
    arguments = parser.parse_args(words)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not arguments.toy and device.type == "cpu":
        parser.error("the published size needs a GPU; try --toy")
    preset = toy() if arguments.toy else published()
    slots = {slot.role: slot for slot in (toy_slots() if arguments.toy else SLOTS)}
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    bench = Bench(device, dtype, slots, preset.frames, preset.height, preset.width, arguments.steps)
    views = len(preset.trajectories)
    torch.manual_seed(0)
    count, rate = operations(bench), matrix_rate(bench)
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "frames": preset.frames,
        "height": preset.height,
        "width": preset.width,
        "steps_measured": arguments.steps,
        "operations_of_a_pass": count,
        "operations_per_second": rate,
        "floor_pass_seconds": count / rate,
        "floor_clip_seconds": count
        / rate
        * PublishedSampling().passes(bench.teacher.sigma_min, bench.teacher.sigma_max),
        "settings": [measured(setting, bench) for setting in settings(bench)],
    }
    baseline = report["settings"][0].get("pass_seconds")
    report["first_block_cache"] = [skipped_pass(bench)]
    report["limits"] = [limited(bench, limit, baseline) for limit in arguments.limit] if baseline else []
    report["decoder"] = decoder_lines(bench, views)
    report["tokenizer"] = tokenizer_lines(bench)
    show(report)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
