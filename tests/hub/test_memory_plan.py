"""The memory plan on made-up cards, for networks of the published size."""

from dataclasses import replace

import pytest
import torch

from lyra.hub.memory_plan import GIB, MemoryPlan, Workload, plan_memory
from lyra.models.decoder import GaussianDecoder, official_static
from lyra.models.teacher.config import official
from lyra.models.tokenizer import CosmosTokenizerConfig
from lyra.structures import InputError

FULL = Workload(official(), CosmosTokenizerConfig(), official_static(), 121, 704, 1280, 6)


def plan(device: float, host: float = 64, eight_bits: bool = False, work: Workload = FULL) -> MemoryPlan:
    return plan_memory(work, int(device * GIB), int(host * GIB), eight_bits)


def test_weights_are_counted_exactly() -> None:
    resident = plan(70)
    assert resident.teacher == 2 * 7_237_257_216
    imagine = next(phase for phase in resident.phases if phase.name == "imagine")
    tokens, width = 16 * 44 * 80, 4096
    assert imagine.device == 2 * 7_237_257_216 + int(1.08 * 14 * tokens * width * 2)
    with torch.device("meta"):
        decoder = 2 * sum(p.numel() for p in GaussianDecoder(official_static()).parameters())
    assert decoder == 2 * 32_753_996


@pytest.mark.parametrize(
    ("card", "teacher", "lean"),
    [(80, "resident", False), (24, "resident", False), (19, "resident", True), (16, "streamed", False),
     (8, "streamed", True), (6.5, "streamed", True)],
)  # fmt: skip
def test_the_fastest_way_that_fits_is_taken(card: float, teacher: str, lean: bool) -> None:
    found = plan(card - 0.7)
    assert (found.choice.teacher, found.choice.lean) == (teacher, lean)
    assert found.device <= (card - 0.7) * GIB and found.host <= 64 * GIB
    assert not found.choice.eight_bits, "rounding is never chosen for the caller"


def test_less_memory_never_asks_for_more() -> None:
    needs = [plan(size / 2).device for size in range(12, 160)]
    assert all(small <= large for small, large in zip(needs, needs[1:], strict=False))


def test_pieces_grow_with_the_room_there_is() -> None:
    pieces = [plan(size).choice.clip_together or 16 for size in (5.8, 7.5, 10, 16, 37)]
    assert pieces == sorted(pieces) and pieces[0] == 1 and pieces[-1] == 16
    assert plan(7).choice.tokens_together == 1 << 15 and plan(30).choice.tokens_together is None


def test_the_plan_reads_like_one() -> None:
    lines = plan(16).lines()
    assert lines[0].startswith("memory plan: ") and " of 16.0 GiB on the device, " in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["warp", "imagine", "frames", "decode", "render"]
    assert "rest streams from host memory" in lines[2] and "2,044,415 Gaussians" in lines[5]
    streamed = plan(16)
    assert streamed.host - streamed.phases[0].host == streamed.teacher
    assert plan(16).teacher_stays and not plan(24).teacher_stays and plan(70).teacher_stays


def test_too_little_memory_is_refused_with_the_number_that_would_do() -> None:
    with pytest.raises(InputError, match=r"has 3\.0 GiB to use, at least (\d\.\d) GiB are needed") as caught:
        plan(3)
    enough = float(str(caught.value).split("at least ")[1].split()[0])
    assert plan(enough + 0.06).device <= (enough + 0.06) * GIB
    with pytest.raises(InputError, match=r"host memory has 16\.0 GiB free, 16\.5 GiB are needed .*--eight-bits"):
        plan(12, 16)
    assert plan(9, 16, eight_bits=True).choice.teacher == "streamed"
    with pytest.raises(InputError, match=r"host memory has 8\.0 GiB free") as hopeless:
        plan(9, 8, eight_bits=True)
    assert "--eight-bits" not in str(hopeless.value)


def test_8_bits_halve_the_large_weights_only() -> None:
    half = plan(70, eight_bits=True).teacher / plan(70).teacher
    assert 0.5 < half < 0.56
    assert plan(16, eight_bits=True).choice.teacher == "resident"


def test_the_zero_text_spares_the_cross_attention() -> None:
    block = 2 * 4096**2 + 2 * 4096 * 1024 + 2 * 128 + 4096 * 256 + 256 * 3 * 4096
    silent = replace(FULL, text=False)
    assert plan(70).teacher - plan(70, work=silent).teacher == 2 * 28 * block
    for card, lean in ((20, False), (17, True)):
        found = plan(card - 0.7, work=silent).choice
        assert (found.teacher, found.lean) == ("resident", lean), "less memory, and still no weight streams"


def test_8_bit_products_are_taken_where_all_weights_fit_then() -> None:
    silent = replace(FULL, text=False)
    both = plan_memory(silent, int(15.3 * GIB), 64 * GIB, products=True)
    assert both.choice.products and (both.choice.teacher, both.choice.lean) == ("resident", False)
    large = 28 * (4 + 8) * 4096**2
    scales = 28 * (4 * 4096 + 4 * 4096 + 4096) * 4
    assert plan(70, work=silent).teacher - both.teacher == large - scales
    small = plan_memory(silent, 6 * GIB, 64 * GIB, products=True)
    assert small.choice.teacher == "streamed" and not small.choice.products


def test_smaller_work_needs_less() -> None:
    small = plan(70, work=replace(FULL, height=352, width=640, frames=49))
    assert all(a.device < b.device for a, b in zip(small.phases, plan(70).phases, strict=True))
