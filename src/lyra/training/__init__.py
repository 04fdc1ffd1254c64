"""Training of the four networks, one command per task."""

from lyra.training.options import TrainOptions
from lyra.training.train import train

__all__ = ["TrainOptions", "train"]
