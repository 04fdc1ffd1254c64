"""Examples per second of a training task on one or several processes, measured by running the task itself.

    python benchmarks/train.py --task decoder --seconds 60 --json
    python benchmarks/train.py --task decoder --processes 1 2 --seconds 60 --eager --json

With several processes each takes a GPU of its own where there are GPUs (the CPU otherwise, over gloo). The first
``--warm-up`` seconds of training do not count: pools fill, kernels tune, compilers run. The networks and the recipe are
those of ``lyra train``; nothing is kept. One process alone on a GPU replays recorded kernels, several launch theirs one
by one: ``--eager`` makes the first do the same, which compares like with like.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from lyra.training import TrainOptions, train


def measure(folder: Path, warm_up: float) -> dict[str, float]:
    """Speed between the first logged step after the warm-up and the last one."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    counted = [line for line in lines if line["seconds"] >= warm_up]
    if len(counted) < 2:
        raise SystemExit(f"only {len(lines)} steps were taken, too few after the warm-up; give more --seconds")
    first, last = counted[0], counted[-1]
    steps = last["step"] - first["step"]
    rate = steps / (last["seconds"] - first["seconds"])
    return {"steps": steps, "steps_per_second": rate, "samples_per_second": rate * last["samples"]}


def run(arguments: argparse.Namespace, words: list[str], processes: int) -> dict[str, object]:
    """Start this program once more, as the processes that train."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [sys.executable, *(launcher if processes > 1 else []), __file__, "--inside", folder, *words]
        environment = dict(os.environ)
        if processes > 1:
            environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
        subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
        result = measure(Path(folder), arguments.warm_up)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() and arguments.device != "cpu" else "cpu"
    choice = {name: getattr(arguments, name) for name in ("task", "recipe", "compile", "eager")}
    return {**choice, "processes": processes, "device": device, **result}


def inside(arguments: argparse.Namespace) -> None:
    """What each process does: train without scores."""
    options = TrainOptions(
        arguments.task,
        Path(arguments.inside),
        seconds=arguments.warm_up + arguments.seconds,
        recipe=arguments.recipe,
        device=arguments.device,
        batch=arguments.batch,
        pool=arguments.pool,
        height=arguments.height,
        width=arguments.width,
        workers=arguments.workers,
        compile=arguments.compile,
        eager=arguments.eager,
        score=False,
        log_every=arguments.log_every,
        image_every=1_000_000,
        save_every=1_000_000,
    )
    train(options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=["tokenizer", "depth", "teacher", "decoder"], default="decoder")
    parser.add_argument("--recipe", default="nano")
    parser.add_argument("--processes", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=10.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--pool", type=int)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=448)
    parser.add_argument("--workers", type=int, default=0, help="per process")
    parser.add_argument("--log-every", type=int, default=5, help="steps between looks at the clock; each look waits")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--eager", action="store_true", help="launch kernels one by one, as several processes do")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    words = sys.argv[1:]
    arguments = parser.parse_args(words)
    if arguments.inside:
        inside(arguments)
        return
    results = [run(arguments, words, processes) for processes in arguments.processes]
    for result in results:
        result["times_one"] = result["samples_per_second"] / results[0]["samples_per_second"]  # type: ignore[operator]
        if not arguments.json:
            print(
                f"{result['task']} on {result['processes']} x {result['device']}: "
                f"{result['samples_per_second']:.2f} samples/s, {result['steps_per_second']:.2f} steps/s, "
                f"{result['times_one']:.2f} times the first row"
            )
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
