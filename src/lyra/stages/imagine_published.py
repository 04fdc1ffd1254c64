"""The published sampler: one clip per trajectory from noisy latents, a fixed first frame and guidance by the cache."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lyra.diffusion import Guidance, guided, karras_sigmas, sample_placed
from lyra.models.teacher import PublishedInputs, PublishedTeacher, TeacherConfig, frame_noise
from lyra.models.tokenizer import Tokenizer
from lyra.structures import Conditioning, InputError


@dataclass(frozen=True)
class PublishedSampling:
    """How a clip is sampled; the defaults are the published ones.

    Attributes:
        steps: noise levels before 0.
        guidance: of the cache and the text; with a weight other than 0 a guided step costs two network passes.
        order: of the steps, see `sample_placed`; 1 is Euler.
        smallest: last noise level before 0, None for the teacher's. With few steps the published 0.0002 wastes some of
            them where nothing is left to see.
    """

    steps: int = 35
    guidance: Guidance = field(default_factory=Guidance)
    order: int = 1
    smallest: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 200:
            raise InputError(f"steps {self.steps} is outside 1…200")
        if not 1 <= self.order <= 3:
            raise InputError(f"solver order {self.order} is outside 1…3")

    def levels(self, sigma_min: float, sigma_max: float) -> Tensor:
        """[steps + 1] noise levels, for a teacher that was trained between these."""
        return karras_sigmas(self.steps, self.smallest or sigma_min, sigma_max)

    def passes(self, sigma_min: float, sigma_max: float) -> int:
        """Network passes of one clip."""
        return self.guidance.passes(self.levels(sigma_min, sigma_max)[:-1].tolist())


@torch.no_grad()
def published_inputs(
    conditioning: Conditioning, config: TeacherConfig, tokenizer: Tokenizer, seed: int, text: Tensor | None = None
) -> PublishedInputs:
    """Encode the conditioning of one clip: every buffer and its mask by the tokenizer, absent buffers zero.

    Args:
        conditioning: T frames of H x W.
        config: of the teacher: its number of buffers and text tokens.
        tokenizer: encodes pixels and masks.
        seed: of the noise on the first frame.
        text: [L, D] text embedding, None for the zero text.

    Raises:
        InputError: more sources in the cache than the teacher has buffers, or an embedding of another size.
    """
    seen = [(conditioning.warped, conditioning.mask), *conditioning.older]
    missing = config.buffers - len(seen)
    if missing < 0:
        raise InputError(f"the cache holds {len(seen)} sources, the teacher reads {config.buffers}; keep fewer")
    first = tokenizer.normalize(tokenizer.encode(conditioning.source[None, :, None]))
    pictures, masks = [], []
    for rgb, visible in seen:
        mask = visible.to(rgb.dtype)[:, None].expand(-1, 3, -1, -1)
        pictures.append(tokenizer.normalize(tokenizer.encode(rgb.transpose(0, 1)[None])))
        masks.append(tokenizer.normalize(tokenizer.encode(mask.transpose(0, 1)[None])))
    # not an encoded black clip: zeros of the latent space
    pictures += [torch.zeros_like(pictures[0])] * missing
    masks += [torch.zeros_like(masks[0])] * missing
    noise = frame_noise(pictures[0].shape, seed).to(first)
    words = text_tokens(text, config).to(first)
    return PublishedInputs(first, torch.stack(pictures, 1), torch.stack(masks, 1), words, noise=noise)


def text_tokens(text: Tensor | None, config: TeacherConfig) -> Tensor:
    """A text embedding [L, D] as the teacher reads it: [1, tokens, D], filled up with zeros that take part.

    Keys and values have no bias: zeros alone add nothing, however many there are, and one is cheapest.

    Raises:
        InputError: an embedding of another width, or of more tokens than the teacher reads.
    """
    if text is None:
        return torch.zeros(1, 1, config.text_dim)
    if text.dim() != 2 or text.shape[1] != config.text_dim or len(text) > config.text_tokens:
        raise InputError(
            f"text embedding has shape {list(text.shape)}; the teacher reads up to {config.text_tokens} tokens of "
            f"{config.text_dim} numbers"
        )
    filled = text.new_zeros(1, config.text_tokens, config.text_dim)
    filled[0, : len(text)] = text
    return filled


@torch.no_grad()
def imagine_published(
    inputs: PublishedInputs,
    teacher: PublishedTeacher,
    sampling: PublishedSampling | None = None,
    seed: int = 1,
    negative: Tensor | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Sample the clip of one trajectory.

    Args:
        inputs: its conditioning, of one clip.
        teacher: its noise levels are used.
        sampling: defaults to the published one.
        seed: of the noise. As published, every trajectory starts from the same.
        negative: [L, D] text embedding of what the clip should not show; None repeats the text of ``inputs``.
        on_step: called with the index of each finished step.

    Returns:
        [1, C, t, h, w] normalised latents, in the type of the teacher's computation.
    """
    sampling, config = sampling or PublishedSampling(), teacher.config
    unwanted = inputs.without_cache()
    if negative is not None:
        unwanted = replace(unwanted, text=text_tokens(negative, config).to(inputs.source))
    noise = torch.randn(inputs.warped[:, 0].shape, generator=torch.Generator().manual_seed(seed)).to(inputs.source)
    return sample_placed(
        guided(lambda x, s: teacher(x, s, inputs), lambda x, s: teacher(x, s, unwanted), sampling.guidance),
        noise,
        sampling.levels(config.sigma_min, config.sigma_max),
        lambda x, level: teacher.place(x, level, inputs),
        sampling.order,
        teacher.backbone.dtype,
        on_step,
    )
