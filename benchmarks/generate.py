"""Time the main job stage by stage: ``python benchmarks/generate.py PHOTO [--runs 3] [--json FILE]``.

Each run is a fresh process, as a user starts it; the table shows the minimum over the runs and the peak memory. With
``--warm`` all runs happen in one process that has loaded its networks and made one scene before, as a service would:
from the photo's file to Gaussians in memory. Other options, such as ``--device cuda``, are those
of the command; with ``--warm`` there are ``--device``, ``--steps``, ``--detail`` and ``--exact``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def one_run(photo: Path, extra: list[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "lyra", "generate", str(photo), "-o", str(out), *extra], check=True)
        wall = time.perf_counter() - start
        record = json.loads((out / "run.json").read_text())
    seconds = {stage["name"]: stage["seconds"] for stage in record["stages"]}
    seconds["process"] = round(wall, 2)
    seconds["peak_mib"] = max(stage["peak_mib"] for stage in record["stages"])
    return seconds


def warm_runs(photo: Path, count: int, extra: list[str]) -> list[dict[str, float]]:
    from lyra.pipeline import Pipeline
    from lyra.results import GenerateOptions

    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--detail", type=int)
    parser.add_argument("--exact", action="store_true")
    options = GenerateOptions(**vars(parser.parse_args(extra)))
    pipeline = Pipeline.load(options.device)
    pipeline.run(photo, options)
    runs = []
    for _ in range(count):
        start = time.perf_counter()
        result = pipeline.run(photo, options)
        wall = time.perf_counter() - start
        runs.append({stage.name: stage.seconds for stage in result.stages} | {"photo_to_scene": round(wall, 2)})
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--warm", action="store_true", help="one process, networks loaded, the first scene not counted")
    parser.add_argument("--json", type=Path)
    arguments, extra = parser.parse_known_args()
    if arguments.warm:
        runs = warm_runs(arguments.photo, arguments.runs, extra)
    else:
        runs = [one_run(arguments.photo, extra) for _ in range(arguments.runs)]
    best = {name: min(run[name] for run in runs) for name in runs[0]}
    print(f"{'stage':12s} {'seconds (minimum of ' + str(len(runs)) + ')':>24s}")
    for name, value in best.items():
        print(f"{name:12s} {value:24.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"photo": arguments.photo.name, "best": best, "runs": runs}, indent=1))


if __name__ == "__main__":
    main()
