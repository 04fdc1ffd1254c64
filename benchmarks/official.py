"""The published networks at full size with random weights: seconds, memory, and what each setting gives.

    python benchmarks/official.py --json official.json              one GPU with at least 40 GB, some 6 minutes
    python benchmarks/official.py --parts floor ladder --budget-seconds 120
    torchrun --nproc-per-node 2 benchmarks/official.py --json two.json       several GPUs
    python benchmarks/official.py --toy                             the smallest networks, on any computer

The baseline is the sampler as published: 35 steps of two passes, one trajectory at a time, nothing compiled. The ladder
then changes one thing after another, and says whether that changes the result. Passes are timed; seconds of a clip are
the passes it needs times the seconds of a pass. Time and memory do not depend on the values of the weights, except how
many passes the first-block cache skips: of that one only the price of a skipped pass is told. The floor is the number
of operations of a pass at the rate of a large matrix product on the same device. The JSON file is complete after every
line, and a line that fails says so and harms no other.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lyra.published import Ranks
from official_parts import ranks, scene, teacher
from official_parts.bench import Bench, Report

PARTS = ("floor", "ladder", "decoder", "warp", "limits", "tokenizer", "alone", "render")


def show(values: dict[str, Any]) -> None:
    """The ladder as a table, and the floor."""
    print(f"\n{values['device']}, {values['frames']} frames of {values['height']} x {values['width']}, random weights")
    if "floor_pass_seconds" in values:
        count, rate = values["operations_of_a_pass"], values["operations_per_second"]
        print(f"a pass takes {count:.4g} operations; a large matrix product runs at {rate:.4g} a second")
        floors = values["floor_pass_seconds"], values["floor_clip_seconds"]
        print(f"floor: {floors[0]:.4g} s a pass, {floors[1]:.4g} s a clip as published")
    print(f"\n{'setting':44s} {'changes':9s} {'passes':>6s} {'s/pass':>9s} {'s/clip':>9s} {'faster':>7s}")
    for line in values.get("ladder", []):
        if "not_measured" in line:
            print(f"{line['name']:44s} {line['not_measured']}")
            continue
        print(
            f"{line['name']:44s} {line['changes_the_result']:9s} {line['passes']:6d} {line['pass_seconds']:9.4g} "
            f"{line['clip_seconds']:9.4g} {line.get('faster', float('nan')):6.2f}x"
        )


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the numbers to a file")
    parser.add_argument("--toy", action="store_true", help="smallest networks, 17 frames of 64 x 96")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--limit", type=float, nargs="*", default=[24.0, 16.0, 12.0], help="GiB of smaller cards")
    parser.add_argument("--passes", type=int, default=2, help="passes timed for each line, after a first one")
    parser.add_argument("--budget-seconds", type=float, default=float("inf"), help="begin nothing new after that")
    arguments = parser.parse_args(words)
    name = Ranks.device("cuda") if torch.cuda.is_available() else "cpu"
    device = torch.device("cuda:0" if name == "cuda" else name)  # some counters of torch want the number
    if not arguments.toy and device.type == "cpu":
        parser.error("the published size needs a GPU; try --toy")
    report, bench = Report(arguments.json, arguments.budget_seconds), Bench.of(arguments.toy, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.manual_seed(0)
    report.put(
        device=torch.cuda.get_device_name(device) if bench.cuda else "cpu",
        torch=torch.__version__,
        frames=bench.frames,
        height=bench.height,
        width=bench.width,
    )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        joined = Ranks.from_environment(device)
        report.path = report.path if joined.leads else None
        ranks.together(report, bench, joined)
        joined.close()
        return
    passes = arguments.passes
    run: dict[str, Callable[[], None]] = {
        "floor": lambda: teacher.floor(report, bench),
        "ladder": lambda: teacher.ladder(report, bench, passes),
        "decoder": lambda: scene.decoder(report, bench),
        "limits": lambda: teacher.limited(report, bench, arguments.limit, passes),
        "warp": lambda: scene.warp(report, bench),
        "tokenizer": lambda: scene.tokenizer(report, bench),
        "alone": lambda: teacher.alone(report, bench, passes),
        "render": lambda: scene.render(report, bench, 2000 if arguments.toy else scene.KEPT),
    }
    for part in PARTS:
        if part in arguments.parts:
            run[part]()
    show(report.values)


if __name__ == "__main__":
    main()
