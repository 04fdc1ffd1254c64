"""Reads every input of ``lyra generate`` once before the networks are loaded, so that a wrong file or word costs no
waiting."""

from pathlib import Path

import torch

from lyra.geometry.cameras import intrinsics_from_fov
from lyra.hub import list_models, load_model
from lyra.io.camera_path import read_camera_path
from lyra.io.depth_file import read_depth
from lyra.io.images import read_photo
from lyra.models.image_model import read_licence, require_image_model
from lyra.models.text import TextEncoder, UnknownWord
from lyra.pipeline import TEXT_MODEL
from lyra.preset import Preset, nano
from lyra.results import GenerateOptions
from lyra.stages import PerceiveConfig, require_plannable
from lyra.structures import Cameras, InputError

_ANY_FOV = 1.0  # radians; only stands in for a path file that gives no intrinsics


def require_readable_inputs(
    photo: Path | None, options: GenerateOptions, preset: Preset | None = None
) -> tuple[str, ...]:
    """Read the photo, if there is one, and the files beside it, and check the choices that go with them.

    Args:
        photo: the file.
        options: the choices.
        preset: sizes that belong to the networks, by default those of the embedded ones.

    Returns:
        What the user should know about the photo, a sentence each.

    Raises:
        InputError: whatever is wrong with the photo, the depth file, the camera file or a choice.
    """
    preset = preset or nano()
    PerceiveConfig(options.fov)
    require_plannable(options.trajectories, options.strength)
    notices: tuple[str, ...] = ()
    height, width = preset.height, preset.width
    if photo is not None and photo.is_dir() and preset.road == "published":
        from lyra.published.choices import require_video_choices

        require_video_choices(photo, preset, options)
    elif photo is not None:
        picture = read_photo(photo)
        notices = picture.notices
        height, width = preset.grid(picture.frames.width, picture.frames.height)
    if options.depth is not None:
        if photo is None:
            raise InputError("--depth belongs to a photo; leave it out, or give the photo")
        read_depth(options.depth, height, width)
    if options.cameras is not None:
        K = intrinsics_from_fov(torch.tensor([_ANY_FOV]), height, width)
        read_camera_path(options.cameras, Cameras(torch.eye(4)[None], K, height, width), preset.frames)
    return notices


def require_usable_words(has_photo: bool, options: GenerateOptions) -> tuple[str, ...]:
    """Check the prompt, and that the teacher's weights can use it, before any of them is loaded.

    Returns:
        What the user should know about the words, a sentence each.

    Raises:
        InputError: words that cannot be used, or weights that were not trained for them.
    """
    if has_photo and (options.candidates > 1 or options.image_model is not None):
        raise InputError("--candidates and --image-model are for a first picture; leave the photo or them out")
    if options.prompt is None:
        if options.candidates > 1 or options.choose is not None:
            raise InputError("--candidates and --choose belong to --prompt; give one, or leave them out")
        return ()
    if has_photo and options.negative is not None and options.guidance in (None, 1.0):
        raise InputError("--negative acts through guidance, which is 1 with a photo; add --guidance 2")
    card = next((card for card in list_models() if card.name == "teacher/nano"), None)
    config = card.config if card is not None else {}
    notices: list[str] = []
    if options.image_model is not None:
        require_image_model(options.image_model)
        notices.append(f"{options.image_model.name}: licence {read_licence(options.image_model)}")
    elif has_photo and not config.get("text"):
        raise InputError(
            'these teacher weights were trained without captions (their card does not say "text": true); '
            "leave the prompt out, or the photo"
        )
    elif not has_photo and not config.get("illustrates") and options.guidance is not None:
        raise InputError(
            "--guidance acts on a network that draws, and these weights do not (their card does not say "
            '"illustrates": true); leave it out, or add --image-model'
        )
    if not config.get("text"):
        notices.append("the teacher's weights know no captions: the prompt shapes the first picture only")
    encoder = load_model(TEXT_MODEL, kind=TextEncoder)
    for words in (options.prompt, options.negative):
        if words is not None:
            encoder.prompt(words)
            notices += [_never_seen(unknown) for unknown in encoder.unknown_words(words)]
    return tuple(notices)


def _never_seen(unknown: UnknownWord) -> str:
    guess = f" (nearest: {unknown.nearest})" if unknown.nearest else ""
    return f"I have never seen: {unknown.word}{guess}"
