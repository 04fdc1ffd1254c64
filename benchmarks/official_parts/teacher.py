"""The teacher: its floor, the ladder of settings, and the ways to hold it on a smaller card."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lyra.hub.memory_plan import DEVICE_RESERVE, GIB, plan_memory
from lyra.models.teacher import PublishedInputs, PublishedTeacher
from lyra.models.teacher.lean import make_lean
from lyra.models.teacher.null_text import drop_text
from lyra.models.teacher.offload import store_in_8_bits, stream_blocks
from lyra.models.teacher.speed import compile_blocks, multiply_in_8_bits, reuse_blocks, side, to_float8
from lyra.nn import fast_attention
from lyra.published import QUALITIES
from lyra.stages import PublishedSampling, imagine_published
from official_parts.bench import Bench, Report, peaks, random_inputs, random_network, released, seconds, wait

SAME, ROUNDED, OTHER = "no", "rounding", "yes"
"""Whether a setting changes the result."""


def operations(bench: Bench, text: bool = True) -> int:
    """Of one pass: multiplications and additions of all matrix products and of attention, counted without memory."""
    config = bench.teacher
    bare = replace(bench, device=torch.device("meta"))
    network = bench.slots["teacher"].network().to(bench.dtype)
    if not text:
        drop_text(network)
    state = torch.empty(1, config.latent_channels, *bench.latent, device="meta", dtype=bench.dtype)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.network(state, torch.empty(1, device="meta"), random_inputs(bare, "meta"))
    return int(counter.get_total_flops())


def floor(report: Report, bench: Bench) -> None:
    """Operations of a pass, and the rates at which this device multiplies and attends at the sizes of the network."""
    passes = PublishedSampling().passes(bench.teacher.sigma_min, bench.teacher.sigma_max)
    count, spared, rate = operations(bench), operations(bench, text=False), matrix_rate(bench)
    report.put(
        operations_of_a_pass=count,
        operations_without_text=spared,
        operations_per_second=rate,
        floor_pass_seconds=count / rate,
        floor_clip_seconds=count / rate * passes,
    )
    width, hidden = bench.teacher.heads * bench.teacher.head_dim, 4 * bench.teacher.heads * bench.teacher.head_dim
    rows = torch.randn(bench.tokens, width, device=bench.device, dtype=bench.dtype)
    weight = torch.randn(hidden, width, device=bench.device, dtype=bench.dtype)
    ops = 2 * bench.tokens * width * hidden

    def rate_of(call: Callable[[], Any], work: int) -> dict[str, Any]:
        call()
        return {"operations_per_second": work / min(seconds(call, bench) for _ in range(3))}

    report.attempt("rates", "MLP product", lambda: rate_of(lambda: F.linear(rows, weight), ops))
    if bench.cuda:
        (a, a_scale), (b, b_scale) = to_float8(rows), to_float8(weight)
        product = torch._scaled_mm
        report.attempt(
            "rates",
            "MLP product in 8 bits",
            lambda: rate_of(
                lambda: product(a, b.T, scale_a=a_scale, scale_b=b_scale.T, out_dtype=bench.dtype, use_fast_accum=True),
                ops,
            ),
        )
    shape = (1, bench.teacher.heads, bench.tokens, bench.teacher.head_dim)
    query = torch.randn(shape, device=bench.device, dtype=bench.dtype)
    attended = 4 * bench.tokens**2 * width
    attend = F.scaled_dot_product_attention
    report.attempt("rates", "attention", lambda: rate_of(lambda: attend(query, query, query), attended))
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION) if bench.cuda else ():

        def chosen(backend: SDPBackend = backend) -> None:
            with sdpa_kernel(backend):
                attend(query, query, query)

        report.attempt("rates", f"attention by {backend.name}", lambda c=chosen: rate_of(c, attended))


def matrix_rate(bench: Bench) -> float:
    """Operations per second of a large matrix product."""
    size = 8192 if bench.cuda else 512
    a, b = (torch.randn(size, size, device=bench.device, dtype=bench.dtype) for _ in range(2))
    return 2 * size**3 / min(seconds(lambda: a @ b, bench) for _ in range(10))


def one_pass(teacher: PublishedTeacher, inputs: PublishedInputs, bench: Bench) -> Callable[[], None]:
    """A network pass as the sampler makes it, at a middle noise level."""
    together = inputs.source.shape[0] if inputs.source is not None else 1
    state = torch.randn(together, bench.teacher.latent_channels, *bench.latent, device=bench.device)
    level = torch.ones(together, device=bench.device)

    def run() -> None:
        with torch.no_grad():
            teacher(state, level, inputs)

    return run


def pass_line(
    teacher: PublishedTeacher, bench: Bench, repeats: int, together: int = 1, words: int = 1
) -> dict[str, Any]:
    """Seconds of the first pass (with compilation and choice of kernels), mean of the following ones per clip."""
    run = one_pass(teacher, random_inputs(bench, bench.device, together, words), bench)
    first = seconds(run, bench)
    each = [seconds(run, bench) / together for _ in range(repeats)]
    return {"first_seconds": first, "pass_seconds": sum(each) / len(each), "passes_timed": each} | peaks(bench)


@dataclass(frozen=True)
class Rung:
    """One more change, on top of those before."""

    name: str
    changes: str
    prepare: Callable[[PublishedTeacher], object] | None
    sampling: PublishedSampling


def rungs(bench: Bench, held: ExitStack) -> Iterator[Rung]:
    """From the published sampler to ``--quality balanced`` and ``draft``; ``held`` keeps what holds until the top."""
    whole, balanced, draft = PublishedSampling(), QUALITIES["balanced"].sampling, QUALITIES["draft"].sampling
    yield Rung("+ no cross-attention to the zero text", SAME, drop_text, whole)
    yield Rung("+ attention by cuDNN", ROUNDED, lambda _: held.enter_context(fast_attention(bench.device)), whole)
    yield Rung("+ compiled blocks", ROUNDED, compile_blocks, whole)
    yield Rung("+ products in 8 bits", ROUNDED, multiply_in_8_bits, whole)
    yield Rung(
        "+ guidance on middle noise levels", OTHER, None, replace(whole, guidance=replace(balanced.guidance, refresh=1))
    )
    yield Rung("+ its difference kept for a step", OTHER, None, replace(whole, guidance=balanced.guidance))
    yield Rung(f"+ {balanced.steps} steps of order {balanced.order} (quality balanced)", OTHER, None, balanced)
    yield Rung("quality draft", OTHER, None, draft)


def ladder(report: Report, bench: Bench, repeats: int) -> None:
    """The published sampler, then one change after another; the step itself is timed once, passes for every network."""
    released(bench)
    teacher = random_network(bench.slots["teacher"], bench)
    low, high = bench.teacher.sigma_min, bench.teacher.sigma_max
    inputs = random_inputs(bench, bench.device, words=bench.teacher.text_tokens)

    def as_published() -> dict[str, Any]:
        line = pass_line(teacher, bench, repeats, words=bench.teacher.text_tokens)
        step = seconds(lambda: imagine_published(inputs, teacher, PublishedSampling(1)), bench)
        passes = PublishedSampling().passes(low, high)
        clip = {"passes": passes, "clip_seconds": passes * line["pass_seconds"], "faster": 1.0}
        return {"changes_the_result": SAME, "guided_step_seconds": step} | line | clip

    base = report.attempt("ladder", "as published", as_published)
    with ExitStack() as held:
        last = base
        for rung in rungs(bench, held):
            line = report.attempt(
                "ladder", rung.name, lambda r=rung, p=last: climbed(r, p, base, teacher, bench, repeats)
            )
            last = line or last


def climbed(
    rung: Rung,
    last: dict[str, Any] | None,
    base: dict[str, Any] | None,
    teacher: PublishedTeacher,
    bench: Bench,
    repeats: int,
) -> dict[str, Any]:
    """One rung: its passes timed where it changes the network, else those of the rung before counted anew."""
    if rung.prepare is compile_blocks and not bench.cuda:
        raise RuntimeError("needs a GPU")
    if rung.prepare is not None:
        rung.prepare(teacher)
        released(bench)
        known = pass_line(teacher, bench, repeats)
    elif last is not None:
        known = {"pass_seconds": last["pass_seconds"]}
    else:
        raise RuntimeError("nothing was timed before")
    passes = rung.sampling.passes(bench.teacher.sigma_min, bench.teacher.sigma_max)
    clip = passes * known["pass_seconds"]
    faster = {"faster": base["clip_seconds"] / clip} if base else {}
    return {"changes_the_result": rung.changes, "passes": passes} | known | {"clip_seconds": clip} | faster


def alone(report: Report, bench: Bench, repeats: int) -> None:
    """Settings one at a time, against the eager network without the cross-attention to the zero text."""

    def fresh(prepare: Callable[[PublishedTeacher], None]) -> PublishedTeacher:
        released(bench)
        teacher: PublishedTeacher = random_network(bench.slots["teacher"], bench)
        drop_text(teacher)
        prepare(teacher)
        released(bench)
        return teacher

    report.attempt("alone", "first-block cache, a skipped pass", lambda: skipped_pass(fresh, bench))
    changes: tuple[tuple[str, str, Callable[[PublishedTeacher], None], int], ...] = (
        ("2 trajectories at once", SAME, lambda teacher: None, 2),
        ("weights stored in 8 bits", ROUNDED, lambda teacher: store_in_8_bits(teacher, bench.dtype), 1),
        ("products in 8 bits", ROUNDED, multiply_in_8_bits, 1),
        ("blocks in parts", SAME, lambda teacher: make_lean(teacher.backbone), 1),
    )
    for name, kind, prepare, together in changes:
        report.attempt(
            "alone",
            name,
            lambda p=prepare, n=together, k=kind: (
                {"changes_the_result": k} | pass_line(fresh(p), bench, repeats, together=n)
            ),
        )


def skipped_pass(
    fresh: Callable[[Callable[[PublishedTeacher], None]], PublishedTeacher], bench: Bench
) -> dict[str, Any]:
    """Price of a pass in which the first-block cache skips the other blocks."""
    teacher = fresh(lambda teacher: reuse_blocks(teacher, 0.1))
    run = one_pass(teacher, random_inputs(bench, bench.device), bench)
    with side(teacher, "wanted"):
        full = seconds(run, bench)
        skipped = min(seconds(run, bench) for _ in range(3))
    return {"changes_the_result": OTHER, "first_seconds": full, "pass_seconds": skipped} | peaks(bench)


@contextmanager
def card_of(limit: float, bench: Bench) -> Iterator[None]:
    """Inside, no more of the device can be taken than a card of ``limit`` GiB leaves after its driver."""
    if not bench.cuda:
        yield
        return
    total = torch.cuda.get_device_properties(bench.device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (limit * GIB - DEVICE_RESERVE) / total), bench.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, bench.device)


def limited(report: Report, bench: Bench, limits: list[float], repeats: int) -> None:
    """The teacher as the memory plan holds it on made-up smaller cards, against all of it on the device."""
    resident = next(
        (one["pass_seconds"] for one in report.values.get("ladder", []) if "zero text" in one["name"]), None
    )
    for limit in limits:
        line = report.attempt(
            "limits", f"{limit:g} GiB", lambda one=limit, full=resident: on_card(one, bench, full, repeats)
        )
        if resident is None and line is not None and line["choice"]["teacher"] == "resident":
            resident = line["pass_seconds"]


def on_card(limit: float, bench: Bench, resident: float | None, repeats: int) -> dict[str, Any]:
    reserve = DEVICE_RESERVE if bench.cuda else 0
    plan = plan_memory(bench.workload(), int(limit * GIB) - reserve, 1 << 50)
    planned = {phase.name: round(phase.device / GIB, 2) for phase in plan.phases}
    released(bench)
    teacher = random_network(bench.slots["teacher"], bench)
    drop_text(teacher)
    start = time.perf_counter()
    if plan.choice.teacher == "streamed":
        teacher = teacher.cpu()
    if plan.choice.lean:
        make_lean(teacher.backbone)
    if plan.choice.teacher == "streamed":
        stream_blocks(teacher, bench.device)
    released(bench)
    wait(bench)
    ready = time.perf_counter() - start
    with card_of(limit, bench):
        line = pass_line(teacher, bench, repeats)
    ratio = {"times_resident": line["pass_seconds"] / resident} if resident else {}
    return {"choice": asdict(plan.choice), "planned": planned, "prepared_seconds": ready} | line | ratio
