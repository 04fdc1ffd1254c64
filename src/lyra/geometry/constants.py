"""The depth range of a scene whose source view has median depth 1."""

FAR_DEPTH = 30.0
"""Depth given to the sky and to everything beyond it."""

NEAR_DEPTH = 0.05
"""Nearest depth a scene may hold."""
