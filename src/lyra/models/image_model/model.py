"""A text-to-image pipeline of diffusers, loaded from a local folder and asked in its own terms."""

import inspect
import math
import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from lyra.structures import InputError

INDEX = "model_index.json"
SIZE_MULTIPLE = 16
UNSTATED = "not stated in the folder"
_LICENCE_LINE = re.compile(r"^license(?:_name)?:\s*(\S.*)$", re.MULTILINE)


class ImageModel:
    """Draws pictures for a prompt.

    Attributes:
        name: folder and class.
        licence: what the folder says, or `UNSTATED`.
    """

    def __init__(self, pipeline: Any, name: str, licence: str) -> None:
        self.pipeline, self.name, self.licence = pipeline, name, licence
        self._takes = set(inspect.signature(pipeline).parameters)
        if "prompt" not in self._takes:
            raise InputError(f"image model {name} takes no prompt; give the folder of a text-to-image pipeline")

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Load a folder that ``save_pretrained`` wrote; nothing is fetched and no code of the folder is run.

        Raises:
            InputError: no such folder, not a complete pipeline, or a package it needs is missing.
        """
        require_image_model(folder)
        import diffusers
        import transformers

        diffusers.utils.logging.disable_progress_bar()
        transformers.utils.logging.disable_progress_bar()
        dtype = torch.float16 if device.type == "cuda" else torch.float32
        try:
            pipeline = diffusers.DiffusionPipeline.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError, ImportError, AttributeError, TypeError, KeyError, RuntimeError) as fault:
            reason = " ".join(str(fault).split())[:200]
            raise InputError(f"image model {folder} cannot be loaded ({reason}); copy the folder again") from fault
        pipeline.set_progress_bar_config(disable=True)
        return cls(pipeline.to(device, dtype), f"{folder.name} ({type(pipeline).__name__})", read_licence(folder))

    def native_size(self, height: int, width: int) -> tuple[int, int] | None:
        """The model's own area in the shape of ``height`` x ``width``; ``None`` if the model does not say."""
        core = getattr(self.pipeline, "unet", None) or getattr(self.pipeline, "transformer", None)
        side, factor = getattr(getattr(core, "config", None), "sample_size", None), self._pixels_per_cell()
        if not isinstance(side, int) or factor is None:
            return None
        stretch = math.sqrt(width / height)
        sides = (side * factor / stretch, side * factor * stretch)
        rows, columns = (max(SIZE_MULTIPLE, round(s / SIZE_MULTIPLE) * SIZE_MULTIPLE) for s in sides)
        return rows, columns

    def _pixels_per_cell(self) -> int | None:
        factor = getattr(self.pipeline, "vae_scale_factor", None)
        return factor if isinstance(factor, int) else None

    @torch.no_grad()
    def draw(
        self,
        prompt: str,
        seeds: Sequence[int],
        size: tuple[int, int],
        negative: str | None = None,
        guidance: float | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> list[Tensor]:
        """One picture per seed, each [3, h, w] float 0…1 in the model's own size.

        Args:
            prompt: passed on as it is.
            seeds: of the noise, drawn on the CPU.
            size: height and width whose shape is wanted.
            negative, guidance: passed on where the model takes them; ``None`` leaves them to the model.
            on_step: called with (picture index, step index) where the model reports its steps.

        Raises:
            InputError: the model refuses its arguments, or returns no pictures.
        """
        wanted: dict[str, Any] = {"negative_prompt": negative, "guidance_scale": guidance}
        native = self.native_size(*size)
        if native is not None:
            wanted |= {"height": native[0], "width": native[1]}
        given = {name: value for name, value in wanted.items() if value is not None and name in self._takes}
        pictures = []
        for index, seed in enumerate(seeds):
            if on_step is not None and "callback_on_step_end" in self._takes:
                given["callback_on_step_end"] = _reporter(index, on_step)
            generator = torch.Generator().manual_seed(seed)
            try:
                result = self.pipeline(prompt=prompt, generator=generator, output_type="np", **given)
            except (ValueError, TypeError) as fault:
                reason = " ".join(str(fault).split())[:200]
                raise InputError(f"image model {self.name} cannot draw ({reason}); give another pipeline") from fault
            images = getattr(result, "images", None)
            if images is None or len(images) == 0:
                raise InputError(f"image model {self.name} returned no picture; give a text-to-image pipeline")
            pixels = torch.from_numpy(np.asarray(images[0], np.float32)).permute(2, 0, 1)
            pictures.append(pixels.nan_to_num().clamp(0, 1))
        return pictures


def require_image_model(folder: Path) -> None:
    """Refuse what cannot be a pipeline folder, without loading it.

    Raises:
        InputError: no such folder, no index in it, or ``transformers`` is not installed.
    """
    if not folder.is_dir():
        raise InputError(f"image model {folder} is not a folder; give one that diffusers' save_pretrained wrote")
    if not (folder / INDEX).is_file():
        raise InputError(f"image model {folder} has no {INDEX}; give the folder of a whole diffusers pipeline")
    if find_spec("transformers") is None:
        raise InputError("an image model needs the package transformers; pip install 'lyra-scenes[image-model]'")


def read_licence(folder: Path) -> str:
    """The licence that the folder's README states in its front matter, or its LICENSE file begins with."""
    readme = folder / "README.md"
    if readme.is_file():
        parts = readme.read_text(encoding="utf-8", errors="replace").split("---")
        stated = _LICENCE_LINE.findall(parts[1]) if len(parts) >= 3 and not parts[0].strip() else []
        if stated:
            return str(stated[-1]).strip().strip("'\"")
    for file in sorted(folder.glob("LICEN[SC]E*")):
        lines = [line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
        if any(lines):
            return next(line for line in lines if line)[:100]
    return UNSTATED


def _reporter(index: int, on_step: Callable[[int, int], None]) -> Callable[..., dict[str, Any]]:
    """A callback of the kind that diffusers calls after each step."""

    def report(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(index, step)
        return tensors

    return report
