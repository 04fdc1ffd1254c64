"""``lyra train``: train one of the networks."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from lyra.cli.checks import require_device


@dataclass(frozen=True)
class Train:
    """Train one of the networks on procedural worlds (the decoder on what the teacher imagines).

    lyra train tokenizer --out runs/tokenizer --seconds 600
    lyra train decoder --out runs/decoder --steps 2000 --resume
    """

    task: Annotated[Positional[Literal["tokenizer", "depth", "teacher", "decoder", "text"]], arg(metavar="TASK")]
    """Which network: tokenizer, depth, teacher, decoder or text."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder of the run: checkpoints, logs, pictures, and at the end the packed network."""
    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint="")] = None
    """Stop after this time. One of --seconds and --steps is needed."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Stop after this many steps."""
    seed: int = 0
    """Seed of everything random."""
    textures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Texture pack; by default looked for in the usual places, else procedural textures."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    batch: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Examples per step; by default the recipe's number."""
    pool: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Examples kept ready on the device; by default the recipe's number. Fewer start sooner and need less memory."""
    workers: int = 0
    """Processes that make worlds; with 0 the training process makes them itself."""
    height: int = 256
    """Height of the pictures, a multiple of 32."""
    width: int = 448
    """Width of the pictures, a multiple of 32."""
    init: Annotated[str | None, arg(metavar="MODEL", help_behavior_hint="")] = None
    """Start from these weights: a name such as teacher/nano, or a folder."""
    models: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder in which the other networks are looked up before the ones that ship inside."""
    encoder: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Safetensors file that the depth network's encoder starts from (task depth only)."""
    stills: Annotated[float, arg(metavar="SHARE")] = 0.1
    """Share of examples without any cache: they teach the teacher to draw a first picture (task teacher only)."""
    compile: bool = False
    """Compile the network; pays on a GPU after about a minute."""
    resume: bool = False
    """Go on from the newest checkpoint in the folder."""

    def run(self) -> int:
        """Check, then train."""
        require_device(self.device)
        from lyra.structures import InputError

        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"output {self.out} is a file; give a folder with --out")
        from lyra.training import TrainOptions, train

        if find_spec("accelerate") is None:
            raise InputError("training needs the package accelerate; pip install 'lyra-scenes[train]'")
        if self.encoder is not None and self.task != "depth":
            raise InputError(f"--encoder belongs to the task depth, not to {self.task}; leave it out")
        if self.encoder is not None and not self.encoder.is_file():
            raise InputError(f"encoder {self.encoder} is not a file; write it with scripts/convert_efficientnet.py")
        packed = train(
            TrainOptions(
                task=self.task,
                out=self.out,
                seconds=self.seconds,
                steps=self.steps,
                seed=self.seed,
                textures=self.textures,
                device=self.device,
                batch=self.batch,
                pool=self.pool,
                workers=self.workers,
                height=self.height,
                width=self.width,
                init=self.init,
                models=self.models,
                stills=self.stills,
                compile=self.compile,
                resume=self.resume,
            ),
            self.encoder,
        )
        print(f"network    {packed}")
        return 0

    def interrupted(self) -> str:
        """Training keeps what it has saved."""
        return f"checkpoints saved so far are in {self.out}, go on with --resume"
