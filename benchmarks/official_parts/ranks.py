"""Several GPUs: trajectories spread over processes, then one clip shared by all of them."""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor

from lyra.diffusion import Guidance
from lyra.models.teacher import PublishedTeacher
from lyra.models.teacher.null_text import drop_text
from lyra.models.teacher.parallel import share_clip
from lyra.published import Ranks
from lyra.stages import PublishedSampling, imagine_published
from official_parts.bench import Bench, Report, random_inputs, random_network, seconds

ONE_PASS = PublishedSampling(1, Guidance(0.0))
"""A step without guidance: the gain of several GPUs does not depend on the number of passes."""


def together(report: Report, bench: Bench, ranks: Ranks) -> None:
    """All trajectories on one GPU, then spread; one pass on one GPU, then shared. Equal results are checked.

    Run by every process; only the report of the first is of use.
    """
    torch.manual_seed(0)
    teacher: PublishedTeacher = random_network(bench.slots["teacher"], bench)
    drop_text(teacher)
    inputs = random_inputs(bench, bench.device)

    def clip(number: int) -> Tensor:
        source = None if inputs.source is None else inputs.source + number  # so that clips differ
        return imagine_published(replace(inputs, source=source), teacher, ONE_PASS, seed=number)

    def alone() -> list[Tensor]:
        return [clip(number) for number in range(bench.views)] if ranks.leads else []

    def spread() -> Tensor:
        return ranks.together({n: clip(n) for n in ranks.mine(bench.views)}, bench.views)

    clip(0)
    ranks.together({n: inputs.warped[:, 0] for n in ranks.mine(bench.views)}, bench.views)  # joins the processes
    kept: dict[str, list[Tensor]] = {}
    single = timed(lambda: kept.update(one=alone()), bench)
    joint = timed(lambda: kept.update(all=list(spread())), bench)
    if ranks.leads:
        same = all(torch.equal(a, b) for a, b in zip(kept["one"], kept["all"], strict=True))
        report.add(
            "several_gpus",
            {
                "name": f"{bench.views} trajectories",
                "one_gpu_seconds": single,
                "all_gpus_seconds": joint,
                "faster": single / joint,
                "equal_bits": same,
            },
        )
    whole = clip(0)
    one = timed(lambda: clip(0), bench)
    share_clip(teacher, ranks.world, bench.device)
    shared = clip(0)
    both = timed(lambda: clip(0), bench)
    error = float((shared.float() - whole.float()).norm() / whole.float().norm())
    if ranks.leads:
        report.add(
            "several_gpus",
            {
                "name": "one trajectory shared",
                "one_gpu_seconds": one,
                "all_gpus_seconds": both,
                "faster": one / both,
                "relative_difference": error,
            },
        )


def timed(call: Callable[[], object], bench: Bench) -> float:
    """Seconds until the last process is done."""

    def all_of_them() -> None:
        call()
        dist.barrier()

    dist.barrier()
    return seconds(all_of_them, bench)
