"""Comparisons that train and score: ablations of the decoder, and one forward pass against optimisation per scene."""
