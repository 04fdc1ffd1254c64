"""A network that tells what a picture shows, trained on rendered worlds and on nothing else.

It judges pictures that were drawn for a text. It is kept in the cache folder under a name made of its recipe, so that a
changed recipe trains anew.
"""

from lyra.evaluation.probe.asking import Pictures, answers, ask
from lyra.evaluation.probe.cache import CACHE_VARIABLE, load_or_train_probe, probe_key, probe_path
from lyra.evaluation.probe.facts import PARTS, UNKNOWN, shown_facts, stated_facts
from lyra.evaluation.probe.network import Probe
from lyra.evaluation.probe.pictures import film_worlds, stream_worlds
from lyra.evaluation.probe.recipe import LARGE, SMALL, ProbeName, ProbeRecipe, choose_recipe

__all__ = [
    "CACHE_VARIABLE",
    "LARGE",
    "PARTS",
    "SMALL",
    "UNKNOWN",
    "Pictures",
    "Probe",
    "ProbeName",
    "ProbeRecipe",
    "answers",
    "ask",
    "choose_recipe",
    "film_worlds",
    "load_or_train_probe",
    "probe_key",
    "probe_path",
    "shown_facts",
    "stated_facts",
    "stream_worlds",
]
