"""``lyra train``: train one of the networks, show a recipe, or picture what a decoder has learned."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

from tyro.conf import Positional, arg

from lyra.cli.checks import require_device

if TYPE_CHECKING:
    from lyra.training import TrainOptions


@dataclass(frozen=True)
class Train:
    """Train one of the networks on procedural worlds (the decoder on what the teacher imagines).

    lyra train tokenizer --out runs/tokenizer --seconds 600
    lyra train decoder --out runs/decoder --seconds 1500 --stop-after 500, then the same with --resume
    lyra train decoder --recipe progressive --show
    lyra train decoder --visualize runs/decoder --out pictures
    lyra train teacher --recipe consistency --init teacher/nano --out runs/one-step --seconds 600
    torchrun --nproc-per-node 2 -m lyra train decoder --out runs/decoder --steps 2000
    """

    task: Annotated[
        Positional[Literal["tokenizer", "depth", "teacher", "frames", "decoder", "text"]], arg(metavar="TASK")
    ]
    """Which network: tokenizer, depth, teacher, frames (pixels out of latents and cache), decoder or text."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of the run: checkpoints, logs, pictures, and at the end the packed network. Needed except for --show."""
    recipe: Annotated[str, arg(metavar="NAME")] = "nano"
    """Set of numbers to train by: nano; for the decoder also progressive, official and dynamic; for the tokenizer also
    decode, 8x8x8-32 and 4x8x8-32; for the teacher also large, and consistency and progressive, which distil the one
    given with --init to few steps."""
    show: bool = False
    """Print the recipe and do nothing."""
    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint="")] = None
    """Length of the run in seconds of training, over all its commands. One of --seconds and --steps is needed."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Length of the run in steps."""
    stop_after: Annotated[float | None, arg(metavar="S", help_behavior_hint="")] = None
    """End this command after so many seconds of training; the run goes on with --resume."""
    from_stage: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Begin the recipe at this stage (decoder)."""
    store: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Learn from stored scenes instead of imagining them on the way (decoder)."""
    init: Annotated[str | None, arg(metavar="MODEL", help_behavior_hint="")] = None
    """Start from these weights: a name such as teacher/nano, a model folder, or the folder or checkpoint of a run."""
    resume: bool = False
    """Go on from the newest checkpoint in the folder."""
    seed: int = 0
    """Seed of everything random."""
    textures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Texture pack; by default looked for in the usual places, else procedural textures."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    rate: Annotated[float | None, arg(metavar="R", help_behavior_hint="")] = None
    """Learning rate instead of the recipe's."""
    batch: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Examples per micro-batch and process; by default the recipe's number."""
    accumulate: Annotated[int, arg(metavar="N")] = 1
    """Micro-batches per step."""
    pool: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Examples kept ready on the device; by default the recipe's number. Fewer start sooner and need less memory."""
    workers: int = 0
    """Processes that make worlds; with 0 the training process makes them itself."""
    height: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Height of the pictures, a multiple of 32; by default the recipe's."""
    width: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Width of the pictures, a multiple of 32; by default the recipe's."""
    models: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder in which the other networks are looked up before the ones that ship inside."""
    encoder: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Safetensors file that the depth network's encoder starts from (task depth only)."""
    stills: Annotated[float, arg(metavar="SHARE")] = 0.1
    """Share of examples without any cache: they teach the teacher to draw a first picture (task teacher only)."""
    compile: bool = False
    """Compile the network; pays on a GPU after some minutes."""
    eager: bool = False
    """Launch the kernels one by one where a GPU would replay recorded ones (teacher, frames, decoder)."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass: less memory, more time (teacher and decoder)."""
    shard: bool = False
    """Split the network over the processes instead of copying it (teacher)."""
    visualize: Annotated[str | None, arg(metavar="MODEL", help_behavior_hint="")] = None
    """Do not train: write renders and a .ply of a fixed scene for this decoder, run or checkpoint (as in --init)."""

    def run(self) -> int:
        """Check, then train, show or visualise."""
        require_device(self.device)
        if find_spec("accelerate") is None:
            _refuse("training needs the package accelerate; pip install 'lyra-scenes[train]'")
        if self.show:
            from lyra.training.recipes import describe, find_recipe

            print(describe(find_recipe(self.task, self.recipe, self.from_stage)))
            return 0
        if self.out is None:
            _refuse("no folder to write to; give one with --out")
        if self.out.exists() and not self.out.is_dir():
            _refuse(f"output {self.out} is a file; give a folder with --out")
        if self.visualize is not None:
            return self._visualize(self.out, self.visualize)
        from lyra.training.recipes import DecoderRecipe, find_recipe

        recipe = find_recipe(self.task, self.recipe, self.from_stage)
        height, width = recipe.size if isinstance(recipe, DecoderRecipe) else (256, 448)
        options = self._options(self.out, self.height or height, self.width or width)
        if self.encoder is not None and self.task != "depth":
            _refuse(f"--encoder belongs to the task depth, not to {self.task}; leave it out")
        if self.encoder is not None and not self.encoder.is_file():
            _refuse(f"encoder {self.encoder} is not a file; write it with scripts/convert_efficientnet.py")
        from lyra.training import train

        packed = train(options, self.encoder)
        if packed.is_file():  # of several processes one writes and tells
            print(f"network    {packed}")
        return 0

    def _options(self, out: Path, height: int, width: int) -> "TrainOptions":
        from lyra.training import TrainOptions

        return TrainOptions(
            task=self.task,
            out=out,
            seconds=self.seconds,
            steps=self.steps,
            stop_after=self.stop_after,
            recipe=self.recipe,
            from_stage=self.from_stage,
            store=self.store,
            rate=self.rate,
            accumulate=self.accumulate,
            checkpoint_activations=self.checkpoint_activations,
            shard=self.shard,
            seed=self.seed,
            textures=self.textures,
            device=self.device,
            batch=self.batch,
            pool=self.pool,
            workers=self.workers,
            height=height,
            width=width,
            init=self.init,
            models=self.models,
            stills=self.stills,
            compile=self.compile,
            eager=self.eager,
            resume=self.resume,
        )

    def _visualize(self, out: Path, model: str) -> int:
        if self.task != "decoder":
            _refuse(f"--visualize shows what a decoder has learned, not a {self.task}; name the task decoder")
        from lyra.training.visualize import visualize

        for folder in visualize(
            model, out, self.height or 256, self.width or 448, self.textures, self.models, self.device
        ):
            print(f"pictures   {folder}")
        return 0

    def interrupted(self) -> str:
        """Training keeps what it has saved."""
        return f"checkpoints saved so far are in {self.out}, go on with --resume"


def _refuse(reason: str) -> NoReturn:
    from lyra.structures import InputError

    raise InputError(reason)
