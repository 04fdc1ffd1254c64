"""One photo becomes a 3D scene of Gaussian splats, feed-forward, on a laptop.

The public names are loaded on first use, so that ``import lyra`` (and ``lyra --help``) does not wait for torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "lyra.one_call": ("generate",),
    "lyra.pipeline": ("Pipeline",),
    "lyra.results": ("GenerateOptions", "Result", "StageReport"),
    "lyra.scene_writer": ("write_result",),
    "lyra.exports": ("ExportReport", "export"),
    "lyra.raster": ("RenderOptions", "available_backends", "render"),
    "lyra.io.scene_folder": ("load_scene",),
    "lyra.viewer": ("export_html",),
    "lyra.hub": ("list_models", "load_model"),
    "lyra.structures": (
        "Cameras",
        "Conditioning",
        "Frames",
        "Gaussians",
        "InputError",
        "Latents",
        "Rendering",
        "Scene",
        "Trajectory",
        "Views",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    """Fetch a public name from its room and keep it."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lyra' has no attribute '{name}'")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
