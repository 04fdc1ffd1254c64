"""What a caller may choose about a video."""

import math
from dataclasses import dataclass
from typing import Literal

from lyra.stages import PerceiveConfig, RecolorConfig, RefineConfig, ThinConfig, require_plannable
from lyra.structures import InputError

CAMERA_WORDS = ("auto", "static", "colmap")
"""Ways to find the cameras; anything else names a file or folder of them."""
USUAL_TIMES = 17
"""Sets of Gaussians where no number is asked for."""


@dataclass(frozen=True)
class VideoOptions:
    """What a caller may choose.

    Attributes:
        start: seconds from the beginning of the video.
        frames: pictures to take, ``None`` for 17 or all of a shorter video.
        stride: take one picture of so many, ``None`` aims at 12 a second.
        cameras: ``auto``, ``static``, ``colmap``, or a file or folder of cameras.
        times: ``all``, a number of times spread evenly, or seconds separated by commas; ``None`` for at most 17.
        fps: of the previews, ``None`` for that of the pictures.
        seed, steps, trajectories, strength, fov, device, fit, recolor, gaussians, exact: as for a photo; the number of
            Gaussians is that of each time.
        refine: steps at each time, ``None`` for none: what stands still flickers more with every one of them.
        moment_cover: whether gaps are looked for at every time, not only where the cameras are farthest.
    """

    start: float = 0.0
    frames: int | None = None
    stride: int | None = None
    cameras: str = "auto"
    times: str | None = None
    fps: float | None = None
    seed: int = 0
    steps: int | None = None
    trajectories: tuple[str, ...] | None = None
    strength: float = 1.0
    fov: float | None = None
    device: str = "auto"
    fit: Literal["crop", "pad"] = "crop"
    refine: int | None = None
    recolor: int | None = None
    gaussians: int | None = None
    exact: bool = False
    moment_cover: bool = True

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= 200:
            raise InputError(f"steps {self.steps} is outside 1…200; leave it out for the network's own number")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed {self.seed} is outside 0…{2**31 - 1}; give a whole number in between")
        if self.fps is not None and not 1 <= self.fps <= 240:
            raise InputError(f"fps {self.fps:g} is outside 1…240; leave it out for the rate of the pictures")
        RefineConfig(self.refine or 0)
        RecolorConfig(self.recolor or 0)
        ThinConfig(self.gaussians or 0)
        PerceiveConfig(self.fov)
        require_plannable(self.trajectories, self.strength)
        self._parsed()

    def _parsed(self) -> int | tuple[float, ...] | None:
        """A number of times, or seconds; ``None`` for all."""
        if self.times is None:
            return USUAL_TIMES
        if self.times == "all":
            return None
        words = [word.strip() for word in self.times.split(",")]
        try:
            if len(words) == 1 and "." not in words[0]:
                number = int(words[0])
                if number >= 1:
                    return number
            else:
                seconds = tuple(float(word) for word in words)
                if all(math.isfinite(second) and second >= 0 for second in seconds):
                    return seconds
        except ValueError:
            pass
        raise InputError(f"times '{self.times}' should be a number, all, or seconds such as 0,0.5,1.0")

    def moments(self, times: tuple[float, ...]) -> tuple[int, ...]:
        """Numbers of the frames that get a set of Gaussians; ``times`` are the seconds of all, the first one 0.

        Raises:
            InputError: seconds that lie behind the last frame.
        """
        wanted = self._parsed()
        last = len(times) - 1
        if wanted is None:
            return tuple(range(len(times)))
        if isinstance(wanted, int):
            count = min(wanted, len(times))
            if count == 1:
                return (last // 2,)
            return tuple(sorted({round(i * last / (count - 1)) for i in range(count)}))
        room = times[-1] + (times[-1] - times[-2])
        if max(wanted) > room:
            raise InputError(
                f"time {max(wanted):g} s lies behind the {times[-1]:.2f} s that were taken of the video; "
                "lower --times, or take more with --frames"
            )
        return tuple(sorted({min(range(len(times)), key=lambda i: abs(times[i] - second)) for second in wanted}))
