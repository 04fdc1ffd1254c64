"""What each part of the decoder's training is worth: the same budget without it, on the same scenes."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lyra.evaluation.protocol import require_stride
from lyra.evaluation.scores import ScoreSheet
from lyra.hub import load_model
from lyra.io.files import replacing
from lyra.models.decoder import DecoderConfig
from lyra.models.depth import DepthNet
from lyra.models.perceptual import SqueezePerceptual
from lyra.models.tokenizer import Tokenizer
from lyra.results import GenerateOptions
from lyra.structures import InputError
from lyra.studies.ablation_report import table_row
from lyra.studies.telling import Tell
from lyra.studies.unseen_photos import Photograph, fingerprint, read_photographs, unseen_photo
from lyra.studies.unseen_scenes import Networks, UnseenScene
from lyra.studies.unseen_worlds import UnseenWorld, unseen_world
from lyra.studies.variants import ABLATIONS, Ablation
from lyra.training.captured_scenes import capture_scenes
from lyra.training.checkpoint import CheckpointFolder, load_checkpoint
from lyra.training.device_data import PathBank, PhotoTiles
from lyra.training.first_pictures import first_pictures
from lyra.training.imagined_scenes import ImaginedScenes, imagine_scenes
from lyra.training.loop import run_loop
from lyra.training.networks import load_frame_decoder, load_part, load_teacher
from lyra.training.options import TrainOptions
from lyra.training.pool import ExamplePool
from lyra.training.processes import training_device
from lyra.training.recipes import DecoderRecipe, DecoderStage, decoder_recipe
from lyra.training.stored_scenes import StoredScenes
from lyra.training.tasks.fixed_scenes import FixedScenesTask
from lyra.training.world_feed import WorldFeed
from lyra.worlds import load_textures

VIEWS, FRAMES, SCENES_AT_ONCE = 6, 17, 4


@dataclass(frozen=True)
class AblationsProtocol:
    """What is compared, and at which budget.

    Attributes:
        out: folder that keeps what is finished.
        variants: names of rows; the rows they are compared with are added.
        seconds, steps: of training, each variant; one of them.
        count: test worlds.
        photos: picture files that no training saw; every variant is scored on them as well.
        scenes: imagined scenes that all variants learn from.
        captured: worlds with filmed clips.
        gaussians: what pruning leaves at most.
        batch: scenes a step.
        seed: of everything random.
        height, width: of the pictures, multiples of 32.
        stride: every so many frames are scored.
        store: a store whose scenes are taken instead of imagining some; only their landscape format fits.
        textures, models: as in `TrainOptions`.
        device, workers: as in `TrainOptions`.
    """

    out: Path
    variants: tuple[str, ...] = tuple(ABLATIONS)
    seconds: float | None = None
    steps: int | None = None
    count: int = 24
    photos: tuple[Path, ...] = ()
    scenes: int = 256
    captured: int = 200
    gaussians: int = 200_000
    batch: int = 2
    seed: int = 0
    height: int = 256
    width: int = 448
    stride: int = 5
    store: Path | None = None
    textures: Path | None = None
    models: Path | None = None
    device: str = "auto"
    workers: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.variants if name not in ABLATIONS]
        if unknown or not self.variants:
            said = f"variant {unknown[0]!r} is unknown" if unknown else "no variant was given"
            raise InputError(f"{said}; choose from {', '.join(ABLATIONS)}")
        if (self.seconds is None) == (self.steps is None):
            raise InputError("every variant needs the same budget; give either --seconds or --steps")
        for name in ("seconds", "steps", "count", "scenes", "captured", "batch", "gaussians"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} {value:g} is not positive; give --{name} a number above 0")
        require_stride(self.stride, FRAMES)
        GenerateOptions(seed=self.seed)
        self.options("shared")

    def chosen(self) -> list[str]:
        """The variants in the order of the table, with those that they are compared with."""
        wanted = set(self.variants) | {ABLATIONS[name].base for name in self.variants}
        return [name for name in ABLATIONS if name in wanted]

    def settings(self) -> dict[str, Any]:
        """What must be the same for rows to be compared; photos by what the files hold."""
        own = ("out", "variants", "device", "workers")
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items() if k not in own}
        return {**plain, "photos": fingerprint(self.photos)}

    def options(self, name: str) -> TrainOptions:
        """How a variant is trained."""
        return TrainOptions(
            "decoder", self.out / name, seconds=self.seconds, steps=self.steps, seed=self.seed, textures=self.textures,
            device=self.device, batch=self.batch, height=self.height, width=self.width, workers=self.workers,
            models=self.models, log_every=10, image_every=1_000_000, save_every=1_000_000,
        )  # fmt: skip


def run_ablations(protocol: AblationsProtocol, tell: Tell = print) -> dict[str, Any]:
    """Train and score every variant that is not finished yet, on scenes that are made once.

    A variant is finished when its ``result.json`` lies in its folder; one that was interrupted goes on from its
    checkpoint. The scenes follow from the seed, so a later command makes the same ones.

    Returns:
        ``settings``, ``teacher`` (its frames against the true views), and ``variants``: by name steps, seconds per
        step, peak memory in MiB (CUDA only), Gaussians, and the scores of test worlds against ``true`` views and
        ``teacher`` and, where photos were given, of ``photos`` against the teacher.

    Raises:
        InputError: the folder holds results of other settings, or something that a task refuses.
    """
    device = training_device(protocol.device)
    check_folder(protocol)
    names = protocol.chosen()
    found = {name: read_result(protocol.out / name) for name in names}
    missing = [name for name in names if found[name] is None]
    if missing:
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cudnn.allow_tf32 = True
        bench = _Bench(protocol, device, missing, tell)
        _write(protocol.out / "settings.json", protocol.settings())
        _write(protocol.out / "teacher.json", bench.teacher())
        for name in missing:
            tell(f"{name}: {ABLATIONS[name].what}")
            found[name] = bench.run(name)
            tell(table_row(name, found))
    return {"settings": protocol.settings(), "teacher": _json(protocol.out / "teacher.json"), "variants": found}


def check_folder(protocol: AblationsProtocol) -> None:
    """Refuse a folder whose results cannot stand in the same table.

    Raises:
        InputError: the first setting that differs.
    """
    path = protocol.out / "settings.json"
    if protocol.out.exists() and not protocol.out.is_dir():
        raise InputError(f"output {protocol.out} is a file; give a folder with --out")
    if not path.is_file():
        return
    before, now = {"photos": [], **_json(path)}, json.loads(json.dumps(protocol.settings()))
    if before["photos"] != now["photos"]:
        raise InputError(
            f"{protocol.out} holds variants that were scored on {len(before['photos'])} photographs, not on these "
            f"{len(now['photos'])}; give the same, or another --out"
        )
    for name, value in now.items():
        if before.get(name) != value:
            raise InputError(
                f"{protocol.out} holds variants with {name} {before.get(name)}, now it is {value}; give the same, or "
                "another --out"
            )


def read_result(folder: Path) -> dict[str, Any] | None:
    """The numbers of a finished variant, ``None`` where it is not finished.

    Raises:
        InputError: a file that cannot be read.
    """
    path = folder / "result.json"
    return _json(path) if path.is_file() else None


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise InputError(f"{path} cannot be read ({fault}); remove it to have it made again") from fault
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no object; remove it to have it made again")
    return value


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, path.stem) as part:
        part.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


class _Bench:
    """The scenes and networks that all variants share."""

    def __init__(self, protocol: AblationsProtocol, device: torch.device, names: Sequence[str], tell: Tell) -> None:
        self.protocol, self.device, self.tell = protocol, device, tell
        photographs = read_photographs(protocol.photos, (protocol.height, protocol.width))
        options = protocol.options("shared")
        tokenizer = load_part("tokenizer/nano", Tokenizer, options, device)
        self.networks = Networks(
            tokenizer,
            load_part("depth/nano", DepthNet, options, device),
            load_teacher(tokenizer, options, device),
            load_frame_decoder(tokenizer, options, device),
        )
        self.recipe = replace(decoder_recipe("nano"), upright_every=0)
        self.base = self.recipe.network()
        self.anchor_frames = self.base.anchor_frames
        self.size = (protocol.height, protocol.width)
        self.perceptual = load_model("perceptual/squeeze", device=device, kind=SqueezePerceptual)
        self._found: dict[str, Any] = {}
        self._held = 0
        makers: dict[str, Callable[[], ImaginedScenes]] = {"imagined": self._imagined, "captured": self._captured}
        kinds = {kind for name in names for kind in ABLATIONS[name].materials}
        self.materials = {kind: make() for kind, make in makers.items() if kind in kinds}
        self.worlds = self._test_worlds()
        self.photos = self._photos(photographs)

    def _imagined(self) -> ImaginedScenes:
        """What the teacher makes of worlds and photographs, or what a store holds of it."""
        protocol, networks = self.protocol, self.networks
        torch.manual_seed(protocol.seed)
        if protocol.store is not None:
            stored = StoredScenes(
                protocol.store, networks.tokenizer, networks.depth_net, self.anchor_frames, VIEWS, FRAMES, *self.size,
                protocol.seed, report=self.tell, frame_decoder=networks.frame_decoder,
            )  # fmt: skip
            return self._gather("imagined", protocol.scenes, lambda n: stored.batch(n, SCENES_AT_ONCE))
        textures = load_textures(protocol.textures, "train")
        store, photos = textures.to(self.device), PhotoTiles(textures, self.device)
        count = (SCENES_AT_ONCE + 1) // 2
        feed = WorldFeed(textures, "train", count, 1_500_000_011 + protocol.seed, self.device, protocol.workers)
        paths = PathBank(FRAMES, self.device, protocol.seed)

        def make(number: int) -> ImaginedScenes:
            source, K = first_pictures(feed, store, photos, SCENES_AT_ONCE, *self.size)
            return imagine_scenes(
                source, K, paths, VIEWS, self.anchor_frames, networks.tokenizer, networks.depth_net, networks.teacher,
                networks.teacher.config.steps, networks.frame_decoder,
            )  # fmt: skip

        return self._gather("imagined", protocol.scenes, make)

    def _captured(self) -> ImaginedScenes:
        """Worlds with true frames."""
        protocol, networks = self.protocol, self.networks
        torch.manual_seed(protocol.seed + 1)
        textures = load_textures(protocol.textures, "train")
        store = textures.to(self.device)
        at_once = min(SCENES_AT_ONCE, protocol.captured)
        feed = WorldFeed(textures, "train", at_once, 1_700_000_009 + protocol.seed, self.device, protocol.workers)
        paths = PathBank(FRAMES, self.device, protocol.seed + 1)

        def make(number: int) -> ImaginedScenes:
            worlds = feed.next()
            c2w = paths.draw(len(worlds), VIEWS)
            return capture_scenes(
                worlds, store, c2w, *self.size, self.anchor_frames, networks.tokenizer, networks.depth_net
            )

        return self._gather("captured", protocol.captured, make)

    def _gather(self, kind: str, count: int, make: Callable[[int], ImaginedScenes]) -> ImaginedScenes:
        pool = ExamplePool(count, SCENES_AT_ONCE)
        for number in pool.missing(ExamplePool.refreshes_for(count, SCENES_AT_ONCE)):
            pool.put(number, make(number).tensors())
            if (number + 1) % 16 == 0:
                self.tell(f"{kind} scenes: {min(count, (number + 1) * SCENES_AT_ONCE)} of {count}")
        return ImaginedScenes(*pool.store)

    def _test_worlds(self) -> list[UnseenWorld]:
        protocol = self.protocol
        textures = load_textures(protocol.textures, "test")
        store = textures.to(self.device)
        worlds = []
        for index in range(protocol.count):
            worlds.append(
                unseen_world(
                    index, textures, store, self.networks, self.size, FRAMES, protocol.stride, protocol.seed,
                    self.anchor_frames,
                )
            )  # fmt: skip
        self.tell(f"test worlds: {protocol.count}")
        return worlds

    def _photos(self, photographs: Sequence[Photograph]) -> list[UnseenScene]:
        """Those that no training saw, with their clips."""
        protocol = self.protocol
        photos = [
            unseen_photo(
                index, photo, self.networks, self.device, FRAMES, protocol.stride, protocol.seed, self.anchor_frames
            )
            for index, photo in enumerate(photographs)
        ]
        if photos:
            self.tell(f"photographs: {len(photos)}")
        return photos

    def teacher(self) -> dict[str, float]:
        """The teacher's frames against the true views."""
        sheet = ScoreSheet()
        for world in self.worlds:
            world.score(sheet, world.imagined, world.truth, self.perceptual)
        return sheet.means()

    def run(self, name: str) -> dict[str, Any]:
        """Train a variant, score it, and keep both."""
        ablation, protocol = ABLATIONS[name], self.protocol
        options = protocol.options(name)
        state = None
        if CheckpointFolder(options.out).candidates():
            options = replace(options, resume=True)
            state = load_checkpoint(options.out, self.tell)
        task = FixedScenesTask(
            options,
            variant_recipe(ablation, self.recipe, self.base, protocol),
            [self.materials[kind] for kind in ablation.materials],
            self.anchor_frames,
            self.networks.tokenizer,
            self._judge,
            ablation.pixels,
        )
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._held = torch.cuda.memory_allocated(self.device)
        packed = run_loop(task, options, self.tell, state)
        result = {"what": ablation.what, "network": packed.name, "steps": task.steps, **self._found}
        _write(options.out / "result.json", result)
        for path in CheckpointFolder(options.out).candidates():  # the packed network is what remains
            path.unlink()
        return result

    def _judge(self, task: FixedScenesTask) -> dict[str, float]:
        """Score the trained network on the unseen scenes; the numbers that go into its card are the PSNRs."""
        pace = task.seconds_per_step()
        peak = None
        if self.device.type == "cuda":  # without the scenes that lie there for all
            peak = round((torch.cuda.max_memory_allocated(self.device) - self._held) / 2**20)
        sheets: dict[str, ScoreSheet] = {"true": ScoreSheet(), "teacher": ScoreSheet()}
        if self.photos:
            sheets["photos"] = ScoreSheet()
        counts = []
        task.model.eval()
        for world in self.worlds:
            images, count = task.picture(world.scenes, world.c2w, world.K)
            world.score(sheets["true"], images, world.truth, self.perceptual)
            world.score(sheets["teacher"], images, world.imagined, self.perceptual)
            counts.append(count)
        for photo in self.photos:
            images, _ = task.picture(photo.scenes, photo.c2w, photo.K)
            photo.score(sheets["photos"], images, photo.imagined, self.perceptual)
        scores = {place: sheet.means() for place, sheet in sheets.items()}
        self._found = {
            "seconds_per_step": round(pace, 4),
            "peak_mib": peak,
            "gaussians": round(sum(counts) / len(counts)),
            **scores,
        }
        return {place: means["psnr_all"] for place, means in scores.items()}


def variant_recipe(
    ablation: Ablation, recipe: DecoderRecipe, base: DecoderConfig, protocol: AblationsProtocol
) -> DecoderRecipe:
    """The recipe of a variant: its losses, its network, the clips of a step, and pruning in the last quarter."""
    config = replace(base, **(ablation.network or {}))
    changes = dict(ablation.recipe or {})
    learn = replace(recipe.stages[0], name="learn", steps=3)
    kept = min(1.0, protocol.gaussians / gaussians_of(config, protocol.height, protocol.width))
    prune = DecoderStage("prune", 1, all_views=learn.all_views, prune_ratio=1 - kept, opacity_weight=0.05)
    stage_changes = {key: changes.pop(key) for key in ("views", "prune_ratio", "opacity_weight") if key in changes}
    stages = tuple(replace(stage, **stage_changes) for stage in (learn, prune))
    return replace(recipe, stages=stages, network=lambda: config, **changes)


def gaussians_of(config: DecoderConfig, height: int, width: int) -> int:
    """How many Gaussians a decoder makes of six clips before pruning."""
    if config.head == "official":
        frames, rows, columns = config.output_factor
        return VIEWS * (-(-FRAMES // frames)) * (height // rows) * (width // columns)
    first = VIEWS if config.views_apart else 1
    return sum(
        (first if anchor.views == "first" else VIEWS) * (height // anchor.stride) * (width // anchor.stride)
        for anchor in config.anchors
    )
