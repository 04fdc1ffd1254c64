"""A named camera path."""

from dataclasses import dataclass, replace

import torch

from lyra.structures.cameras import Cameras


@dataclass(frozen=True)
class Trajectory:
    """Cameras along one path; frame 0 stands at the source camera.

    Attributes:
        name: such as ``left`` or ``zoom_in``.
        cameras: T cameras.
        strength: movement distance in units of the centre depth, ``None`` for a path from a file.
    """

    name: str
    cameras: Cameras
    strength: float | None = None

    def to(self, device: torch.device | str) -> "Trajectory":
        return replace(self, cameras=self.cameras.to(device))
