"""Many pictures, one store: the pipeline up to latents, in a loop that may be killed and goes on where it was."""

from lyra.synthesis.jobs import Job, SynthesisOptions, parse_part, photo_jobs, prompt_jobs, world_jobs
from lyra.synthesis.maker import Outcome, RecordMaker
from lyra.synthesis.run import Synthesis

__all__ = [
    "Job",
    "Outcome",
    "RecordMaker",
    "Synthesis",
    "SynthesisOptions",
    "parse_part",
    "photo_jobs",
    "prompt_jobs",
    "world_jobs",
]
