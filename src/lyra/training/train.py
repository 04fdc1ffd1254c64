"""The door of training: build the task, run the loop."""

from collections.abc import Callable
from pathlib import Path

import torch

from lyra.training.loop import run_loop
from lyra.training.options import TrainOptions
from lyra.training.task import Task


def make_task(options: TrainOptions, device: torch.device, encoder: Path | None = None) -> Task:
    """The task named in ``options``, ready to train on ``device``."""
    torch.manual_seed(options.seed)
    if options.task == "tokenizer":
        from lyra.training.tasks.tokenizer import TokenizerTask

        return TokenizerTask(options, device)
    if options.task == "depth":
        from lyra.training.tasks.depth import DepthTask

        return DepthTask(options, device, encoder)
    if options.task == "teacher":
        from lyra.training.tasks.teacher import TeacherTask

        return TeacherTask(options, device)
    if options.task == "text":
        from lyra.training.tasks.text import TextTask

        return TextTask(options, device)
    from lyra.training.tasks.decoder import DecoderTask

    return DecoderTask(options, device)


def train(options: TrainOptions, encoder: Path | None = None, notify: Callable[[str], None] = print) -> Path:
    """Train one network and write it, packed as the embedded ones are, under ``options.out``.

    Args:
        options: what to train and for how long.
        encoder: safetensors file that the depth network's encoder starts from.
        notify: receives each log line.

    Returns:
        The packed weight file.

    Raises:
        InputError: unusable options, device or checkpoint.
    """
    device = (
        torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if options.device == "auto"
        else torch.device(options.device)
    )
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    return run_loop(make_task(options, device, encoder), options, notify)
