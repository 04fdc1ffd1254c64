"""Drawings of the truth agree as well as the probe can tell, others do not."""

import json

import pytest

from lyra.evaluation import text
from lyra.evaluation.agreement import unseen_captions
from lyra.evaluation.probe import film_worlds
from lyra.evaluation.text import TextProtocol, evaluate_text, text_table
from lyra.structures import InputError


def quiet(line: str) -> None:
    """Take a line of progress and say nothing."""


def test_drawings_of_the_truth_agree_as_well_as_the_probe_can_tell(textures, tiny_recipe):
    renders, worlds = film_worlds(textures["val"], textures["val"].to("cpu"), 0, 6, tiny_recipe)
    captions = unseen_captions(worlds, 0)
    truth = {caption.text: picture.float() / 255 for caption, picture in zip(captions, renders, strict=True)}
    protocol = TextProtocol(split="val", count=6, diverse=2, seeds=2, device="cpu")
    report = evaluate_text(protocol, None, tiny_recipe, lambda caption, seed: truth[caption], quiet)
    assert report["agreement"] == report["probe"]
    assert report["diversity"]["same_caption"] == 0 and report["diversity"]["other_caption"] > 0.05
    assert "consistency" not in report and report["textures"] == "procedural"
    json.dumps(report)
    shifted = dict(zip(truth, [*list(truth.values())[1:], next(iter(truth.values()))], strict=True))
    wrong = evaluate_text(protocol, None, tiny_recipe, lambda caption, seed: shifted[caption], quiet)
    assert wrong["probe"] == report["probe"] and wrong["agreement"] != report["probe"]
    lines = text_table(report).splitlines()
    assert lines[0].split() == ["kind", "material", "light", "things", "counts", "attributes"]
    assert lines[1].startswith("pictures and captions") and f"{report['agreement']['kind']:.1f}" in lines[1]


@pytest.fixture
def unable(quick_networks):
    """A pipeline whose teacher does not draw."""
    from lyra.pipeline import Pipeline

    pipeline = Pipeline.load("cpu")
    pipeline.teacher.config.illustrates = False  # type: ignore[misc]
    return pipeline


def test_choices_of_a_network_that_draws_are_refused_before_the_probe_is_trained(textures, unable, monkeypatch):
    monkeypatch.setattr(text, "load_or_train_probe", lambda *_: pytest.fail("the probe was trained"))
    with pytest.raises(InputError, match="guidance and steps"):
        evaluate_text(TextProtocol(split="val", count=2, guidance=2.0, device="cpu"), unable)


def test_the_default_maker_is_judged(textures, tiny_recipe, unable, monkeypatch):
    monkeypatch.setattr("lyra.world_pictures.load_textures", lambda path, split, limit: textures[split])
    monkeypatch.setattr("lyra.world_pictures.SAMPLES", 8)
    protocol = TextProtocol(split="val", count=3, diverse=1, seeds=2, scenes=0, device="cpu")
    report = evaluate_text(protocol, unable, tiny_recipe, progress=quiet)
    assert report["diversity"]["same_caption"] > 0.05, "seeds lead to other worlds"
    assert report["agreement"].keys() == report["probe"].keys()
