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

    @property
    def middle_and_last(self) -> tuple[int, ...]:
        """Numbers of the two frames that stand for the path; of a path of one frame, that one."""
        last = len(self.cameras) - 1
        return (last // 2, last) if last else (0,)

    def to(self, device: torch.device | str) -> "Trajectory":
        return replace(self, cameras=self.cameras.to(device))
