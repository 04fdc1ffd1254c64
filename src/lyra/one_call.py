"""A scene in one call: `lyra.generate`."""

from pathlib import Path
from typing import Any

from lyra.pipeline import Pipeline
from lyra.results import GenerateOptions, Result
from lyra.structures import InputError


def generate(photo: Path | str | None = None, options: GenerateOptions | None = None, **choices: Any) -> Result:
    """Make a 3D scene of one photo, or of a prompt, with the embedded networks.

    Args:
        photo: image file; without one, ``prompt`` among the options says what the first picture shows.
        options: what to do; or give the fields of ``GenerateOptions`` as keywords.

    Raises:
        InputError: neither photo nor prompt, or anything wrong with either.
    """
    options = options or GenerateOptions(**choices)
    if photo is not None:
        return Pipeline.load(options.device).run(Path(photo), options)
    if options.prompt is None:
        raise InputError("there is nothing to make a scene of; give a photo or a prompt")
    from lyra.world_pictures import WorldPainter  # photos do not need the worlds

    pipeline = Pipeline.load(options.device)
    pipeline.painter = WorldPainter()
    return pipeline.run_prompt(options.prompt, options)
