"""The door of training: find the checkpoint, build the task for its step, run the loop."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lyra.structures import InputError
from lyra.training.checkpoint import CheckpointFolder, load_checkpoint
from lyra.training.loop import run_loop
from lyra.training.networks import seed_of_start
from lyra.training.options import TrainOptions
from lyra.training.processes import rank_and_size, start_accelerator, training_device
from lyra.training.recipes import CONSISTENCY, DYNAMIC, PROGRESSIVE, find_recipe
from lyra.training.sharding import ShardedCheckpoints
from lyra.training.task import Task


def make_task(options: TrainOptions, device: torch.device, encoder: Path | None = None, step: int = 0) -> Task:
    """The task named in ``options``, ready to train on ``device`` from ``step`` on."""
    torch.manual_seed(options.seed)
    if options.task == "tokenizer":
        from lyra.training.tasks.tokenizer import TokenizerTask

        return TokenizerTask(options, device, step)
    if options.task == "depth":
        from lyra.training.tasks.depth import DepthTask

        return DepthTask(options, device, encoder, step)
    if options.task == "teacher" and options.recipe in (CONSISTENCY, PROGRESSIVE):
        from lyra.training.tasks.few_step_teacher import ConsistencyTeacherTask, ProgressiveTeacherTask

        kind = ConsistencyTeacherTask if options.recipe == CONSISTENCY else ProgressiveTeacherTask
        return kind(options, device, step)
    if options.task == "teacher":
        from lyra.training.tasks.teacher import TeacherTask

        return TeacherTask(options, device, step)
    if options.task == "frames":
        from lyra.training.tasks.frames import FramesTask

        return FramesTask(options, device, step)
    if options.task == "text":
        from lyra.training.tasks.text import TextTask

        return TextTask(options, device)
    if options.recipe == DYNAMIC:
        from lyra.training.tasks.moving_decoder import MovingDecoderTask

        return MovingDecoderTask(options, device)
    from lyra.training.tasks.decoder import DecoderTask

    return DecoderTask(options, device)


def train(options: TrainOptions, encoder: Path | None = None, notify: Callable[[str], None] = print) -> Path:
    """Train one network and write it, packed as the embedded ones are, under ``options.out``.

    Under ``torchrun`` or ``accelerate launch`` every process calls this with the same options; process 0 writes.

    Args:
        options: what to train and for how long.
        encoder: safetensors file that the depth network's encoder starts from.
        notify: receives each log line.

    Returns:
        The packed weight file.

    Raises:
        InputError: unusable options, device or checkpoint.
    """
    _require_sense(options)
    device = training_device(options.device)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    state = _find_state(options, notify)
    if options.init and not options.resume and seed_of_start(options.init, options.task) == options.seed:
        notify(
            f"note: {options.init} was trained with --seed {options.seed}; with the same one this run begins with the "
            "same worlds, with another one it sees new ones"
        )
    start_accelerator(device)  # the processes find each other before the long work, so that a missing one shows early
    task = make_task(options, device, encoder, int(state["step"]) if state else 0)
    return run_loop(task, options, notify, state)


def _require_sense(options: TrainOptions) -> None:
    """Refuse choices that the task does not have, before anything is loaded.

    Raises:
        InputError: the task, and the flag to leave out.
    """
    find_recipe(options.task, options.recipe, options.from_stage)
    if options.store is not None and options.task != "decoder":
        raise InputError(f"--store holds scenes for the decoder, not for the {options.task}; leave it out")
    if options.checkpoint_activations and options.task not in ("decoder", "teacher"):
        raise InputError(f"--checkpoint-activations is not for the {options.task}, which is small; leave it out")
    if options.shard and options.task != "teacher":
        raise InputError(f"--shard splits the teacher; the {options.task} fits on one device, leave it out")
    if options.shard and rank_and_size()[1] == 1:
        raise InputError("--shard needs several processes; start them with torchrun or accelerate launch")


def _find_state(options: TrainOptions, notify: Callable[[str], None]) -> dict[str, Any] | None:
    """The checkpoint to go on from, read before anything is built; of a sharded one only the plain values."""
    checkpoints = ShardedCheckpoints.folder_of(options.out) if options.shard else CheckpointFolder(options.out)
    if not options.resume:
        checkpoints.require_none()
        return None
    if options.shard:
        return ShardedCheckpoints.peek(options.out)
    return load_checkpoint(options.out, notify, active=rank_and_size()[0] == 0)
