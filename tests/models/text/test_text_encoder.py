"""The text encoder: shapes, masks, unknown words, and the one that ships."""

from dataclasses import replace

import pytest
import torch

from lyra.hub import load_model
from lyra.models.text import TextConfig, TextEncoder
from lyra.structures import InputError

TINY = TextConfig(
    vocabulary="a and chair room table two with",
    width=16,
    blocks=1,
    heads=2,
    tokens=3,
    output=8,
    buckets=64,
    max_words=12,
)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(TINY).eval()


@pytest.fixture(scope="module")
def shipped() -> TextEncoder:
    return load_model("text/nano", kind=TextEncoder)


def test_every_text_gives_the_same_number_of_tokens_of_unit_variance(encoder):
    tokens, mask = encoder.encode(["a room", "two chair and a table with a room"])
    assert tokens.shape == (2, 3, 8) and mask.all()
    assert torch.allclose(tokens.mean(dim=-1), torch.zeros(2, 3), atol=1e-5)
    assert torch.allclose(tokens.var(dim=-1, unbiased=False), torch.ones(2, 3), atol=1e-2)


def test_neighbours_in_a_batch_change_nothing(encoder):
    """The padding of shorter texts is not attended to."""
    alone, _ = encoder.encode(["a room"])
    beside, _ = encoder.encode(["two chair and a table with a room", "a room", "with unicorns"])
    assert torch.allclose(alone[0], beside[1], atol=1e-6)


def test_an_empty_text_is_the_null_text(encoder):
    tokens, mask = encoder.encode(["", "a room", "!!"])
    assert tokens[0].eq(0).all() and tokens[2].eq(0).all() and tokens[1].ne(0).any()
    assert mask.tolist() == [[False] * 3, [True] * 3, [False] * 3]
    assert encoder.encode([""])[0].shape == (1, 3, 8)


def test_order_and_letters_matter(encoder):
    one, other, same, wrong = encoder.encode(["a chair table", "a table chair", "A  chair, table!", "a chiar table"])[0]
    assert torch.equal(one, same)
    assert (one - other).abs().max() > 1e-3 and (one - wrong).abs().max() > 1e-3


def test_a_known_word_dropped_in_training_is_read_by_its_letters(encoder):
    words = encoder.read(["chair"])
    plain = encoder(words)
    words = replace(words, vocabulary=torch.zeros_like(words.vocabulary))
    spelt = encoder(words)
    assert (plain - spelt).abs().max() > 1e-3
    torch.manual_seed(0)
    encoder.train()
    drawn = torch.stack([encoder(encoder.read(["chair"]))[0] for _ in range(40)])
    encoder.eval()
    by_letters = torch.isclose(drawn, spelt, atol=1e-5).flatten(1).all(dim=1)
    by_word = torch.isclose(drawn, plain, atol=1e-5).flatten(1).all(dim=1)
    assert (by_letters | by_word).all() and 4 <= int(by_letters.sum()) <= 22


def test_unknown_words_are_found_once_each_with_a_guess(encoder):
    assert encoder.unknown_words("Two CHAIRS and a unicorn, a Unicorn, and a tabel") == (
        ("chairs", "chair"),
        ("unicorn", None),
        ("tabel", "table"),
    )
    assert encoder.unknown_words("a room with two chair") == ()


def test_a_prompt_of_unknown_words_only_is_refused(encoder):
    text = encoder.prompt("a  unicorn")
    assert text.prompt == "a unicorn" and text.tokens.shape == (3, 8) and text.mask.all()
    with pytest.raises(InputError, match="none of these words: комната, лампой"):
        encoder.prompt("комната лампой")
    with pytest.raises(InputError, match="13 words"):
        encoder.prompt("room " * 13)


def test_gradients_reach_every_part(encoder):
    tokens = encoder(encoder.read(["two chairs with a tabel"]))
    (tokens * torch.linspace(0, 1, 8)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.ne(0).any(), name
    encoder.zero_grad()


def test_the_shipped_encoder_is_small_and_knows_the_words_of_the_worlds(shipped):
    from lyra.worlds.captions import known_words

    assert sum(parameter.numel() for parameter in shipped.parameters()) <= 1_500_000
    assert set(known_words()) <= set(shipped.known), "captions have new words: lyra train text"
    assert shipped.config.tokens == 16 and shipped.config.output == 384
    assert shipped.unknown_words("a courtyard with a fountian and a unicorn") == (
        ("fountian", "fountain"),
        ("unicorn", None),
    )


def test_the_shipped_encoder_reads_paraphrases_and_typing_errors_alike(shipped):
    same = ["a room with two chairs at night", "at night, two seats in an interior", "a rom with tow chiars at nihgt"]
    other = ["a snowy landscape with a cottage", "a street with two cars in the morning", "two mugs on a table top"]
    tokens = shipped.encode([*same, *other])[0].flatten(1)
    alike = torch.nn.functional.cosine_similarity(tokens[:, None], tokens[None], dim=-1)
    nearest_stranger = 1 - alike[0, 3:].max()
    assert 1 - alike[0, 1] < 0.2 * nearest_stranger
    assert 1 - alike[0, 2] < 0.5 * nearest_stranger
