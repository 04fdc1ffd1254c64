"""A range of a video as pictures for the networks: only that range is decoded, and one picture at a time is large."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from lyra.io.files import reason, require_file
from lyra.io.hdr import HLG, PQ, tone_mapped
from lyra.io.images import LARGEST_ASPECT, SMALLEST_SIDE, fit_photo
from lyra.structures import Frames, InputError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".3gp", ".gifv"})
_USUAL_RATE = 12.0
"""Pictures a second that the automatic stride aims at."""
_LARGEST_DECODED = 1280
"""Decoded pictures are reduced to so many pixels on the longer side before anything else is done with them."""
_REORDERED = 64
"""Packets read beyond the last one needed: those of later pictures may come first."""
_ASSUMED_RATE = 24.0
_LONGEST = 20_000


@dataclass(frozen=True)
class ClipPlan:
    """Which pictures of a video are taken.

    Attributes:
        path: the file.
        times: seconds from the first picture of the file, one for each picture that is taken; where the frame rate
            varies, a picture that is shown for long may be taken twice.
        numbers: of these pictures in the file, from 0.
        rate: pictures a second as they are taken.
        stride: of so many pictures of the file one is taken.
        width, height: of an upright picture in pixels.
        origin: what the clock of the file shows at its first picture, seconds; None where it has no clock.
        notices: sentences about what was assumed.
    """

    path: Path
    times: tuple[float, ...]
    numbers: tuple[int, ...]
    rate: float
    stride: int
    width: int
    height: int
    origin: float | None
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class ClipFrames:
    """Decoded pictures.

    Attributes:
        frames: [T, 3, H, W] upright, fitted to the size that was asked for.
        decoded: pictures that the decoder had to make for that.
        notices: sentences about what was changed or left out.
    """

    frames: Frames
    decoded: int
    notices: tuple[str, ...]


def is_video(path: Path | str) -> bool:
    """Whether the name is that of a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def plan_clip(
    path: Path | str, start: float = 0.0, frames: int | None = None, stride: int | None = None, usual: int = 17
) -> ClipPlan:
    """Choose pictures without decoding more than one.

    Args:
        path: the video.
        start: seconds from its beginning.
        frames: how many pictures to take; None takes ``usual`` or, where the video has fewer, all.
        stride: take one of so many; None aims at 12 pictures a second, and at fewer left out where the video is short.
        usual: number of pictures where none is asked for.

    Raises:
        InputError: no video, without pictures, with one picture only, or shorter than asked for.
    """
    path = require_file(path, "video")
    if not (math.isfinite(start) and start >= 0):
        raise InputError(f"video {path}: start {start:g} s should be 0 or more")
    if frames is not None and not 2 <= frames <= _LONGEST:
        raise InputError(f"video {path}: {frames} frames are outside 2…{_LONGEST}; a moving scene needs at least two")
    if stride is not None and not 1 <= stride <= 1000:
        raise InputError(f"video {path}: stride {stride} is outside 1…1000")
    notices: list[str] = []
    with _opened(path) as container:
        stream = _pictures(container, path)
        first = next(_decoded(container, stream, []), None)
        if first is None:
            raise InputError(f"video {path} has no picture that can be decoded; fetch or export it again")
        height, width = _shape(first, stream)
        _check_shape(path, width, height)
    with _opened(path) as container:
        stream = _pictures(container, path)
        wanted = usual if frames is None else frames
        stamps, origin = _stamps(container, stream, start, wanted, stride, notices)
    if len(stamps) == 1:
        raise InputError(f"video {path} has one picture only; save it as a .png and give that as a photo")
    step, steady = _step(stamps)
    begin = int(np.searchsorted(stamps, start - step / 4))
    if begin > len(stamps) - 2:
        raise InputError(
            f"video {path} is {stamps[-1] + step:.2f} s long, too little is left after {start:g} s; lower --start"
        )
    left = len(stamps) - begin
    chosen = stride or max(1, round(1 / (_USUAL_RATE * step)))
    if stride is None:
        while chosen > 1 and (wanted - 1) * chosen >= left:
            chosen -= 1
    available = (left - 1) // chosen + 1 if steady else int((stamps[-1] - stamps[begin]) / (step * chosen) + 1e-6) + 1
    if available < 2 or (frames is not None and available < frames):
        raise InputError(
            f"video {path} has {available} frames from {start:g} s on with stride {chosen}, {frames or 2} are asked "
            "for; lower --start, --frames or --stride"
        )
    count = min(wanted, available)
    if steady:
        index = begin + chosen * np.arange(count)
    else:  # what a player shows at even steps of time
        moments = stamps[begin] + step * chosen * np.arange(count)
        index = np.searchsorted(stamps, moments + step / 4, side="right") - 1
        notices.append(f"{path.name} has a varying frame rate; pictures are taken every {step * chosen:.3f} s")
    times, numbers = tuple(float(stamps[i]) for i in index), tuple(int(i) for i in index)
    return ClipPlan(path, times, numbers, 1 / (step * chosen), chosen, width, height, origin, tuple(notices))


def read_clip(
    plan: ClipPlan,
    height: int,
    width: int,
    mode: Literal["crop", "pad"] = "crop",
    first: int = 0,
    count: int | None = None,
) -> ClipFrames:
    """Decode pictures ``first`` … ``first + count - 1`` of a plan, fitted to a grid as `fit_photo` does.

    A picture that cannot be decoded is replaced by the one before it, or after it at the beginning. Transparency is
    blended over white, HDR (PQ, HLG) is brought into sRGB.

    Raises:
        InputError: none of them can be decoded.
    """
    times = plan.times[first : None if count is None else first + count]
    notices: list[str] = []
    found: list[Tensor | None] = [None] * len(times)
    step = 1 / (plan.rate * plan.stride)
    decoded, damaged = 0, [0]
    with _opened(plan.path) as container:
        stream = _pictures(container, plan.path)
        origin = plan.origin
        if origin is not None and stream.start_time is not None:
            _seek(container, stream, times[0] + origin)
        for index, frame in enumerate(_decoded(container, stream, damaged)):
            decoded += 1
            clock = frame.time if frame.time is not None else index / _ASSUMED_RATE
            origin = clock if origin is None else origin  # such files are read from their beginning
            moment = clock - origin
            hits = [i for i, time in enumerate(times) if abs(time - moment) < step / 2]
            if hits:
                picture = fit_photo(_upright(frame, stream, notices), height, width, mode)[0]
                for i in hits:
                    found[i] = picture
            if moment > times[-1] + step / 2 or (hits and hits[-1] == len(times) - 1):
                break
    missing = sum(picture is None for picture in found)
    if missing == len(found):
        raise InputError(f"video {plan.path}: none of the chosen frames can be decoded; fetch or export it again")
    if missing or damaged[0]:
        notices.append(
            f"{plan.path.name} is damaged in part: {max(missing, 1)} of {len(found)} frames show what was shown before"
            if missing
            else f"{plan.path.name} is damaged in part; frames may show traces of it"
        )
    return ClipFrames(Frames(torch.stack(_gapless(found)), plan.rate), decoded, tuple(dict.fromkeys(notices)))


def _gapless(found: list[Tensor | None]) -> list[Tensor]:
    """Every gap filled with the picture before it, those at the beginning with the first that there is."""
    last = next(picture for picture in found if picture is not None)
    pictures = []
    for picture in found:
        last = last if picture is None else picture
        pictures.append(last)
    return pictures


class _opened:
    """A container whose faults are the user's."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> InputContainer:
        try:
            self.container = av.open(str(self.path))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._fault(error) from error
        return self.container

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.container.close()
        if isinstance(error, av.FFmpegError):
            raise self._fault(error) from error

    def _fault(self, error: BaseException) -> InputError:
        return InputError(f"video {self.path} cannot be decoded ({reason(error)}); give an mp4, mov, mkv or webm file")


def _pictures(container: InputContainer, path: Path) -> VideoStream:
    if not container.streams.video:
        raise InputError(f"video {path} has no pictures in it, only sound; give a video file")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def _decoded(container: InputContainer, stream: VideoStream, damaged: list[int]) -> Iterator[VideoFrame]:
    """Pictures in the order of time; packets that cannot be decoded are counted and passed over."""
    for packet in container.demux(stream):
        try:
            frames = list(packet.decode())
        except (av.FFmpegError, ValueError):
            if damaged:
                damaged[0] += 1
            continue
        for frame in frames:
            if isinstance(frame, VideoFrame):
                if damaged and frame.is_corrupt:
                    damaged[0] += 1
                yield frame


def _stamps(
    container: InputContainer,
    stream: VideoStream,
    start: float,
    wanted: int,
    stride: int | None,
    notices: list[str],
) -> tuple[np.ndarray, float | None]:
    """Rising seconds, from 0 on, of the pictures up to the end of what is wanted, and the clock of the first one.

    Nothing is decoded.
    """
    base = float(stream.time_base or 1 / 90_000)
    stamps: list[float] = []
    unknown = 0
    span = math.inf
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            unknown += 1
            stamps.append(len(stamps) / _ASSUMED_RATE)
        else:
            stamps.append(float(stamp) * base)
        if len(stamps) == _REORDERED:
            usual = max(np.diff(np.sort(stamps)).mean(), 1e-4)
            reach = stride or max(1, round(1 / (_USUAL_RATE * usual)))
            span = start + (wanted * reach + 2 * _REORDERED) * usual * 1.5
        if stamps[-1] - stamps[0] > span:
            break
    if unknown:
        notices.append(f"the file tells no times of its frames; {_ASSUMED_RATE:g} a second are assumed")
    found = np.unique(np.array(stamps)) if stamps else np.zeros(0)
    if len(found) == 0:
        return found, None
    return found - found[0], None if unknown else float(found[0])


def _step(stamps: np.ndarray) -> tuple[float, bool]:
    """Seconds between pictures, and whether they are even."""
    mean = float(stamps[-1] - stamps[0]) / (len(stamps) - 1)
    even = stamps[0] + mean * np.arange(len(stamps))
    if np.abs(stamps - even).max() < 0.6 * mean:
        return mean, True
    return float(np.median(np.diff(stamps))), False


def _seek(container: InputContainer, stream: VideoStream, seconds: float) -> None:
    """To the last whole picture before ``seconds``; containers that cannot do that are read from the start."""
    if stream.time_base is None or seconds <= 0:
        return
    try:
        container.seek(int(seconds / stream.time_base), stream=stream, backward=True)
    except av.FFmpegError:
        container.seek(0)


def _shape(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Height and width of the upright picture, pixels square."""
    width, height = frame.width, frame.height
    ratio = stream.sample_aspect_ratio
    if ratio and ratio > 0:
        width = max(1, round(width * float(ratio)))
    return (width, height) if round(frame.rotation / 90) % 2 else (height, width)


def _check_shape(path: Path, width: int, height: int) -> None:
    if min(width, height) < SMALLEST_SIDE:
        raise InputError(f"video {path} is only {width} x {height} pixels; at least {SMALLEST_SIDE} are needed")
    if max(width, height) > LARGEST_ASPECT * min(width, height):
        raise InputError(f"video {path} is {width} x {height} pixels, too long; crop it to {LARGEST_ASPECT:g} : 1")


def _upright(frame: VideoFrame, stream: VideoStream, notices: list[str]) -> Tensor:
    """[3, H, W] 0…1 of a decoded picture, turned as the display matrix says (degrees counter-clockwise)."""
    turns = round(frame.rotation / 90) % 4
    height, width = _shape(frame, stream)
    if turns % 2:
        height, width = width, height
    scale = min(1.0, _LARGEST_DECODED / max(height, width))
    if scale < 1:
        notices.append(f"frames of {frame.width} x {frame.height} pixels were reduced while they were read")
    transparent = any(component.is_alpha for component in frame.format.components)
    high = frame.color_trc in (PQ, HLG)
    layout = "rgba" if transparent else "rgb48le" if high else "rgb24"
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    picture = frame.reformat(width=size[0], height=size[1], format=layout, interpolation="AREA").to_ndarray()
    pixels = torch.from_numpy(np.rot90(picture, turns).astype(np.float32)).permute(2, 0, 1)
    pixels = pixels / (65535 if high and not transparent else 255)
    if transparent:
        alpha = pixels[3:]
        if bool((alpha < 1).any()):
            notices.append("transparent parts were blended over white")
        return pixels[:3] * alpha + (1 - alpha)
    if high:
        notices.append("HDR colours were brought into the range of a screen")
        return tone_mapped(pixels, int(frame.color_trc))
    return pixels.contiguous()
