"""``lyra generate``: a photo, a video or a prompt becomes a scene folder."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from lyra.cli.checks import require_device, require_output_folder
from lyra.cli.progress import StageLines
from lyra.cli.scene_page import write_page
from lyra.cli.sizes import mebibytes, seconds

if TYPE_CHECKING:
    from lyra.results import GenerateOptions, Result


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Turn a photo, a video, or a prompt, into a 3D scene.

    lyra generate photo.jpg -o out/photo
    lyra generate photo.jpg -o out/photo --trajectories left,right --seed 7
    lyra generate photo.jpg -o out/photo --depth depth.npy --fov 65
    lyra generate photo.jpg -o out/photo --cameras path.json
    lyra generate clip.mp4 -o out/clip --start 2 --times 9
    lyra generate --prompt "a courtyard with a fountain at sunset" -o out/court --candidates 4
    """

    photo: Annotated[Positional[Path | None], arg(metavar="[PHOTO]", help_behavior_hint="")] = None
    """The photo: JPEG, PNG, WebP, TIFF or anything else that Pillow opens; or a video: MP4, MOV, MKV, WebM."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the scene; it appears complete or not at all."""
    seed: int = 0
    """Another seed imagines other hidden parts."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Denoising steps of the video network; by default the number it was trained for."""
    trajectories: Annotated[str | None, arg(metavar="NAMES", help_behavior_hint="")] = None
    """Which ways to look around, separated by commas: left,right,up,zoom_out,zoom_in,clockwise. By default all."""
    strength: float = 1.0
    """Factor on how far the cameras move."""
    fov: Annotated[float | None, arg(metavar="DEGREES", help_behavior_hint="")] = None
    """Horizontal field of view; by default from the photo's EXIF data, else estimated."""
    depth: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Depth of the photo from elsewhere (.npy, .npz or 16-bit .png), see docs/conventions.md."""
    cameras: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Your own camera path (.json or .npz) in place of the trajectories, see docs/conventions.md. For a video where its
    camera was: auto (the default), static, colmap, or a file or folder, see docs/video.md."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    overwrite: bool = False
    """Replace a scene that is already in the folder."""
    fit: Literal["crop", "pad"] = "crop"
    """How a photo of another shape is brought to the networks' shape."""
    exact: bool = False
    """Compute in float32 where bfloat16 is faster (GPUs, and processors that have it)."""
    refine: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Steps that fit the scene to the photo and the imagined clips; 0 keeps what the decoder said, and is the default
    of published networks and of videos; of photos with the networks inside it is 16."""
    recolor: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Rounds that move only the scene's colours towards the photo, for what is not refined: by default 2 then; 0 keeps
    what the decoder said."""
    detail: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Gaussians that are divided into four where a photo is finer than the networks' 256 x 448, so that the scene keeps
    its sharpness; 0 leaves that out. By default 60000, none with published networks; videos have none."""
    gaussians: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Most Gaussians of the scene, of a video at each time; those that show least are dropped. 0 keeps all, and is the
    default of published networks; of those inside it is 200000, before any are divided (`--detail`)."""
    prompt: Annotated[str | None, arg(metavar="WORDS", help_behavior_hint="")] = None
    """What the scene shows, in English: without a photo all of it, with one what the photo does not show."""
    negative: Annotated[str | None, arg(metavar="WORDS", help_behavior_hint="")] = None
    """What the scene should not show."""
    guidance: Annotated[float | None, arg(metavar="G", help_behavior_hint="")] = None
    """How far to follow the prompt: 1 as it stands, more exaggerates. By default 3, with a photo 1."""
    candidates: Annotated[int, arg(metavar="N")] = 1
    """First pictures to draw for the prompt; candidates.png in the folder shows them."""
    choose: Annotated[str, arg(metavar="K|best")] = "best"
    """Candidate to go on with: its number, or the one that the prompt fits best."""
    image_model: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of a text-to-image pipeline of diffusers that draws the first picture instead of a procedural world."""
    model: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Networks to use instead of those inside: a folder made by `lyra models import-official`."""
    quality: Literal["published", "balanced", "draft"] = "published"
    """With --model: sample as published, or with fewer network passes."""
    memory: Annotated[str, arg(metavar="auto|GIB")] = "auto"
    """With --model: how much memory of the device may be used; by default all that is free."""
    eight_bits: bool = False
    """With --model: store the teacher's large weights in 8 bits; half the memory, a little rounding."""
    size: Annotated[str | None, arg(metavar="HEIGHTxWIDTH", help_behavior_hint="")] = None
    """With --model and --force: another picture size than the weights were trained for."""
    text: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """With --model: stored text embedding of what the scene shows (.safetensors, .npy or .pt)."""
    negative_text: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """With --model: the same of what it should not show."""
    share_clips: bool = False
    """With --model, under torchrun: all processes compute every trajectory together, instead of some each."""
    force: bool = False
    """With --model: go on with sizes or trajectories that the weights were not trained for."""

    start: Annotated[float, arg(metavar="SECONDS")] = 0.0
    """Of a video: where to begin."""
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Of a video: how many frames to take; by default 17, or all of a shorter one."""
    stride: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Of a video: take one frame of so many; by default about 12 a second."""
    times: Annotated[str | None, arg(metavar="N|all|SECONDS,…", help_behavior_hint="")] = None
    """Of a video: how many times, or which, get a set of Gaussians; by default at most 17, evenly spread."""
    fps: Annotated[float | None, arg(metavar="RATE", help_behavior_hint="")] = None
    """Of a video: rate of the previews; by default that of the frames taken."""
    four_d: bool = False
    """Of a video: also write scene.4dgs."""

    def run(self) -> int:
        """Check everything, then load the networks, then make the scene."""
        start = time.perf_counter()
        require_device(self.device)
        require_output_folder(self.out, self.overwrite)
        if self.photo is not None:
            from lyra.io.video_clip import is_video

            if is_video(self.photo):
                from lyra.cli.generate_video import run_video

                return run_video(self, start)
        self._require_no_video_choices()
        self._require_photo_or_prompt()
        options = self._options()

        from lyra.cli.preflight import require_readable_inputs, require_usable_words
        from lyra.cli.published import PublishedChoices
        from lyra.freed_memory import keep_freed_memory
        from lyra.pipeline import Pipeline
        from lyra.results import StageReport
        from lyra.scene_writer import write_result

        choices = PublishedChoices.of(self)
        preset = choices.preset(options) if choices else None
        notices = require_readable_inputs(self.photo, options, preset)
        notices += require_usable_words(self.photo is not None, options)
        if self.photo is not None and choices is not None and choices.follows():
            choices.open().follow(self.photo, options)
            return 0
        with StageLines() as lines:
            for notice in notices:
                lines.note(notice)
            lines(StageReport("load"))
            before = time.perf_counter()
            if choices is None:
                keep_freed_memory()
            pipeline = choices.open(lines.note) if choices else Pipeline.load(self.device)
            lines(StageReport("load", time.perf_counter() - before, detail=f"networks on {pipeline.device}"))
            if self.photo is not None:
                result = pipeline.run(self.photo, options, lines)
            else:
                from lyra.world_pictures import WorldPainter

                pipeline.painter = WorldPainter()
                result = pipeline.run_prompt(self.prompt or "", options, lines)
            write_result(result, self.out, self.overwrite, lines, write_page)
        self._report(result, time.perf_counter() - start)
        return 0

    def interrupted(self) -> str:
        """The scene folder appears only at the end."""
        chunks = self.out.with_name(f".{self.out.name}.chunks")
        if chunks.is_dir() and any(chunks.glob("[0-9]*")):
            return f"finished chunks are kept in {chunks}; the same command goes on after them"
        return "nothing was written"

    def _require_no_video_choices(self) -> None:
        from lyra.structures import InputError

        chosen = {"--start": self.start, "--frames": self.frames, "--stride": self.stride, "--times": self.times,
                  "--fps": self.fps, "--four-d": self.four_d}  # fmt: skip
        given = [name for name, value in chosen.items() if value]
        if given:
            raise InputError(f"{', '.join(given)} belong to a video; leave them out, or give a video")

    def _require_photo_or_prompt(self) -> None:
        from lyra.structures import InputError

        if self.photo is None and self.prompt is None:
            raise InputError("there is nothing to make a scene of; give a photo, or words with --prompt")

    def _choice(self) -> int | None:
        """Number of the candidate, ``None`` for the best."""
        if self.choose == "best":
            return None
        from lyra.structures import InputError

        if not self.choose.isdecimal():
            raise InputError(f"--choose '{self.choose}' is neither a number nor best; give the number of a candidate")
        return int(self.choose)

    def choices_of_both(self) -> dict[str, Any]:
        """Arguments that the options of a photo and of a video share."""
        return {
            "seed": self.seed,
            "steps": self.steps,
            "trajectories": trajectory_names(self.trajectories),
            "strength": self.strength,
            "fov": self.fov,
            "device": self.device,
            "fit": self.fit,
            "exact": self.exact,
            "refine": self.refine,
            "recolor": self.recolor,
            "gaussians": self.gaussians,
        }

    def _options(self) -> "GenerateOptions":
        from lyra.results import GenerateOptions

        return GenerateOptions(
            depth=self.depth,
            cameras=self.cameras,
            detail=self.detail,
            **self.choices_of_both(),
            prompt=self.prompt,
            negative=self.negative,
            guidance=self.guidance,
            candidates=self.candidates,
            choose=self._choice(),
            image_model=self.image_model,
        )

    def _report(self, result: "Result", total: float) -> None:
        from lyra.clock import peak_memory_mib

        count = sum(len(gaussians) for gaussians in result.scene.gaussians)
        print(f"scene      {self.out}")
        if result.first is not None:
            chosen = result.first.candidates[result.first.chosen]
            agreement = "" if chosen.agreement is None else f", the prompt explains {chosen.agreement:.2f} % of it"
            total_drawn = len(result.first.candidates)
            print(f"picture    candidate {result.first.chosen + 1} of {total_drawn}, seed {chosen.seed}{agreement}")
            print(f"drawn by   {', '.join(result.first.source.values())}")
            if result.first.notes:
                note = result.first.notes[result.first.chosen]
                print(f"shows      {note['caption']}")
                if note["missing"]:
                    print(f"unmet      {', '.join(note['missing'])}")
        dropped = f", {result.dropped:,} that show least were dropped" if result.dropped else ""
        print(f"Gaussians  {count:,}{dropped}")
        print(f"time       {seconds(total)} in all")
        print(f"memory     {mebibytes(peak_memory_mib())} at the peak")


def trajectory_names(text: str | None) -> tuple[str, ...] | None:
    """Names separated by commas, hyphens for underscores allowed; ``None`` stays ``None``."""
    if text is None:
        return None
    return tuple(name.strip().replace("-", "_") for name in text.split(",") if name.strip())
