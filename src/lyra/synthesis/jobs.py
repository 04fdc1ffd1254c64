"""What is to be made: one job for each record, with a name that the work itself decides."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lyra.data import safe_name
from lyra.io.files import reason
from lyra.results import GenerateOptions
from lyra.stages import require_plannable
from lyra.structures import InputError

PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".tga", ".avif", ".jp2", ".mpo"),
)
_LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class SynthesisOptions:
    """How records are made.

    Attributes:
        trajectories: subset of the six names, ``None`` for all.
        strength: factor on every movement distance.
        seed: of the movement distances and the teacher's noise; world i is made and imagined with ``seed`` + i.
        steps: denoising steps, ``None`` for the teacher's own number.
        rgb: keep the clips as pictures too.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        textures: texture pack of the worlds, ``None`` as in `lyra.worlds.load_textures`.
    """

    trajectories: tuple[str, ...] | None = None
    strength: float = 1.0
    seed: int = 0
    steps: int | None = None
    rgb: bool = False
    device: str = "auto"
    textures: Path | None = None

    def __post_init__(self) -> None:
        self.generate(self.seed)
        require_plannable(self.trajectories, self.strength)

    def generate(self, seed: int) -> GenerateOptions:
        """The options of the pipeline for one record."""
        return GenerateOptions(
            seed=seed, steps=self.steps, trajectories=self.trajectories, strength=self.strength, device=self.device
        )

    def as_record(self) -> dict[str, Any]:
        """What the manifest says; folders are left out, they mean nothing elsewhere."""
        return {
            "trajectories": self.trajectories,
            "strength": self.strength,
            "seed": self.seed,
            "steps": self.steps,
            "rgb": self.rgb,
        }


@dataclass(frozen=True)
class Job:
    """One record to make.

    Attributes:
        key: its name in the store, which depends on the picture and on everything that shapes the latents.
        source: what the picture is called.
        seed: of movement distances and noise.
        photo: the picture's file; or
        world: the seed of the world to film; or
        prompt: what the first picture is to show.
    """

    key: str
    source: str
    seed: int
    photo: Path | None = None
    world: int | None = None
    prompt: str | None = None

    def belongs_to(self, part: int, parts: int) -> bool:
        """Whether the work falls to part ``part`` (0 …) of ``parts``; every machine says the same."""
        return int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:8]) % parts == part


def photo_jobs(folder: Path, options: SynthesisOptions) -> list[Job]:
    """A job for each picture in a folder and the folders in it, in the order of their paths.

    Raises:
        InputError: no such folder, or no picture in it.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"photos {folder} {what}; give a folder of pictures")
    files = [path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file()]
    if not files:
        raise InputError(f"photos {folder} holds no picture; give a folder of JPEG, PNG or WebP files")
    jobs: dict[str, Job] = {}
    for file in sorted(files):
        try:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"photo {file} cannot be read ({reason(error)}); change its permissions") from error
        job = Job(_key(file.stem, content, options.seed, options), file.name, options.seed, photo=file)
        jobs.setdefault(job.key, job)  # the same picture under the same name twice is one job
    return list(jobs.values())


def world_jobs(count: int, options: SynthesisOptions) -> list[Job]:
    """A job for each of ``count`` procedural worlds.

    Raises:
        InputError: a count or a seed that is out of range.
    """
    if count < 1:
        raise InputError(f"worlds {count} is less than 1; give the number of worlds to film")
    if options.seed + count - 1 > _LARGEST_SEED:
        raise InputError(f"seed {options.seed} leaves no room for {count} worlds; choose a smaller one")
    seeds = range(options.seed, options.seed + count)
    return [Job(_key(f"world-{seed}", "world", seed, options), f"world {seed}", seed, world=seed) for seed in seeds]


def prompt_jobs(file: Path, options: SynthesisOptions) -> list[Job]:
    """A job for each line of a text file; empty lines and those that begin with # are left out.

    Raises:
        InputError: no such file, not UTF-8 text, or no prompt in it.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        said = reason(error) if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(
            f"prompts {file} cannot be read ({said}); give a text file with a prompt on each line"
        ) from error
    prompts = dict.fromkeys(line for line in lines if line and not line.startswith("#"))
    if not prompts:
        raise InputError(f"prompts {file} holds no prompt; write one on each line")
    return [Job(_key(prompt, f"prompt: {prompt}", options.seed, options), prompt, options.seed, prompt=prompt)
            for prompt in prompts]  # fmt: skip


def parse_part(text: str) -> tuple[int, int]:
    """``I/N`` as (I - 1, N).

    Raises:
        InputError: another form, or I outside 1 … N.
    """
    first, slash, last = text.partition("/")
    if not (slash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise InputError(f"part '{text}' should be such as 1/4, 2/4, 3/4 or 4/4; give every machine another one")
    return int(first) - 1, int(last)


def _key(name: str, picture: str, seed: int, options: SynthesisOptions) -> str:
    shaping: Sequence[object] = (picture, seed, options.trajectories, options.strength, options.steps)
    return f"{safe_name(name, 36)}-{hashlib.sha256(json.dumps(shaping).encode()).hexdigest()[:10]}"
