"""What may be asked of the published networks, and what is refused because the weights were not trained for it."""

from dataclasses import dataclass, replace
from pathlib import Path

from lyra.data.vipe import clip_files
from lyra.preset import Preset
from lyra.results import GenerateOptions
from lyra.structures import InputError, Views


@dataclass(frozen=True)
class LoadOptions:
    """How the networks are held; independent of the photo.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        memory: GiB of the device that may be used, ``None`` for all that is free.
        eight_bits: store the teacher's large weights in 8 bits.
        force: go on where sizes or trajectories are not those the weights were trained for.
        size: height and width of the pictures, ``None`` for the trained ones.
        fast: compile the teacher's blocks and multiply 8-bit numbers, on GPUs that can and have room for all weights.
        text: whether the teacher will read a text; without, it does without its cross-attention.
        share: of several processes, let all compute every trajectory together instead of some each.
    """

    device: str = "auto"
    memory: float | None = None
    eight_bits: bool = False
    force: bool = False
    size: tuple[int, int] | None = None
    fast: bool = False
    text: bool = False
    share: bool = False


def sized(preset: Preset, options: LoadOptions) -> Preset:
    """The preset with the size that was asked for.

    Raises:
        InputError: a size that the weights were not trained for, without ``force``; or one that no network takes.
    """
    if options.size is None or options.size == (preset.height, preset.width):
        return preset
    height, width = options.size
    if height < 16 or width < 16 or height % 16 or width % 16:
        raise InputError(f"size {height}x{width} should be multiples of 16 pixels")
    if not options.force:
        raise InputError(
            f"these weights were trained at {preset.height}x{preset.width} and hold only there, {height}x{width} was "
            "asked for; leave the size out, or add --force to try"
        )
    return replace(preset, height=height, width=width)


def is_video(views: Views) -> bool:
    """Whether the source is a video, not a photo."""
    return len(views.cameras) > 1


def require_video_choices(folder: Path, preset: Preset, options: GenerateOptions) -> None:
    """Refuse a folder that is no video with geometry, and what does not go with one.

    Raises:
        InputError: files are missing; a decoder of still scenes; or a choice that belongs to a photo.
    """
    clip_files(folder)
    if preset.decoder != "decoder-dynamic":
        raise InputError(
            "this model folder has a 3D decoder of still scenes, a video needs the one of moving scenes; "
            "import the checkpoints with --decoder dynamic"
        )
    given = {"depth": options.depth, "camera": options.cameras, "field of view": options.fov}
    for name, value in given.items():
        if value is not None:
            raise InputError(f"video folder {folder} brings depth and cameras of its own; leave the {name} out")


def require_trained(preset: Preset, options: GenerateOptions, force: bool) -> None:
    """Refuse what the weights are not used with.

    Raises:
        InputError: words instead of their embedding; or other than the six trajectories, without ``force``.
    """
    if options.prompt is not None:
        raise InputError(
            "published networks read text as stored embeddings; give them with --text and --negative-text, or leave "
            "the prompt out"
        )
    if force:
        return
    if options.cameras is not None:
        raise InputError("these weights are used with all six trajectories, not with a camera file; add --force to try")
    if options.trajectories is not None and set(options.trajectories) != set(preset.trajectories):
        raise InputError(
            f"these weights are used with all {len(preset.trajectories)} trajectories, {len(options.trajectories)} "
            "were asked for; leave them out, or add --force to try"
        )
