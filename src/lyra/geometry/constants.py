"""The depth range of a scene whose source view has median depth 1, and when two cameras count as one."""

FAR_DEPTH = 30.0
"""Depth given to the sky and to everything beyond it."""

NEAR_DEPTH = 0.05
"""Nearest depth a scene may hold."""

SAME_POSE = 1e-3
"""Cameras whose c2w differ by no more in any number look from one place: nothing is seen that the other hides."""
