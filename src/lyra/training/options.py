"""What one training run is asked to do."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lyra.structures import InputError

TaskName = Literal["tokenizer", "depth", "teacher", "frames", "decoder", "text"]


@dataclass(frozen=True)
class TrainOptions:
    """One run of one task.

    Attributes:
        task: which network.
        out: folder of the run: checkpoints, logs, pictures, and at the end the packed model.
        seconds: the run is over after so many seconds of training, resumed time included; ``None`` for no limit.
        steps: the run is over after so many steps; ``None`` for no limit. One of the two limits is needed.
        stop_after: this command ends after so many seconds of training, the run goes on with ``resume``.
        recipe: name of a recipe of the task (``lyra.training.recipes``).
        from_stage: begin the recipe at this stage; the limits then cover the stages that are left.
        store: folder of stored scenes that the decoder learns from instead of scenes imagined on the way.
        rate: learning rate instead of the recipe's.
        accumulate: micro-batches per step and process.
        checkpoint_activations: compute activations again in the backward pass instead of keeping them.
        shard: split the network over the processes (FSDP2) instead of copying it.
        seed: of everything random.
        textures: folder of a texture pack; ``None`` looks in the usual places, then falls back to procedural ones.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch: examples per micro-batch and process, ``None`` for the recipe's number.
        pool: examples kept ready on the device, ``None`` for the recipe's number.
        height, width: size of the pictures, multiples of 32.
        workers: processes that make worlds; 0 makes them in the training process.
        resume: go on from the newest checkpoint in ``out``.
        init: start from these weights: a model name such as ``teacher/nano``, or a folder.
        models: folder with the embedded layout in which the other networks are looked up first.
        compile: compile the network (pays on a GPU after about a minute).
        eager: launch every kernel of a step from Python, where a recorded one would be replayed
            (teacher, frames and the decoder's trunk).
        stills: share of the teacher's examples with an empty cache and an unknown first frame, which is how it learns
            to make a first picture from text; 0 leaves them out.
        score: judge the network on unseen data at the end and draw a last sheet.
        log_every, image_every, save_every: steps between log lines, picture sheets and checkpoints.
    """

    task: TaskName
    out: Path
    seconds: float | None = None
    steps: int | None = None
    stop_after: float | None = None
    recipe: str = "nano"
    from_stage: str | None = None
    store: Path | None = None
    rate: float | None = None
    accumulate: int = 1
    checkpoint_activations: bool = False
    shard: bool = False
    seed: int = 0
    textures: Path | None = None
    device: str = "auto"
    batch: int | None = None
    pool: int | None = None
    height: int = 256
    width: int = 448
    workers: int = 0
    resume: bool = False
    init: str | None = None
    models: Path | None = None
    compile: bool = False
    eager: bool = False
    stills: float = 0.1
    score: bool = True
    log_every: int = 50
    image_every: int = 1000
    save_every: int = 1000

    def __post_init__(self) -> None:
        if self.seconds is None and self.steps is None:
            raise InputError("training needs a limit: give --seconds or --steps")
        for name in ("seconds", "steps", "stop_after", "rate", "accumulate", "batch", "pool"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                flag = name.replace("_", "-")
                raise InputError(f"{name} {value:g} is not positive; give --{flag} a number above 0 or leave it out")
        if not 0 <= self.stills < 1:
            raise InputError(f"stills {self.stills:g} is outside 0…1; give the share of examples, such as 0.1")
        if self.workers < 0:
            raise InputError(f"workers {self.workers} is negative; 0 makes the worlds in the training process")
        if min(self.height, self.width) < 32 or self.height % 32 or self.width % 32:
            raise InputError(f"training size {self.height}x{self.width} must be multiples of 32, such as 256x448")

    def as_record(self) -> dict[str, Any]:
        """The resolved options as plain JSON values; folders are left out, they mean nothing elsewhere."""
        return {k: None if isinstance(v, Path) else v for k, v in asdict(self).items()}
