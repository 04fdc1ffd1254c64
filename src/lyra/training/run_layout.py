"""Names inside the folder of a run."""

LOG = "log.jsonl"
STAGES = "stages"
"""Holds the networks that the stages of a recipe ended with, a folder each."""
TENSORBOARD = "tensorboard"
