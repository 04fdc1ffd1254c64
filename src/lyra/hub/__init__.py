"""Where networks are kept: names, classes, configs, weights, checksums and credits."""

from lyra.hub.card import ModelCard
from lyra.hub.config_json import config_from_dict, config_to_dict
from lyra.hub.registry import known_names, register
from lyra.hub.store import WEIGHTS_VARIABLE, list_models, load_model, save_model

__all__ = [
    "WEIGHTS_VARIABLE",
    "ModelCard",
    "config_from_dict",
    "config_to_dict",
    "known_names",
    "list_models",
    "load_model",
    "register",
    "save_model",
]
