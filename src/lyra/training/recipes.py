"""Every number of every recipe: how fast each network learns, and the stages that the decoder goes through."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lyra.models.decoder import DecoderConfig, nano, nano_dynamic, official_static
from lyra.structures import InputError
from lyra.training.options import TaskName

Schedule = Literal["cosine", "constant"]
FrameSampling = Literal["uniform", "exponential", "late"]

DYNAMIC = "dynamic"
"""The recipe of moving scenes."""
DECODE = "decode"
"""The recipe of a tokenizer whose latents stay as they are: only the half that decodes them learns."""
CONSISTENCY, PROGRESSIVE = "consistency", "progressive"
"""The recipes that distil the teacher to few steps; the decoder has a recipe of the second name, too."""


@dataclass(frozen=True)
class Recipe:
    """How one network learns.

    Attributes:
        name: as given to ``--recipe``.
        learning_rate, weight_decay, betas: of AdamW.
        schedule: ``cosine``: 100 steps of warm-up, then down to 2 %; ``constant``: warm-up only.
        ema_decay: memory of the weight average that is shipped; 0 ships the weights themselves.
        batch: examples per micro-batch and process.
        pool: examples kept ready on the device; 0 where each is used once.
        decay_vectors: whether biases and gains decay, too.
        upright_every: of so many refreshes of the pool, and of so many steps, one is of portrait format; 0 for none.
        shape: numbers of the network's configuration that are not those of the embedded network. They hold where
            training starts from nothing; a network given with ``--init`` must have them already.
    """

    name: str
    learning_rate: float
    weight_decay: float
    ema_decay: float
    batch: int
    pool: int
    betas: tuple[float, float] = (0.9, 0.99)
    schedule: Schedule = "cosine"
    decay_vectors: bool = False
    upright_every: int = 0
    shape: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DecoderStage:
    """A part of the decoder's training.

    Attributes:
        name: of the stage.
        steps: its length; with another budget than the sum of all stages, its share counts.
        reduce: the pictures' height and width are divided by this.
        frames: T of the clips that the decoder sees.
        views: fewest and most clips per scene.
        all_views: probability of taking the most; otherwise the number is uniform.
        targets: rendered pictures, per scene or per view.
        per_view: whether the same ``targets`` frames are rendered in every view that was seen.
        source_targets: of the targets of a scene, so many are its first frame.
        sampling: which frames: ``uniform`` or ``exponential`` (probability grows as exp(3 p), p from 0 to 1 over the
            clip), both without repetition; ``late``: position u ** 0.6 for a uniform u, with repetition.
        batch: scenes per micro-batch and process.
        prune_ratio: share of the Gaussians that is dropped before rendering.
        opacity_weight: of the opacity loss.
        deferred: render without a graph and again, view by view, in the backward pass: bounds memory.
    """

    name: str
    steps: int
    reduce: int = 1
    frames: int = 17
    views: tuple[int, int] = (1, 6)
    all_views: float = 0.0
    targets: int = 9
    per_view: bool = False
    source_targets: int = 1
    sampling: FrameSampling = "late"
    batch: int = 2
    prune_ratio: float = 0.0
    opacity_weight: float = 0.01
    deferred: bool = False


@dataclass(frozen=True)
class DecoderRecipe(Recipe):
    """How the decoder learns.

    Attributes:
        network: the configuration it starts with.
        size: height and width of the pictures where a stage does not reduce them.
        stages: in order.
        perceptual, gradient, depth: weights of the losses beside the mean squared error.
        squashed_opacity: the opacity loss averages sigmoid(opacity), as published, not the opacity itself.
    """

    network: Callable[[], DecoderConfig] = nano
    size: tuple[int, int] = (256, 448)
    stages: tuple[DecoderStage, ...] = ()
    perceptual: float = 0.15
    gradient: float = 0.05
    depth: float = 0.05
    squashed_opacity: bool = False

    def at(self, progress: float) -> DecoderStage:
        """The stage at ``progress`` (0 to 1) of the run."""
        total, done = sum(stage.steps for stage in self.stages), 0
        for stage in self.stages:
            done += stage.steps
            if progress * total < done:
                return stage
        return self.stages[-1]

    def starting_at(self, name: str) -> "DecoderRecipe":
        """The recipe without the stages before ``name``.

        Raises:
            InputError: there is no such stage.
        """
        names = [stage.name for stage in self.stages]
        if name not in names:
            raise InputError(f"recipe {self.name} has no stage {name!r}; its stages are {', '.join(names)}")
        return replace(self, stages=self.stages[names.index(name) :])


def _nano_decoder() -> DecoderRecipe:
    """One stage: all sizes and views from the start; minutes on one GPU."""
    return DecoderRecipe(
        name="nano", learning_rate=6e-4, weight_decay=0.01, ema_decay=0.998, batch=2, pool=256, upright_every=3,
        stages=(DecoderStage("all", steps=2000, all_views=2 / 3),),
    )  # fmt: skip


def _progressive_decoder() -> DecoderRecipe:
    """The published order at nano size: small pictures, one view, many views, late frames, fewer Gaussians."""
    return DecoderRecipe(
        name=PROGRESSIVE, learning_rate=6e-4, weight_decay=0.01, ema_decay=0.998, batch=2, pool=256,
        stages=(
            DecoderStage("small", steps=400, reduce=2, views=(1, 1), sampling="uniform", batch=8),
            DecoderStage("large", steps=400, views=(1, 1), sampling="uniform", batch=4),
            DecoderStage("views", steps=900, all_views=1 / 2, sampling="exponential"),
            DecoderStage(
                "pruned", steps=300, all_views=1 / 2, sampling="exponential", prune_ratio=0.57, opacity_weight=0.05
            ),
        ),
    )  # fmt: skip


def _official_decoder() -> DecoderRecipe:
    """The published stages of static scenes: 83,000 steps on 8 GPUs."""
    stage = DecoderStage("", 0, targets=9, per_view=True, source_targets=0, batch=1, opacity_weight=0.0, deferred=True)
    one = replace(stage, views=(1, 1), sampling="uniform")
    six = replace(stage, frames=121, views=(1, 6), sampling="exponential")
    return DecoderRecipe(
        name="official", learning_rate=1e-4, weight_decay=0.01, ema_decay=0.0, batch=1, pool=64,
        betas=(0.9, 0.999), schedule="constant", decay_vectors=True, network=official_static, size=(704, 1280),
        perceptual=0.5, gradient=0.0, depth=0.05, squashed_opacity=True,
        stages=(
            replace(one, name="17-frames-176", steps=10_000, reduce=4, frames=17, targets=17, batch=4),
            replace(one, name="49-frames-176", steps=2_500, reduce=4, frames=49, targets=49, batch=4),
            replace(one, name="49-frames-352", steps=2_500, reduce=2, frames=49, targets=49, batch=2),
            replace(one, name="49-frames-704", steps=2_500, frames=49, targets=49),
            replace(one, name="121-frames", steps=57_500, frames=121),
            replace(six, name="views", steps=7_000),
            replace(six, name="pruned", steps=1_000, prune_ratio=0.8, opacity_weight=0.1),
        ),
    )  # fmt: skip


def _dynamic_decoder() -> DecoderRecipe:
    """Moving scenes and still ones in turns, so that one decoder does both; meant to start from the embedded one."""
    return DecoderRecipe(
        name=DYNAMIC, learning_rate=2e-4, weight_decay=0.01, ema_decay=0.998, batch=2, pool=128,
        network=nano_dynamic, stages=(DecoderStage("dynamic", steps=1500, all_views=2 / 3, targets=7),),
    )  # fmt: skip


_DECODER = {
    "nano": _nano_decoder,
    PROGRESSIVE: _progressive_decoder,
    "official": _official_decoder,
    DYNAMIC: _dynamic_decoder,
}

_TOKENIZER = Recipe("nano", learning_rate=1e-3, weight_decay=0.0, ema_decay=0.998, batch=48, pool=512)
_TEACHER = Recipe("nano", learning_rate=1e-3, weight_decay=0.01, ema_decay=0.9985, batch=32, pool=4096, upright_every=3)

_OTHERS: dict[TaskName, tuple[Recipe, ...]] = {
    "tokenizer": (
        _TOKENIZER,
        replace(_TOKENIZER, name=DECODE, pool=1024),
        # candidates, named after pixels per latent in time, height and width, and channels; nano is 8x8x8-64
        replace(_TOKENIZER, name="8x8x8-32", shape={"latent_channels": 32}),
        replace(_TOKENIZER, name="4x8x8-32", shape={"latent_channels": 32, "temporal_merge": 1}),
    ),
    "depth": (Recipe("nano", learning_rate=6e-4, weight_decay=0.02, ema_decay=0.998, batch=32, pool=0),),
    "teacher": (
        _TEACHER,
        *(replace(_TEACHER, name=name, learning_rate=1e-4, ema_decay=0.998) for name in (CONSISTENCY, PROGRESSIVE)),
        # 52.6 M parameters instead of 21.0 M; the rate falls as the width grows
        replace(_TEACHER, name="large", learning_rate=7.5e-4, shape={"heads": 8, "layers": 12}),
    ),
    "frames": (
        Recipe(
            "nano",
            learning_rate=5e-4,
            weight_decay=0.0,
            ema_decay=0.998,
            batch=12,
            pool=512,
            betas=(0.5, 0.99),
        ),
    ),
    "text": (Recipe("nano", learning_rate=2e-3, weight_decay=0.01, ema_decay=0.998, batch=32, pool=3000),),
}


def decoder_recipe(name: str, from_stage: str | None = None) -> DecoderRecipe:
    """A recipe of the decoder, from one of its stages on.

    Raises:
        InputError: no such recipe or stage.
    """
    if name not in _DECODER:
        raise _unknown("decoder", name, list(_DECODER))
    recipe = _DECODER[name]()
    return recipe if from_stage is None else recipe.starting_at(from_stage)


def find_recipe(task: TaskName, name: str, from_stage: str | None = None) -> Recipe:
    """The recipe ``name`` of a task.

    Raises:
        InputError: no such recipe or stage.
    """
    if task == "decoder":
        return decoder_recipe(name, from_stage)
    found = {recipe.name: recipe for recipe in _OTHERS[task]}
    if name not in found:
        raise _unknown(task, name, list(found))
    if from_stage is not None:
        raise InputError(f"the recipe {name} of the task {task} has no stage to begin at; leave --from-stage out")
    return found[name]


def _unknown(task: TaskName, name: str, known: Sequence[str]) -> InputError:
    return InputError(f"the task {task} has no recipe {name!r}; choose from {', '.join(known)}")


def describe(recipe: Recipe) -> str:
    """The recipe as a table to print."""
    lines = [
        f"recipe {recipe.name}: AdamW {recipe.learning_rate:g}, betas {recipe.betas[0]:g} {recipe.betas[1]:g}, "
        f"weight decay {recipe.weight_decay:g}{' on all' if recipe.decay_vectors else ''}, "
        f"{recipe.schedule} after a warm-up, average {recipe.ema_decay:g}, batch {recipe.batch}, pool {recipe.pool}"
        + (f", portrait format in 1 of {recipe.upright_every} steps" if recipe.upright_every else "")
    ]
    if recipe.shape:
        numbers = ", ".join(f"{name} {value}" for name, value in recipe.shape.items())
        lines.append(f"network: {numbers}, all else as in nano")
    if not isinstance(recipe, DecoderRecipe):
        return "\n".join(lines)
    lines.append(
        f"loss: squared error + {recipe.perceptual:g} perceptual + {recipe.gradient:g} gradient + "
        f"{recipe.depth:g} depth + opacity{' (squashed)' if recipe.squashed_opacity else ''} as below"
    )
    titles = "stage steps share pixels frames views targets drawn batch pruned opacity"
    rows = [tuple(titles.split())]
    total = sum(stage.steps for stage in recipe.stages)
    for stage in recipe.stages:
        height, width = (side // stage.reduce for side in recipe.size)
        low, high = stage.views
        views = str(high) if low == high else f"{low}-{high}"
        rows.append(
            (
                stage.name,
                f"{stage.steps:,}",
                f"{100 * stage.steps / total:.0f} %",
                f"{height}x{width}",
                str(stage.frames),
                f"{views}, {100 * stage.all_views:.0f} % all" if stage.all_views else views,
                f"{stage.targets}{' per view' if stage.per_view else ''}",
                stage.sampling,
                str(stage.batch),
                f"{100 * stage.prune_ratio:.0f} %",
                f"{stage.opacity_weight:g}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)
