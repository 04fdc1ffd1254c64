"""The teacher as a denoiser that follows one text and shuns another."""

from dataclasses import replace

from lyra.diffusion import Denoiser, guide
from lyra.models.teacher.inputs import TeacherInputs
from lyra.models.teacher.model import Teacher
from lyra.structures import InputError, Text


def require_text(teacher: Teacher, *texts: Text | None) -> None:
    """Refuse texts that the teacher cannot read.

    Raises:
        InputError: its training showed no captions, or its tokens have another size.
    """
    given = [text for text in texts if text is not None]
    if given and not teacher.config.text:
        raise InputError("these teacher weights were trained without captions; leave the prompt out or train with text")
    if any(text.tokens.shape[1] != teacher.config.text_dim for text in given):
        raise InputError(
            f"the text tokens have {given[0].tokens.shape[1]} channels, the teacher reads {teacher.config.text_dim}; "
            "use the text encoder it was trained with"
        )


def with_text(inputs: TeacherInputs, text: Text | None) -> TeacherInputs:
    """The same conditioning with one text for every clip, ``None`` for the null text."""
    if text is None:
        return replace(inputs, text=None, text_mask=None)
    batch = len(inputs.warped)
    mask = None if bool(text.mask.all()) else text.mask.expand(batch, -1).to(inputs.warped.device)
    return replace(inputs, text=text.tokens.expand(batch, -1, -1).to(inputs.warped), text_mask=mask)


def text_denoiser(
    teacher: Teacher, inputs: TeacherInputs, text: Text | None, negative: Text | None, guidance: float
) -> Denoiser:
    """Classifier-free guidance by texts, ``None`` being the null text; see `lyra.diffusion.guide` for ``guidance``."""
    wanted, unwanted = with_text(inputs, text), with_text(inputs, negative)
    if text is None:
        return lambda x, sigma: teacher(x, sigma, wanted)
    return guide(lambda x, sigma: teacher(x, sigma, wanted), lambda x, sigma: teacher(x, sigma, unwanted), guidance)
