"""What `test_distributed.py` runs on two processes: a line, a tiny depth network, a tiny sharded teacher."""

import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))  # the tests are no package
from conftest import DEPTH, TEACHER  # noqa: I001 (the path above comes first)

from lyra.hub import save_model
from lyra.models.teacher import Teacher, TeacherInputs
from lyra.training.loop import run_loop
from lyra.training.options import TrainOptions
from lyra.training.processes import rank_and_size
from lyra.training.task import Task
from lyra.training.tasks import depth
from lyra.training.train import train
from lyra.worlds import TextureSet


class Line(Task):
    """Fit y = 3x - 1 on batches that follow from the seed of the micro-batch."""

    batch, learning_rate, weight_decay, ema_decay = 16, 0.05, 0.0, 0.9

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Linear(1, 1)
        self.seen: list[float] = []

    def loss(self, step, progress):
        x = torch.randn(self.batch, 1)
        self.seen.append(float(x[0]))
        return (self.wrapped(x) - (3 * x - 1)).square().mean(), {}

    def pictures(self):
        return torch.zeros(1, 3, 8, 8)

    def scores(self):
        return {"slope": float(self.network.weight.detach())}

    def pack(self, folder, recipe, scores):
        path = folder / f"packed_by_{rank_and_size()[0]}.json"
        path.write_text(json.dumps(recipe))
        return path


class Denoise(Task):
    """A tiny teacher on random clips; step ``poison_at`` has a loss that is not a number."""

    batch, learning_rate, weight_decay, ema_decay = 2, 1e-2, 0.01, 0.9

    def __init__(self, poison_at: int = -1) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = Teacher(TEACHER)
        self.poison_at = poison_at

    def loss(self, step, progress):
        shape = (self.batch, TEACHER.latent_channels, 2, 4, 4)
        clean, warped = torch.randn(shape), torch.randn(shape)
        inputs = TeacherInputs(clean[:, :, :1], warped[:, None], torch.ones(self.batch, 1, 8, 2, 4, 4))
        sigma = torch.full((self.batch,), 2.0)
        estimate = self.wrapped(clean + 2 * torch.randn(shape), sigma, inputs)
        loss = (estimate - clean).square().mean()
        return loss * float("nan") if step == self.poison_at else loss, {}

    def pictures(self):
        with torch.no_grad():
            return self.network(*self._still())[:, :3, 0].clamp(0, 1)

    def _still(self):
        clean = torch.zeros(1, TEACHER.latent_channels, 2, 4, 4)
        return clean, torch.ones(1), TeacherInputs(clean[:, :, :1], clean[:, None], torch.ones(1, 1, 8, 2, 4, 4))

    def scores(self):
        with torch.no_grad():
            return {"mean": float(self.network(*self._still()).mean())}

    def pack(self, folder, recipe, scores):
        return save_model(
            self.network, "teacher/nano", self.network.config, "fp32", recipe=recipe, scores=scores, weights_dir=folder
        )


def depth_options(out: Path, textures: Path, **choices: object) -> TrainOptions:
    """Two steps of the depth task; its network and textures are made small."""
    few: TextureSet = pickle.loads(textures.read_bytes())
    store = few.to("cpu")
    TextureSet.to = lambda self, device: store
    depth.load_textures = lambda path, split: few
    depth.DepthConfig = lambda: DEPTH
    sizes = {"batch": 2, "height": 32, "width": 64, "device": "cpu", "log_every": 1, "score": False}
    return TrainOptions("depth", out, steps=2, **{**sizes, **choices})


def sharded_runs(folder: Path, say) -> None:
    """A run of 4 steps; the same in two parts with a torn checkpoint between them; the same without shards."""
    options = TrainOptions("teacher", folder / "whole", steps=4, device="cpu", log_every=1, save_every=1, shard=True)
    run_loop(Denoise(), options, say)
    parts = replace(options, out=folder / "parts")
    try:
        run_loop(Denoise(poison_at=3), parts, say)
    except ValueError as fault:
        say(str(fault))
    torch.distributed.barrier()
    if rank_and_size()[0] == 0:
        (torn,) = (parts.out / "checkpoint.sharded").glob("__1_0.distcp")
        torn.write_bytes(torn.read_bytes()[:100])
    torch.distributed.barrier()
    run_loop(Denoise(), replace(parts, resume=True), say)
    run_loop(Denoise(), replace(options, out=folder / "copied", shard=False), say)


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    rank, _ = rank_and_size()
    said: list[str] = []
    line = Line()
    run_loop(line, TrainOptions("depth", folder / "line", steps=20, device="cpu", log_every=1), said.append)
    train(depth_options(folder / "depth", folder / "textures.pickle"), notify=said.append)
    sharded_runs(folder, said.append)
    (folder / f"rank_{rank}.json").write_text(json.dumps({"seen": line.seen, "said": said}))


if __name__ == "__main__":
    main()
