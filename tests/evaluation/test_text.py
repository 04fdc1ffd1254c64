"""The probe learns what pictures show; drawings of the truth agree as well as the probe can tell, others do not."""

import json
from collections.abc import Iterator

import pytest
import torch

from lyra.evaluation import probe as probes
from lyra.evaluation import text
from lyra.evaluation.probe import (
    HEIGHT,
    WIDTH,
    ProbeRecipe,
    ask,
    load_or_train_probe,
    probe_key,
    probe_path,
    render_worlds,
    train_probe,
    visible_facts,
)
from lyra.evaluation.text import TextProtocol, agreement, evaluate_text, text_table, unseen_captions
from lyra.structures import InputError
from lyra.worlds import TextureSet, load_textures
from lyra.worlds.attributes import KIND_CLASSES, LIGHT_CLASSES, MATERIAL_CLASSES, NOUN_CLASSES
from lyra.worlds.description import Description, Surface, Thing

TINY = ProbeRecipe(pictures=16, steps=8, batch=8, widths=(8, 16))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TextureSet]]:
    """Eight textures by formula per split, packed once; an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LYRA_TEXTURE_PACK", raising=False)
        patch.chdir(tmp_path_factory.mktemp("no_pack"))
        patch.setenv(probes.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        sets = {split: load_textures(None, split, limit=8) for split in ("train", "val")}
        stores = {split: one.to("cpu") for split, one in sets.items()}
        patch.setattr(TextureSet, "to", lambda self, device: stores[self.split])
        patch.setattr(text, "load_textures", lambda path, split: sets[split])
        yield sets


def quiet(line: str) -> None:
    """Take a line of progress and say nothing."""


def test_the_probe_learns_what_it_is_shown():
    """Rooms are red, streets green, landscapes blue; a bright stripe is a lamp, two are two."""
    generator = torch.Generator().manual_seed(0)
    pictures, shown = [], []
    for number in range(48):
        kind = ("room", "street", "landscape")[number % 3]
        lamps = number // 3 % 3
        picture = torch.rand(3, HEIGHT, WIDTH, generator=generator) * 0.2
        picture[number % 3] += 0.5
        for stripe in range(lamps):
            picture[:, :, 20 + 50 * stripe : 30 + 50 * stripe] = 1.0
        pictures.append((picture * 255).to(torch.uint8))
        shown.append(
            Description(kind, things=(Thing("lamp", lamps),) if lamps else (), time="night" if lamps else "day")
        )
    recipe = ProbeRecipe(steps=60, batch=24, widths=(8, 16, 32))
    probe = train_probe(torch.stack(pictures), shown, recipe, quiet)
    seen = ask(probe, torch.stack(pictures).float() / 255)
    marks = agreement(seen, shown)
    assert marks["kind"] == 100 and marks["light"] > 90 and marks["counts"] > 80


def test_facts_that_are_not_stated_do_not_count():
    stated = [
        Description(
            "room", surfaces=(Surface("wall", "brick"),), things=(Thing("sofa", 2), Thing("lamp")), time="sunset"
        ),
        Description("", things=(Thing("tree", 4),)),
    ]  # fmt: skip
    truth = visible_facts(stated)
    assert truth["kind"].tolist() == [KIND_CLASSES.index("room"), -1]
    assert truth["material"].tolist() == [MATERIAL_CLASSES.index("brick"), -1]
    assert truth["light"].tolist() == [LIGHT_CLASSES.index("low sun"), -1]
    seen = {name: labels.clone() for name, labels in truth.items()}
    assert agreement(seen, stated) == {
        "kind": 100, "material": 100, "light": 100, "things": 100, "counts": 100, "attributes": 100,
    }  # fmt: skip
    seen["things"][0, NOUN_CLASSES.index("sofa")] = 1  # there, but one instead of two
    seen["things"][1, NOUN_CLASSES.index("tree")] = 0  # missing
    seen["material"][0] = 1
    marks = agreement(seen, stated)
    assert (marks["things"], marks["counts"], marks["material"]) == (66.7, 33.3, 0)
    assert marks["attributes"] == 40  # light and one count of five facts
    assert "light" not in agreement(seen, [Description("room"), Description("street")])


def test_drawings_of_the_truth_agree_as_well_as_the_probe_can_tell(textures):
    renders, worlds = render_worlds(textures["val"], textures["val"].to("cpu"), "val", 0, 6)
    captions = unseen_captions(worlds, 0)
    truth = {caption.text: picture.float() / 255 for caption, picture in zip(captions, renders, strict=True)}
    protocol = TextProtocol(split="val", count=6, diverse=2, seeds=2, device="cpu")
    report = evaluate_text(protocol, None, TINY, lambda caption, seed: truth[caption], quiet)
    assert report["agreement"] == report["probe"]
    assert report["diversity"]["same_caption"] == 0 and report["diversity"]["other_caption"] > 0.05
    assert "consistency" not in report and report["textures"] == "procedural"
    json.dumps(report)
    shifted = dict(zip(truth, [*list(truth.values())[1:], next(iter(truth.values()))], strict=True))
    wrong = evaluate_text(protocol, None, TINY, lambda caption, seed: shifted[caption], quiet)
    assert wrong["probe"] == report["probe"] and wrong["agreement"] != report["probe"]
    lines = text_table(report).splitlines()
    assert lines[0].split() == ["kind", "material", "light", "things", "counts", "attributes"]
    assert lines[1].startswith("pictures and captions") and f"{report['agreement']['kind']:.1f}" in lines[1]


def test_a_probe_is_trained_once_for_a_recipe_and_its_worlds(textures, monkeypatch):
    said: list[str] = []
    first = load_or_train_probe(TINY, textures["train"], CPU, said.append)
    key = probe_key(TINY, textures["train"])
    assert probe_path(key).is_file()
    monkeypatch.setattr(probes, "train_probe", lambda *_: pytest.fail("trained again"))
    again = load_or_train_probe(TINY, textures["train"], CPU, said.append)
    picture = torch.rand(1, 3, 128, 224)
    assert all(torch.equal(ask(first, picture)[name], answer) for name, answer in ask(again, picture).items())
    assert probe_key(ProbeRecipe(pictures=17, steps=8, batch=8, widths=(8, 16)), textures["train"]) != key
    assert probe_key(TINY, textures["val"]) != key


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


def test_the_default_maker_is_judged(textures, unable, monkeypatch):
    monkeypatch.setattr("lyra.world_pictures.load_textures", lambda path, split, limit: textures[split])
    monkeypatch.setattr("lyra.world_pictures.SAMPLES", 8)
    protocol = TextProtocol(split="val", count=3, diverse=1, seeds=2, scenes=0, device="cpu")
    report = evaluate_text(protocol, unable, TINY, progress=quiet)
    assert report["diversity"]["same_caption"] > 0.05, "seeds lead to other worlds"
    assert report["agreement"].keys() == report["probe"].keys()
