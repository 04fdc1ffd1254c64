"""The choices of ``lyra generate`` that belong to published networks."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lyra.structures import InputError

if TYPE_CHECKING:
    from lyra.cli.generate import Generate
    from lyra.preset import Preset
    from lyra.published import LoadOptions, PublishedPipeline
    from lyra.results import GenerateOptions


@dataclass(frozen=True)
class PublishedChoices:
    """What was asked of the networks in a model folder.

    Attributes:
        folder: the model folder.
        load: how its networks are held.
        quality: name of the sampling.
        texts: files with text embeddings: of the prompt, of what should not be there.
    """

    folder: Path
    load: "LoadOptions"
    quality: str
    texts: tuple[Path | None, Path | None]

    @staticmethod
    def of(words: "Generate") -> "PublishedChoices | None":
        """The choices of a command, ``None`` where the embedded networks are meant.

        Raises:
            InputError: a choice that cannot be read, or that needs a model folder.
        """
        given = {
            "--quality": words.quality != "published",
            "--memory": words.memory != "auto",
            "--eight-bits": words.eight_bits,
            "--size": words.size is not None,
            "--text": words.text is not None,
            "--negative-text": words.negative_text is not None,
            "--share-clips": words.share_clips,
            "--force": words.force,
        }
        if words.model is None:
            lone = [name for name, there in given.items() if there]
            if lone:
                raise InputError(
                    f"{lone[0]} is for published networks; name their folder with --model, or leave it out"
                )
            return None
        if words.exact:
            raise InputError(
                "--exact is for the embedded networks; published ones run as their folder says, leave it out"
            )
        from lyra.published import LoadOptions, quality_of  # seconds that the embedded networks do not need

        load = LoadOptions(
            device=words.device,
            memory=gibibytes(words.memory),
            eight_bits=words.eight_bits,
            force=words.force,
            size=_size(words.size),
            fast=quality_of(words.quality).fast,
            text=words.text is not None or words.negative_text is not None,
            share=words.share_clips,
        )
        return PublishedChoices(words.model, load, words.quality, (words.text, words.negative_text))

    def preset(self, options: "GenerateOptions") -> "Preset":
        """Sizes that belong to the networks; refuses what they were not trained for.

        Raises:
            InputError: not a model folder, or something that the weights were not trained for.
        """
        from lyra.preset import preset_of
        from lyra.published.choices import require_trained, sized

        preset = sized(preset_of(self.folder), self.load)
        require_trained(preset, options, self.load.force)
        return preset

    def follows(self) -> bool:
        """Whether this process only helps another one.

        Raises:
            InputError: the variables that torchrun sets are not numbers.
        """
        from lyra.published import Ranks

        return Ranks.started()[0] != 0

    def open(self, note: Callable[[str], None] | None = None) -> "PublishedPipeline":
        """Plan the memory, tell the plan, load.

        Raises:
            InputError: too little memory, damaged weights, or a text embedding that cannot be read.
        """
        from lyra.hub.text_embedding import read_text_embedding
        from lyra.published import PublishedPipeline, quality_of

        sampling = quality_of(self.quality).sampling
        texts = [read_text_embedding(path) if path is not None else None for path in self.texts]
        pipeline = PublishedPipeline.open(self.folder, self.load)
        if note is not None:
            for line in pipeline.plan.lines():
                note(line)
            if self.load.fast and not pipeline.plan.choice.products:
                note(f"quality {self.quality} samples without compiled 8-bit products here; see docs/official.md")
        pipeline.sampling = sampling
        pipeline.texts = (texts[0], texts[1])
        return pipeline


def gibibytes(words: str) -> float | None:
    """The number behind ``--memory``, ``None`` for ``auto``.

    Raises:
        InputError: neither.
    """
    if words == "auto":
        return None
    try:
        value = float(words)
    except ValueError:
        raise InputError(f"--memory '{words}' is neither auto nor a number; give GiB, such as 24") from None
    if not 0 < value < 1e6:
        raise InputError(f"--memory {words} should be a number of GiB above 0")
    return value


def _size(words: str | None) -> tuple[int, int] | None:
    if words is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", words.strip().lower())
    if found is None:
        raise InputError(f"--size '{words}' is not HEIGHTxWIDTH; give two numbers, such as 704x1280")
    return int(found[1]), int(found[2])
