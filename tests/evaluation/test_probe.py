"""The probe learns what pictures show, is asked what captions state, and is the same however its worlds were made."""

import json
from dataclasses import replace
from itertools import chain, pairwise

import pytest
import torch

from lyra.evaluation.agreement import agreement
from lyra.evaluation.probe import (
    LARGE,
    PARTS,
    SMALL,
    Probe,
    answers,
    ask,
    cache,
    choose_recipe,
    film_worlds,
    load_or_train_probe,
    probe_key,
    probe_path,
    shown_facts,
    stated_facts,
    stream_worlds,
)
from lyra.evaluation.probe.asking import set_threshold
from lyra.evaluation.probe.fitting import probe_loss, train_probe
from lyra.evaluation.probe_scores import ProbeProtocol, by_noun, evaluate_probe, probe_table, reading
from lyra.worlds.attributes import KIND_CLASSES, LIGHT_CLASSES, MATERIAL_CLASSES, NOUN_CLASSES
from lyra.worlds.description import Description, Surface, Thing

CPU = torch.device("cpu")
TINY_PLACES = range(20, 100, 50)


def quiet(line: str) -> None:
    """Take a line of progress and say nothing."""


@pytest.fixture(scope="module")
def plain_shapes() -> tuple[torch.Tensor, list[Description]]:
    """Rooms are red, streets green, landscapes blue; a bright stripe is a lamp, two are two."""
    generator = torch.Generator().manual_seed(0)
    pictures, shown = [], []
    for number in range(48):
        kind = ("room", "street", "landscape")[number % 3]
        lamps = number // 3 % 3
        picture = torch.rand(3, 64, 112, generator=generator) * 0.2
        picture[number % 3] += 0.5
        for left in TINY_PLACES[:lamps]:
            picture[:, :, left : left + 10] = 1.0
        pictures.append((picture * 255).to(torch.uint8))
        things = (Thing("lamp", lamps),) if lamps else ()
        floor = Surface("floor", ("wood", "tile")[number // 9 % 2]) if kind == "room" else Surface("ground", "asphalt")
        shown.append(Description(kind, "", (floor,), things, "night" if lamps else "day"))
    return torch.stack(pictures), shown


def test_the_probe_learns_what_it_is_shown(plain_shapes, tiny_recipe):
    pictures, shown = plain_shapes
    recipe = replace(tiny_recipe, steps=120, batch=24, widths=(8, 16, 32), blocks=(0, 0, 1), average=0.9)
    probe = train_probe(pictures, shown, recipe, quiet)
    marks = agreement(ask(probe, pictures), shown)
    assert marks["kind"] == 100 and marks["light"] > 90 and marks["counts"] > 80
    larger = torch.nn.functional.interpolate(pictures.float() / 255, scale_factor=4)
    assert agreement(ask(probe, larger), shown)["kind"] == 100, "pictures of any size are read"


def test_a_seed_makes_one_probe(plain_shapes, tiny_recipe):
    first, again, other = (train_probe(*plain_shapes, replace(tiny_recipe, seed=seed), quiet) for seed in (3, 3, 4))
    alike = [torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items()]
    assert all(alike)
    assert not torch.equal(first.glances.weight, other.glances.weight)


def test_training_leaves_the_convolutions_of_cudnn_on_and_makes_them_repeatable(plain_shapes, tiny_recipe):
    told: list[tuple[bool, bool]] = []
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.deterministic
    train_probe(*plain_shapes, tiny_recipe, lambda line: told.append((cudnn.enabled, cudnn.deterministic)))
    assert told and set(told) == {(True, True)}
    assert (cudnn.enabled, cudnn.deterministic) == before


def test_half_precision_reads_the_same(tiny_recipe):
    torch.manual_seed(0)
    probe = Probe(replace(tiny_recipe, widths=(8, 16, 32), blocks=(0, 1, 1)))
    probe.eval()
    picture = torch.rand(4, 3, 64, 112)
    exact = probe(picture)
    with torch.autocast("cpu", torch.bfloat16):
        rough = probe(picture.contiguous(memory_format=torch.channels_last))
    for name, logits in exact.items():
        assert rough[name].dtype == torch.float32
        torch.testing.assert_close(rough[name], logits, atol=0.1, rtol=0.05)
    truth = shown_facts([Description("room", things=(Thing("sofa"),), time="day")] * 4)
    probe_loss(rough, truth, 0.05).backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in probe.parameters())


@pytest.mark.gpu
def test_a_seed_makes_one_probe_on_a_gpu(plain_shapes, tiny_recipe):
    pictures, shown = plain_shapes
    recipe = replace(tiny_recipe, steps=120, batch=24, widths=(8, 16, 32), blocks=(0, 0, 1), average=0.9)
    first, again = (train_probe(pictures.cuda(), shown, recipe, quiet) for _ in range(2))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    assert agreement(ask(first, pictures.cuda()), shown)["kind"] == 100


def test_the_threshold_claims_as_many_things_as_there_are(plain_shapes, tiny_recipe):
    pictures, shown = plain_shapes
    probe = train_probe(pictures, shown, tiny_recipe, quiet)
    before = int((ask(probe, pictures)["things"] > 0).sum())
    there = int((shown_facts(shown)["things"] > 0).sum())
    assert before != there, "nothing would be shown by equal numbers"
    set_threshold(probe, pictures, shown)
    assert int((ask(probe, pictures)["things"] > 0).sum()) == there == 30


def test_a_picture_and_its_mirror_image_show_the_same(tiny_recipe):
    torch.manual_seed(0)
    probe = Probe(tiny_recipe).eval()
    picture = torch.rand(2, 3, 64, 112)
    for name, logits in answers(probe, picture).items():
        torch.testing.assert_close(logits, answers(probe, picture.flip(-1))[name])


def test_what_is_not_known_is_not_learnt(tiny_recipe):
    probe = Probe(tiny_recipe)
    nothing = {name: values.clone() for name, values in shown_facts([Description("room"), Description("")]).items()}
    logits = probe(torch.rand(2, 3, 64, 112))
    for values in logits.values():
        values.retain_grad()
    probe_loss(logits, nothing, 0.1).backward()
    assert logits["light"].grad is None or not logits["light"].grad.any()
    assert logits["kind"].grad[0].any() and not logits["kind"].grad[1].any()
    assert logits["material"].grad[:, PARTS.index("style")].any()
    assert not logits["material"].grad[:, : PARTS.index("style")].any()


def test_facts_that_are_not_stated_do_not_count():
    stated = [
        Description(
            "room", surfaces=(Surface("wall", "brick"),), things=(Thing("sofa", 2), Thing("lamp")), time="sunset"
        ),
        Description("", things=(Thing("tree", 4),)),
    ]  # fmt: skip
    truth = stated_facts(stated)
    assert truth["kind"].tolist() == [KIND_CLASSES.index("room"), -1]
    assert truth["material"].tolist() == [[MATERIAL_CLASSES.index("brick"), -1, -1, -1, -1], [-1] * 5]
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


def test_a_material_is_asked_of_the_part_it_is_stated_of():
    room = Description("room", surfaces=(Surface("wall", "plaster"), Surface("floor", "wood")))
    forest = Description("landscape", "forest", (Surface("ground", "earth"),))
    seen = shown_facts([room, forest])
    words = [[MATERIAL_CLASSES[number] if number >= 0 else "?" for number in row] for row in seen["material"].tolist()]
    assert words == [["plaster", "wood", "?", "?", "unstated"], ["?", "?", "earth", "?", "leaves"]]
    floor_only = replace(room, surfaces=room.surfaces[1:])
    grown = replace(forest, surfaces=())
    for world, stated in ((room, room), (room, floor_only), (forest, forest), (forest, grown)):
        assert (stated_facts([stated])["material"] >= 0).sum() == 1
        assert agreement(shown_facts([world]), [stated])["material"] == 100
    assert agreement(shown_facts([room]), [grown])["material"] == 0, "a room is no forest"
    colour_only = replace(room, surfaces=(Surface("wall", "", "white"), Surface("floor", "wood")))
    assert "material" not in agreement(shown_facts([room]), [colour_only])


def test_workers_make_the_same_worlds(textures, monkeypatch):
    monkeypatch.setattr("lyra.evaluation.probe.pictures._CHUNK", 4)
    monkeypatch.setattr("lyra.evaluation.probe.pictures._AHEAD", 1)
    catalogue = textures["val"].catalogue
    alone = list(stream_worlds(catalogue, "val", 7, 18, 0))
    helped = list(stream_worlds(catalogue, "val", 7, 18, 2))
    assert [len(chunk) for chunk in alone] == [len(chunk) for chunk in helped] == [4, 4, 4, 4, 2]
    for mine, theirs in zip(chain(*alone), chain(*helped), strict=True):
        assert mine.seed == theirs.seed and mine.description == theirs.description
        assert mine.primitives.tobytes() == theirs.primitives.tobytes()
        assert mine.light.tobytes() == theirs.light.tobytes()
    seeds = [world.seed for chunk in helped for world in chunk]
    assert all(after == before + 1 for before, after in pairwise(seeds))


def test_pictures_are_filmed_in_the_order_of_their_seeds(textures, tiny_recipe, monkeypatch):
    val, said = textures["val"], []
    whole, shown = film_worlds(val, val.to("cpu"), 0, 5, tiny_recipe, progress=said.append)
    monkeypatch.setattr("lyra.evaluation.probe.pictures._CHUNK", 2)
    parts, again = film_worlds(val, val.to("cpu"), 0, 5, tiny_recipe)
    assert torch.equal(whole, parts) and shown == again
    assert whole.shape == (5, 3, 64, 112) and len({picture.numpy().tobytes() for picture in whole}) == 5
    assert said == ["probe: 5/5 worlds"]


def test_the_device_chooses_the_recipe():
    assert choose_recipe(torch.device("cuda", 1)) is LARGE and choose_recipe(CPU) is SMALL
    assert choose_recipe(CPU, "large") is LARGE and choose_recipe(torch.device("cuda"), "small") is SMALL
    for recipe in (LARGE, SMALL):
        probe = Probe(recipe).eval()
        assert probe(torch.rand(1, 3, recipe.height, recipe.width))["things"].shape == (1, len(NOUN_CLASSES), 4)


def test_a_probe_is_trained_once_for_a_recipe_and_its_worlds(textures, tiny_recipe, monkeypatch):
    first = load_or_train_probe(tiny_recipe, textures, CPU, quiet)
    key = probe_key(tiny_recipe, textures)
    assert probe_path(key).is_file()
    monkeypatch.setattr(cache, "train_probe", lambda *_: pytest.fail("trained again"))
    again = load_or_train_probe(tiny_recipe, textures, CPU, quiet, workers=4)
    assert float(first.threshold) == float(again.threshold) != 0
    picture = torch.rand(1, 3, 128, 224)
    assert all(torch.equal(ask(first, picture)[name], answer) for name, answer in ask(again, picture).items())


def test_every_choice_that_makes_another_probe_makes_another_key(textures, tiny_recipe):
    train, val = textures["train"], textures["val"]
    renamed = replace(val, originals=tuple(f"{name}'" for name in val.originals))
    recipes = [
        replace(tiny_recipe, **change)
        for change in ({"worlds": 17}, {"checked": 9}, {"widths": (8, 24)}, {"smoothing": 0.1}, {"version": 99})
    ]
    keys = [probe_key(recipe, textures) for recipe in (tiny_recipe, LARGE, SMALL, *recipes)]
    keys += [
        probe_key(tiny_recipe, {"train": train, "val": renamed}),
        probe_key(tiny_recipe, {"train": val, "val": val}),
    ]
    assert len(set(keys)) == len(keys)
    assert probe_key(replace(tiny_recipe), textures) == keys[0]


def test_reading_tells_misses_from_false_claims():
    shown = shown_facts([Description("room", things=(Thing("sofa", 2), Thing("lamp"))), Description("street")])
    seen = {name: labels.clone() for name, labels in shown.items()}
    sofa, cat = NOUN_CLASSES.index("sofa"), NOUN_CLASSES.index("cat")
    seen["things"][0, sofa] = 3
    seen["things"][:, cat] = 1
    marks = reading(seen, shown)
    assert (marks["kind"], marks["things"], marks["counts"], marks["claimed"]) == (100, 100, 50, 50)
    assert "light" not in marks and "material of wall" not in marks
    nouns = by_noun(seen["things"], shown["things"])
    assert nouns["sofa"] == {"shown": 1, "seen": 100, "claimed": 100}
    assert nouns["cat"] == {"shown": 0, "seen": None, "claimed": 0}
    assert set(nouns) == {"sofa", "lamp", "cat"}


def test_the_probe_alone_is_scored_on_renders_it_never_saw(textures, tiny_recipe):
    report = evaluate_probe(ProbeProtocol(count=6, device="cpu"), tiny_recipe, quiet)
    assert report["recipe"]["key"] == probe_key(tiny_recipe, textures) and report["textures"] == "procedural"
    assert {"kind", "things", "counts"} <= report["shown"].keys() and "attributes" in report["stated"]
    json.dumps(report)
    lines = probe_table(report).splitlines()
    assert lines[0].startswith("probe tiny ")
    assert f"  kind {report['shown']['kind']:22.1f}" in lines


def test_the_command_hands_its_choices_on(monkeypatch, tmp_path, capsys):
    from lyra.cli import main
    from lyra.evaluation import probe_scores

    asked = []

    def evaluate(protocol: ProbeProtocol, progress: object) -> dict:
        asked.append(protocol)
        return {
            "shown": {"kind": 50.0},
            "stated": {},
            "recipe": {"name": "tiny", "key": "0"},
            "parameters": 1,
            "seconds": 2,
        }

    monkeypatch.setattr(probe_scores, "evaluate_probe", evaluate)
    file = tmp_path / "probe.json"
    words = ["--count", "7", "--seed", "3", "--workers", "2", "--device", "cpu", "--json", str(file)]
    assert main(["evaluate", "probe", *words]) == 0
    assert asked == [ProbeProtocol(count=7, seed=3, device="cpu", workers=2)]
    assert json.loads(file.read_text())["shown"] == {"kind": 50.0}
    assert main(["evaluate", "probe", "--workers", "-1"]) == main(["evaluate", "text", "--workers", "-1"]) == 2
    assert "workers -1 is outside" in capsys.readouterr().err
