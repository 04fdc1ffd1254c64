"""The published sampler: one clip per trajectory from noisy latents, a fixed first frame and guidance by the cache."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lyra.diffusion import Guidance, guided, karras_sigmas, sample_placed
from lyra.models.teacher import PublishedInputs, PublishedTeacher, frame_noise
from lyra.models.tokenizer import Tokenizer
from lyra.structures import Conditioning, InputError


@dataclass(frozen=True)
class PublishedSampling:
    """How a clip is sampled; the defaults are the published ones.

    Attributes:
        steps: noise levels before 0.
        guidance: of the cache and the text; with a weight other than 0 most steps cost two network passes.
        order: of the steps, see `sample_placed`; 1 is Euler.
    """

    steps: int = 35
    guidance: Guidance = field(default_factory=Guidance)
    order: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 200:
            raise InputError(f"steps {self.steps} is outside 1…200")
        if not 1 <= self.order <= 3:
            raise InputError(f"solver order {self.order} is outside 1…3")

    def passes(self, sigma_min: float, sigma_max: float) -> int:
        """Network passes of one clip."""
        levels = karras_sigmas(self.steps, sigma_min, sigma_max)[:-1].tolist()
        return sum(2 if self.guidance.acts(level) else 1 for level in levels)


@dataclass(frozen=True)
class TextPair:
    """Text embeddings of the two sides of the guidance, [L, D] each; None for the zero text.

    Attributes:
        prompt: what the clip shows.
        negative: what it should not show; the published programme repeats the prompt where there is none.
    """

    prompt: Tensor | None = None
    negative: Tensor | None = None


def published_inputs(
    conditioning: Conditioning, teacher: PublishedTeacher, tokenizer: Tokenizer, seed: int, text: Tensor | None = None
) -> PublishedInputs:
    """Encode the conditioning of one clip: every buffer and its mask by the tokenizer, absent buffers zero.

    Args:
        conditioning: T frames of H x W.
        teacher: for its number of buffers and text tokens.
        tokenizer: encodes pixels and masks, in pieces as long as its statistics.
        seed: of the noise on the first frame.
        text: [L, D] text embedding, None for the zero text.

    Raises:
        InputError: more sources in the cache than the teacher has buffers.
    """
    seen = [(conditioning.warped, conditioning.mask), *conditioning.older]
    missing = teacher.config.buffers - len(seen)
    if missing < 0:
        raise InputError(f"the cache holds {len(seen)} sources, the teacher reads {teacher.config.buffers}; keep fewer")
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
    if text is None:
        # keys and values have no bias, so zero tokens add nothing, however many there are: one is cheapest
        text = first.new_zeros(1, teacher.config.text_dim)
    return PublishedInputs(first, torch.stack(pictures, 1), torch.stack(masks, 1), text[None].to(first), noise=noise)


@torch.no_grad()
def imagine_published(
    conditioning: Conditioning,
    teacher: PublishedTeacher,
    tokenizer: Tokenizer,
    sampling: PublishedSampling | None = None,
    seed: int = 1,
    text: TextPair | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Sample the clip of one trajectory.

    Args:
        conditioning: T frames of H x W.
        teacher: its noise levels are used.
        tokenizer: the tokenizer the teacher was trained with.
        sampling: defaults to the published one.
        seed: of all noise. As published, every trajectory starts from the same noise.
        text: both sides of the guidance.
        on_step: called with the index of each finished step.

    Returns:
        [C, t, h, w] unnormalised latents.
    """
    sampling, text, config = sampling or PublishedSampling(), text or TextPair(), teacher.config
    wanted = published_inputs(conditioning, teacher, tokenizer, seed, text.prompt)
    unwanted = wanted.without_cache()
    if text.negative is not None:
        unwanted = replace(unwanted, text=text.negative[None].to(wanted.source))
    shape = wanted.warped[:, 0].shape
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(wanted.source)
    clean = sample_placed(
        guided(lambda x, s: teacher(x, s, wanted), lambda x, s: teacher(x, s, unwanted), sampling.guidance),
        noise,
        karras_sigmas(sampling.steps, config.sigma_min, config.sigma_max),
        lambda x, level: teacher.place(x, level, wanted),
        sampling.order,
        teacher.backbone.dtype,
        on_step,
    )
    return tokenizer.denormalize(clean.to(wanted.source))[0]
