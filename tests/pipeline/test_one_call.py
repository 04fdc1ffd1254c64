"""`lyra.generate`: words alone get a maker of first pictures, nothing at all is refused before networks load."""

import pytest

import lyra
from lyra.pipeline import Pipeline
from lyra.structures import InputError
from lyra.world_pictures import WorldPainter


class Recorder:
    painter: object = None

    def run_prompt(self, prompt, options):
        return prompt, options.seed, self.painter


def test_words_are_painted_as_by_the_command(monkeypatch):
    monkeypatch.setattr(Pipeline, "load", lambda device: Recorder())
    prompt, seed, painter = lyra.generate(prompt="a courtyard", seed=4)
    assert (prompt, seed) == ("a courtyard", 4) and isinstance(painter, WorldPainter)


def test_nothing_to_make_a_scene_of_is_refused(monkeypatch):
    monkeypatch.setattr(Pipeline, "load", lambda device: pytest.fail("networks were loaded"))
    with pytest.raises(InputError, match="give a photo or a prompt"):
        lyra.generate()
