"""What all parts share: sizes, random networks, clocks, memory counters, and a report that is safe at every moment."""

import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lyra.hub.memory_plan import GIB, Workload
from lyra.hub.official import SLOTS, Slot, toy_slots
from lyra.models.teacher import PublishedInputs, TeacherConfig
from lyra.preset import published, toy


@dataclass(frozen=True)
class Bench:
    """Where and at which size is measured."""

    device: torch.device
    dtype: torch.dtype
    slots: dict[str, Slot]
    frames: int
    height: int
    width: int
    views: int

    @staticmethod
    def of(small: bool, device: torch.device) -> "Bench":
        preset = toy() if small else published()
        slots = {slot.role: slot for slot in (toy_slots() if small else SLOTS)}
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        return Bench(device, dtype, slots, preset.frames, preset.height, preset.width, len(preset.trajectories))

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def latent(self) -> tuple[int, int, int]:
        return 1 + (self.frames - 1) // 8, self.height // 8, self.width // 8

    @property
    def tokens(self) -> int:
        return self.workload().tokens

    @property
    def teacher(self) -> TeacherConfig:
        config: TeacherConfig = self.slots["teacher"].config
        return config

    def workload(self, text: bool = False) -> Workload:
        tokenizer, decoder = self.slots["tokenizer"].config, self.slots["decoder-static"].config
        size = torch.empty(0, dtype=self.dtype).element_size()
        return Workload(self.teacher, tokenizer, decoder, self.frames, self.height, self.width, self.views, size, text)


def random_network(slot: Slot, bench: Bench) -> Any:
    """A network of a slot on the device; the values are small enough for nothing to overflow."""
    kind, usual = type(slot.network()), torch.get_default_dtype()
    torch.set_default_dtype(bench.dtype)  # never a copy in float32, which would be 29 GB of the teacher
    try:
        with torch.device(bench.device):
            network = kind(slot.config).to(bench.device, bench.dtype)  # constants of a library stay where they are
    finally:
        torch.set_default_dtype(usual)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)
    return network.requires_grad_(False).eval()


def random_inputs(bench: Bench, device: torch.device | str, together: int = 1, words: int = 1) -> PublishedInputs:
    """Conditioning of ``together`` clips; the text is ``words`` zero tokens, the published zero text is 512 of them."""
    config, latent = bench.teacher, bench.latent
    shapes: list[tuple[int, ...]] = [
        (together, config.latent_channels, 1, *latent[1:]),
        (together, config.buffers, config.latent_channels, *latent),
        (together, config.buffers, config.mask_channels, *latent),
    ]
    text = torch.zeros(together, words, config.text_dim, device=device, dtype=bench.dtype)
    return PublishedInputs(*(torch.randn(shape, device=device, dtype=bench.dtype) for shape in shapes), text)


def seconds(call: Callable[[], Any], bench: Bench) -> float:
    """Of one call, until the device is done."""
    wait(bench)
    start = time.perf_counter()
    call()
    wait(bench)
    return time.perf_counter() - start


def wait(bench: Bench) -> None:
    if bench.cuda:
        torch.cuda.synchronize(bench.device)


def released(bench: Bench) -> None:
    """Give memory back and start the counters anew."""
    gc.collect()
    if bench.cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(bench.device)


def peaks(bench: Bench) -> dict[str, float | None]:
    """GiB; None where the device does not count."""
    if not bench.cuda:
        return {"allocated": None, "reserved": None}
    counts = (torch.cuda.max_memory_allocated(bench.device), torch.cuda.max_memory_reserved(bench.device))
    return dict(zip(("allocated", "reserved"), (round(count / GIB, 2) for count in counts), strict=True))


@dataclass
class Report:
    """Numbers that are on the disk as soon as they are known.

    Attributes:
        path: JSON file, None for none.
        budget: seconds after which nothing new is begun.
    """

    path: Path | None = None
    budget: float = float("inf")
    values: dict[str, Any] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter)

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.begun

    def put(self, **values: Any) -> None:
        self.values |= values
        print("  " + words(values), flush=True)
        self._write()

    def add(self, part: str, line: dict[str, Any]) -> None:
        self.values.setdefault(part, []).append(line)
        print(f"{self.elapsed:5.0f} s  {part}: {words(line)}", flush=True)
        self._write()

    def attempt(self, part: str, name: str, call: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """Add the line that ``call`` gives; a line that fails, or comes too late, says so and harms no other."""
        line: dict[str, Any] = {"name": name}
        if self.elapsed > self.budget:
            self.add(part, line | {"not_measured": "no time left"})
            return None
        try:
            found = line | call()
        except Exception as error:  # a benchmark on a rented machine gets no second chance
            short = str(error).splitlines()[0][:300] if str(error) else ""
            self.add(part, line | {"not_measured": f"{type(error).__name__}: {short}"})
            return None
        self.add(part, found)
        return found

    def _write(self) -> None:
        if self.path is not None:
            draft = self.path.with_name(f"{self.path.name}.part")
            draft.write_text(json.dumps(self.values, indent=1) + "\n", encoding="utf-8")
            draft.replace(self.path)


def words(values: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
