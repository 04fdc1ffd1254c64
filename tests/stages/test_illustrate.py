"""A first picture from words: conditioning, guidance, seeds, and the score that chooses."""

from dataclasses import replace

import pytest
import torch

from lyra.diffusion import karras_sigmas, sample
from lyra.models.teacher import Teacher, TeacherConfig, TeacherInputs
from lyra.models.tokenizer import NanoTokenizer, NanoTokenizerConfig
from lyra.stages import illustrate, judge
from lyra.stages.illustrate import text_agreement
from lyra.structures import InputError, Text

HEIGHT, WIDTH = 32, 64
TOKENIZER = NanoTokenizerConfig(latent_channels=4, widths=(16, 32), blocks=(1, 1))
TEACHER = TeacherConfig(
    latent_channels=4, heads=2, head_dim=16, layers=1, text_dim=8, adaln_lora_dim=4, illustrate_steps=2,
    text=True, illustrates=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def networks() -> tuple[Teacher, NanoTokenizer]:
    torch.manual_seed(0)
    return Teacher(TEACHER).eval(), NanoTokenizer(TOKENIZER).eval()


def text(seed: int) -> Text:
    return Text(f"words {seed}", torch.randn(3, 8, generator=torch.Generator().manual_seed(seed)), torch.ones(3).bool())


def test_one_picture_per_seed_and_each_is_its_own(networks):
    seen = []
    first, second = illustrate(text(0), *networks, (HEIGHT, WIDTH), seeds=(4, 9), on_step=lambda *at: seen.append(at))
    assert (first.seed, second.seed) == (4, 9) and seen == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert first.rgb.shape == (3, HEIGHT, WIDTH) and first.rgb.min() >= 0 and first.rgb.max() <= 1
    assert (first.rgb - second.rgb).abs().mean() > 0.01
    (again,) = illustrate(text(0), *networks, (HEIGHT, WIDTH), seeds=(9,))
    assert torch.equal(again.rgb, second.rgb) and again.agreement == second.agreement


def test_it_is_the_sampler_on_an_empty_cache(networks):
    """The same picture by hand: nothing warped, every mask a hole, no condition frame, one latent frame."""
    teacher, tokenizer = networks
    prompt = text(1)
    shape = (1, 4, 1, HEIGHT // 8, WIDTH // 8)
    told = TeacherInputs(None, torch.zeros(1, *shape), -torch.ones(1, 1, 8, *shape[2:]), prompt.tokens[None])
    untold = replace(told, text=None)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    sigmas = karras_sigmas(3, TEACHER.sigma_min, TEACHER.sigma_max)

    def guided(x, sigma):
        away = teacher(x, sigma, untold)
        return away + 2.5 * (teacher(x, sigma, told) - away)

    expected = tokenizer.decode(tokenizer.denormalize(sample(guided, noise, sigmas)))[0, :, 0].clamp(0, 1)
    (drawn,) = illustrate(prompt, teacher, tokenizer, (HEIGHT, WIDTH), (5,), steps=3, guidance=2.5)
    assert torch.allclose(drawn.rgb, expected, atol=1e-5)


def test_text_negative_and_guidance_each_change_the_picture(networks):
    def drawn(*given, **choices) -> torch.Tensor:
        return illustrate(*given, *networks, (HEIGHT, WIDTH), **choices)[0].rgb

    plain = drawn(text(0))
    for other in (drawn(text(2)), drawn(text(0), negative=text(3)), drawn(text(0), guidance=6.0)):
        assert (other - plain).abs().max() > 1e-3
    assert torch.equal(drawn(text(0), guidance=1.0), drawn(text(0), guidance=1.0, negative=text(3)))
    assert torch.equal(drawn(text(0), guidance=0.0), drawn(text(2), guidance=0.0)), "guidance 0 ignores the text"


def test_weights_that_cannot_do_it_say_so(networks):
    _, tokenizer = networks
    for lacking, says in (({"text": False}, "without captions"), ({"illustrates": False}, "first picture")):
        teacher = Teacher(replace(TEACHER, **lacking)).eval()
        with pytest.raises(InputError, match=says):
            illustrate(text(0), teacher, tokenizer, (HEIGHT, WIDTH))
    with pytest.raises(InputError, match="6 channels"):
        illustrate(Text("a room", torch.zeros(2, 6), torch.ones(2).bool()), *networks, (HEIGHT, WIDTH))


class KnowsOnePicture(Teacher):
    """Says its picture when told text 0, nothing when told nothing, and the opposite picture when told another text."""

    def set(self, picture: torch.Tensor) -> None:
        self.picture = picture

    def forward(self, x, sigma, inputs):
        if inputs.text is None:
            return torch.zeros_like(x)
        return self.picture if torch.equal(inputs.text[0], text(0).tokens) else -self.picture


def test_agreement_is_how_much_of_the_error_the_text_takes_away(networks):
    latent = torch.randn(1, 4, 1, 4, 8, generator=torch.Generator().manual_seed(1))
    teacher = KnowsOnePicture(TEACHER)
    teacher.set(latent)
    assert text_agreement(latent, text(0), teacher) == pytest.approx(100)
    assert text_agreement(latent, text(1), teacher) == pytest.approx(-300)  # twice the distance, four times the error
    teacher.set(torch.zeros_like(latent))
    assert text_agreement(latent, text(0), teacher) == pytest.approx(0)


def test_pictures_of_others_are_judged_alike_or_not_at_all(networks):
    teacher, tokenizer = networks
    pictures = torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    one, two = judge(pictures, (3, 4), text(0), teacher, tokenizer)
    assert (one.seed, two.seed) == (3, 4) and torch.equal(two.rgb, pictures[1]) and one.agreement != two.agreement
    latent = tokenizer.normalize(tokenizer.encode(pictures[:1, :, None]))
    assert one.agreement == text_agreement(latent, text(0), teacher)
    blind = Teacher(replace(TEACHER, text=False)).eval()
    assert judge(pictures, (3, 4), text(0), blind, tokenizer)[0].agreement is None
