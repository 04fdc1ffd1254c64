"""Texts in the training of the teacher, and captions without end for the text encoder."""

import random
import shutil
from dataclasses import replace

import pytest
import torch

from lyra.hub import load_model, save_model
from lyra.models.teacher import Teacher, TeacherInputs, empty_cache
from lyra.models.text import TextConfig, TextEncoder
from lyra.structures import InputError
from lyra.training.caption_reader import caption_tokens, drop_rows, seeded_random
from lyra.training.caption_stream import CaptionStream, world_descriptions
from lyra.training.tasks.text import contrastive_loss
from lyra.training.text_questions import TextQuestions, answer_loss, mark, true_answers
from lyra.training.train import make_task, train
from lyra.worlds.captions import CLEAN
from lyra.worlds.description import Description, Surface, Thing

CPU = torch.device("cpu")


def test_every_clip_of_a_world_has_a_caption_of_its_own_and_photographs_have_none(tiny_models):
    encoder = load_model("text/nano", weights_dir=tiny_models, kind=TextEncoder)
    worlds = [Description("room", things=(Thing("table"), Thing("chair", 2)), time="night"), Description("street")]
    torch.manual_seed(0)
    tokens = caption_tokens(encoder, worlds, views=3, uncaptioned=2)
    assert tokens.shape == (8, 4, 8)
    assert tokens[6:].eq(0).all() and tokens[:6].flatten(1).ne(0).any(dim=1).all()
    assert (tokens[0] - tokens[1]).abs().max() > 1e-3
    torch.manual_seed(0)
    assert torch.equal(caption_tokens(encoder, worlds, 3, 2), tokens), "torch's seed makes the captions too"
    assert caption_tokens(encoder, worlds, 1, style=CLEAN).shape == (2, 4, 8)


def test_texts_are_dropped_as_often_as_asked():
    torch.manual_seed(0)
    text = torch.ones(4000, 2, 3)
    dropped = drop_rows(text, 0.15)
    whole = dropped.flatten(1).eq(1).all(dim=1)
    assert (whole | dropped.flatten(1).eq(0).all(dim=1)).all()
    assert 0.82 < float(whole.float().mean()) < 0.88


def test_the_pool_keeps_each_text_with_its_clip(tiny):
    task = make_task(tiny("teacher", steps=1, batch=4, pool=4), CPU)
    clean, source, _, _, text = task.pool.store
    captioned = text.flatten(1).ne(0).any(dim=1)
    assert captioned.tolist() == [True, False, True, False]  # one world, one photograph, twice
    assert task.model.config.text and task.model.config.illustrates and task.model.config.text_tokens == 4
    torch.manual_seed(1)
    slots = task.pool.draw(16)
    for row, told in zip(source[slots], text[slots], strict=True):
        match = [number for number in range(4) if torch.equal(source[number], row)]
        assert len(match) == 1 and torch.equal(text[match[0]], told)


def test_a_teacher_starts_from_weights_that_knew_no_text(tiny, tiny_models):
    start = load_model("teacher/nano", weights_dir=tiny_models, kind=Teacher)
    save_model(start, "teacher/nano", start.config, storage="fp32", folder=tiny_models / "start")
    task = make_task(tiny("teacher", steps=1, init=str(tiny_models / "start")), CPU)
    assert not start.config.text and task.model.config == replace(
        start.config, text=True, illustrates=True, text_tokens=4
    )
    assert all(torch.equal(value, task.model.state_dict()[name]) for name, value in start.state_dict().items())
    without = make_task(tiny("teacher", steps=1, stills=0.0), CPU)
    assert without.model.config.text and not without.model.config.illustrates and without.stills == 0


def test_an_encoder_of_another_width_is_refused(tiny, tmp_path, tiny_models):
    narrow = TextEncoder(TextConfig(vocabulary="a room", width=8, blocks=1, heads=2, tokens=2, output=6, buckets=16))
    shutil.copytree(tiny_models, tmp_path / "models")
    save_model(narrow, "text/nano", narrow.config, storage="fp32", weights_dir=tmp_path / "models")
    with pytest.raises(InputError, match="gives 6 channels, the teacher reads 8"):
        make_task(tiny("teacher", steps=1, models=tmp_path / "models"), CPU)


def test_stills_teach_to_draw_what_the_text_says(tiny):
    """Two pictures, two texts, nothing else given: after learning by heart, each text has its own picture."""
    task = make_task(tiny("teacher", steps=1, stills=0.5, batch=4), CPU)
    torch.manual_seed(0)
    source, text = 0.5 * torch.randn(2, *task.pool.store[1].shape[1:]), torch.randn(2, 4, 8)
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=1e-2)
    for _ in range(120):
        index = torch.randint(2, (8,))
        given = TeacherInputs(source[index], torch.zeros(8, 1), torch.zeros(8, 1), text[index])
        optimizer.zero_grad()
        task._still_loss(given).backward()
        torch.nn.utils.clip_grad_norm_(task.network.parameters(), 1.0)
        optimizer.step()
    noise, sigma = torch.randn(2, *source.shape[1:]) * 20, torch.full((2,), 20.0)
    with torch.no_grad():
        drawn = task.model(noise, sigma, empty_cache(noise, task.model.config, text))
    own = (drawn - source).square().mean(dim=(1, 2, 3, 4))
    other = (drawn - source.flip(0)).square().mean(dim=(1, 2, 3, 4))
    assert (own < 0.4 * other).all(), (own, other)


def test_scores_say_how_much_the_text_helps(tiny):
    task = make_task(tiny("teacher", steps=1), CPU)
    scores = task.scores()
    names = {f"still_{told}_text" for told in ("own", "other", "none")}
    assert names <= set(scores) and all(scores[name] > 0 for name in names)
    assert scores["still_own_text"] == scores["still_none_text"], "zero output layers: the text has no say yet"


def test_mixed_descriptions_are_new_but_canonical(few_textures):
    worlds = world_descriptions(few_textures["train"].catalogue, "train", 0, 20)
    stream, generator = CaptionStream(worlds), random.Random(0)
    drawn = [stream.draw(generator) for _ in range(200)]
    new = [description for description in drawn if description not in worlds]
    assert 60 < len(new) < 140
    for description in drawn:
        nouns = [thing.noun for thing in description.things]
        assert len(nouns) == len(set(nouns)) <= 8
    again = random.Random(0)
    assert [stream.draw(again) for _ in range(200)] == drawn


def test_the_random_generator_follows_torch():
    torch.manual_seed(3)
    first, second = seeded_random().random(), seeded_random().random()
    torch.manual_seed(3)
    assert (seeded_random().random(), seeded_random().random()) == (first, second) and first != second


def test_right_answers_cost_nothing_and_get_full_marks():
    stated = [
        Description("room", "", (Surface("wall", "brick", "red"),), (Thing("sofa", 2, "", "blue"),), "day"),
        Description("street", things=(Thing("car", 1, "", "red"), Thing("tree", 4))),
    ]  # fmt: skip
    truth = true_answers(stated, CPU)
    shapes = {name: head.out_features for head_set in (TextQuestions(8).scene, TextQuestions(8).things)
              for name, head in head_set.items()}  # fmt: skip
    right = {name: torch.nn.functional.one_hot(labels, shapes[name]).float() * 50 for name, labels in truth.items()}
    assert float(answer_loss(right, truth)) < 1e-6
    marks = mark(right, truth)
    assert (marks.stated, marks.kind, marks.material, marks.count, marks.invented) == (100, 100, 100, 100, 0)
    crossed = mark({name: logits.flip(0) for name, logits in right.items()}, truth)
    assert crossed.kind == 0 and crossed.count == 0 and crossed.invented == 100
    silent = {name: torch.zeros_like(logits) for name, logits in right.items()}
    for logits in silent.values():
        logits[..., 0] = 1
    assert mark(silent, truth).stated == 0 and mark(silent, truth).invented == 0


def test_contrast_is_small_for_pairs_and_large_for_strangers():
    torch.manual_seed(0)
    rows = torch.randn(16, 32)
    assert contrastive_loss(rows, rows + 0.01) < 0.05
    assert contrastive_loss(rows, rows.roll(1, 0)) > 3


def test_the_encoder_goes_on_from_a_run_of_its_own(tiny, tmp_path):
    """A checkpoint also holds the questions; the encoder alone is taken out of it."""
    options = tiny("text", steps=1, out=tmp_path / "first", score=False)
    train(options, notify=lambda line: None)
    packed = load_model("text/nano", weights_dir=tmp_path / "first", kind=TextEncoder)
    task = make_task(tiny("text", steps=1, out=tmp_path / "second", init=str(tmp_path / "first")), CPU)
    for name, value in packed.named_parameters():
        assert torch.allclose(dict(task.model.named_parameters())[name], value, atol=0.02), name
