"""Video files, through PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.codec import Codec
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor
from torch.nn import functional as F

from lyra.io.files import reason, replacing, require_file
from lyra.structures import Frames, InputError

_MOST_VALUES = 1 << 30
_ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"crf": "16", "preset": "medium"}),
    ("mpeg4", {"qscale": "2"}),
)


def write_video(path: Path | str, rgb: Tensor, fps: float) -> None:
    """Write H.264 in yuv420p, or MPEG-4 part 2 where this PyAV has no H.264 encoder.

    Args:
        path: target, usually ``.mp4``; an existing file is replaced once the new one is complete.
        rgb: [T, 3, H, W] float 0…1 (clamped) or uint8; an odd height or width grows by one repeated row or column.
        fps: frames per second.

    Raises:
        InputError: the suffix names no container or the place cannot be written.
        ValueError: another shape, no frames, or a frame rate that is not positive.
    """
    if rgb.dim() != 4 or rgb.shape[1] != 3 or len(rgb) == 0:
        raise ValueError(f"write_video: expected shape [T 3 H W] with T at least 1, got {list(rgb.shape)}")
    if not fps > 0:
        raise ValueError(f"write_video: fps should be above 0, got {fps}")
    name, options = next((name, options) for name, options in _ENCODERS if _can_encode(name))
    height, width = rgb.shape[2] + rgb.shape[2] % 2, rgb.shape[3] + rgb.shape[3] % 2
    try:
        with replacing(path, "video") as temporary, av.open(str(temporary), "w") as container:
            stream = container.add_stream(name, rate=Fraction(fps).limit_denominator(1001), options=options)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for picture in rgb:
                for packet in stream.encode(VideoFrame.from_ndarray(_pixels(picture, height, width), format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot write video {path} ({reason(error)}); use a name ending in .mp4") from error


def _can_encode(name: str) -> bool:
    try:
        return Codec(name, "w").is_encoder
    except av.codec.codec.UnknownCodecError:
        return False


def _pixels(picture: Tensor, height: int, width: int) -> np.ndarray:
    """[height, width, 3] uint8 of one [3, H, W] picture."""
    values = picture.detach().float()
    if picture.is_floating_point():
        values = (values.clamp(0, 1) * 255).round()
    values = F.pad(values[None], (0, width - picture.shape[2], 0, height - picture.shape[1]), mode="replicate")[0]
    return values.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def read_video(path: Path | str, start: int = 0, frames: int | None = None, stride: int = 1) -> Frames:
    """Read frames ``start``, ``start + stride``, … of the first video stream, upright.

    Args:
        path: the file.
        start: first frame.
        frames: how many to read; None reads to the end.
        stride: step between frames.

    Returns:
        Frames at the frame rate of the file divided by ``stride``.

    Raises:
        InputError: missing, a folder, empty, not a video, damaged, too short, or too much for memory.
    """
    path = require_file(path, "video")
    if start < 0 or stride < 1 or (frames is not None and frames < 1):
        raise InputError(f"video {path}: start must be at least 0, stride and frames at least 1")
    wanted = None if frames is None else start + (frames - 1) * stride
    pictures: list[np.ndarray] = []
    seen = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"video {path} has no pictures in it; give a video file")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate or stream.guessed_rate or 24)
            for index, frame in enumerate(container.decode(stream)):
                seen = index + 1
                if index >= start and (index - start) % stride == 0:
                    pictures.append(_upright(frame))
                    if len(pictures) * pictures[0].size > _MOST_VALUES:
                        raise InputError(f"video {path} is too long for memory; read fewer frames or a larger stride")
                if wanted is not None and index >= wanted:
                    break
    except InputError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"video {path} cannot be decoded ({reason(error)}); give an mp4, mov or webm file") from error
    if not pictures or (frames is not None and len(pictures) < frames):
        needed = f"{start + 1 if wanted is None else wanted + 1}"
        raise InputError(f"video {path} has {seen} frames, {needed} are needed; lower start, frames or stride")
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(255)
    return Frames(stacked.contiguous(), rate / stride)


def _upright(frame: VideoFrame) -> np.ndarray:
    """[H, W, 3] uint8, turned as the display matrix says (degrees counter-clockwise)."""
    return np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
