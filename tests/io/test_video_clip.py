"""Videos as people have them: any rate, turned, cut, damaged, huge, long; only the chosen range is decoded."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame

from lyra.io import write_video
from lyra.io.hdr import HLG, PQ, tone_mapped
from lyra.io.video_clip import is_video, plan_clip, read_clip
from lyra.structures import InputError


def level(frame: int) -> float:
    """Brightness that tells which frame it is."""
    return 0.1 + 0.02 * (frame % 40)


def shades(count: int, height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.stack([torch.full((3, height, width), level(frame)) for frame in range(count)])


def encode(
    path: Path,
    stamps: list[int],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    base: int = 1000,
    source: str = "rgb24",
    size: tuple[int, int] = (48, 64),
    **options: str,
) -> Path:
    """A video whose frames have the given time stamps in 1 / ``base`` s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(base), options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, base)
        channels = 4 if source == "rgba" else 3
        for number, stamp in enumerate(stamps):
            values = np.full((*size, channels), round(level(number) * 255), np.uint8)
            if channels == 4:
                values[..., 3] = 255
                values[:, : size[1] // 2, 3] = 0
            frame = VideoFrame.from_ndarray(values, format=source)
            frame.pts, frame.time_base = stamp, Fraction(1, base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def shown(path: Path, **choices: object) -> tuple[list[int], object]:
    """Numbers of the frames that were taken, told by their brightness, and the plan."""
    plan = plan_clip(path, **choices)  # type: ignore[arg-type]
    clip = read_clip(plan, 32, 32)
    values = clip.frames.rgb.mean(dim=(1, 2, 3))
    return [round((float(value) - 0.1) / 0.02) for value in values], plan


def test_names_of_videos():
    assert is_video("a/B.MP4") and is_video(Path("x.webm")) and not is_video("photo.jpg")


def test_start_frames_and_stride_choose_and_the_automatic_choice_aims_at_twelve_a_second(tmp_path):
    write_video(tmp_path / "clip.mp4", shades(40), 24)
    frames, plan = shown(tmp_path / "clip.mp4", start=0.25, frames=4, stride=3)
    assert frames == [6, 9, 12, 15] and plan.rate == pytest.approx(8) and plan.times[0] == pytest.approx(0.25, abs=1e-3)
    frames, plan = shown(tmp_path / "clip.mp4")
    assert frames == list(range(0, 33, 2)) and plan.stride == 2
    frames, plan = shown(tmp_path / "clip.mp4", start=0.5)
    assert frames == list(range(12, 29)) and plan.stride == 1  # 28 frames are left: no stride of 2 fits 17 into them
    frames, plan = shown(tmp_path / "clip.mp4", start=1.5)
    assert frames == [36, 37, 38, 39]
    assert (plan.height, plan.width) == (48, 64)


def test_a_varying_rate_is_read_as_a_player_shows_it(tmp_path):
    # four frames at 50 ms, one that stays for 400 ms, four more
    stamps = [0, 50, 100, 150, 550, 600, 650, 700, 750]
    encode(tmp_path / "phone.mp4", stamps)
    frames, plan = shown(tmp_path / "phone.mp4", stride=2)
    assert frames == [0, 2, 3, 3, 3, 3, 5, 7], "every 100 ms; the fourth picture is shown from 150 to 550 ms"
    assert plan.rate == pytest.approx(10) and "varying frame rate" in plan.notices[0]


def test_only_the_chosen_range_of_ten_minutes_is_decoded(tmp_path):
    encode(tmp_path / "long.mp4", [100 * n for n in range(6000)], size=(16, 32), g="20", preset="ultrafast")
    plan = plan_clip(tmp_path / "long.mp4", start=300.0, frames=5, stride=2)
    clip = read_clip(plan, 32, 32)
    assert plan.times == pytest.approx([300.0, 300.2, 300.4, 300.6, 300.8], abs=1e-3)
    assert clip.decoded < 60
    assert [round((float(v) - 0.1) / 0.02) for v in clip.frames.rgb.mean(dim=(1, 2, 3))] == [0, 2, 4, 6, 8]
    later = read_clip(plan, 32, 32, first=3, count=2)
    assert torch.equal(later.frames.rgb, clip.frames.rgb[3:])


def test_short_files_are_refused_or_taken_whole(tmp_path):
    write_video(tmp_path / "one.mp4", shades(1), 24)
    with pytest.raises(InputError, match="one picture only; save it as"):
        plan_clip(tmp_path / "one.mp4")
    write_video(tmp_path / "two.mp4", shades(2), 24)
    assert shown(tmp_path / "two.mp4")[0] == [0, 1]
    with pytest.raises(InputError, match="2 frames from 0 s on with stride 1, 17 are asked"):
        plan_clip(tmp_path / "two.mp4", frames=17)
    with pytest.raises(InputError, match="lower --start"):
        plan_clip(tmp_path / "two.mp4", start=3.0)
    for choice in ({"start": -1.0}, {"frames": 1}, {"stride": 0}, {"start": float("nan")}):
        with pytest.raises(InputError):
            plan_clip(tmp_path / "two.mp4", **choice)


def test_what_is_no_video_is_refused(tmp_path):
    with av.open(str(tmp_path / "sound.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(20):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 16000, 1024 * number
            container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="only sound"):
        plan_clip(tmp_path / "sound.m4a")
    (tmp_path / "words.mp4").write_text("not a video at all")
    with pytest.raises(InputError, match="cannot be decoded"):
        plan_clip(tmp_path / "words.mp4")
    with pytest.raises(InputError, match="does not exist"):
        plan_clip(tmp_path / "nothing.mp4")


def test_damage_in_the_middle_costs_the_damaged_frames_only(tmp_path):
    whole = encode(tmp_path / "whole.mov", [40 * n for n in range(30)], codec="png", pix_fmt="rgb24")
    data = bytearray(whole.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"IHDR"]
    data[starts[10] - 8 : starts[10] + 24] = bytes(32)
    (tmp_path / "cut.mov").write_bytes(data)
    plan = plan_clip(tmp_path / "cut.mov", frames=17, stride=1)
    clip = read_clip(plan, 32, 32)
    numbers = [round((float(v) - 0.1) / 0.02) for v in clip.frames.rgb.mean(dim=(1, 2, 3))]
    assert numbers == [*range(10), 9, *range(11, 17)]
    assert "1 of 17 frames show what was shown before" in clip.notices[0]


def test_files_that_state_no_frame_rate(tmp_path):
    path = tmp_path / "raw.h264"
    write_video(tmp_path / "clip.mp4", shades(20), 24)
    with av.open(str(tmp_path / "clip.mp4")) as given, av.open(str(path), "w", format="h264") as bare:
        stream = bare.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                bare.mux(packet)
    frames, plan = shown(path, stride=1)
    assert len(frames) == 17 and frames[0] == 0 and frames == sorted(frames) and plan.rate > 1


def test_huge_frames_are_reduced_on_the_way(tmp_path):
    encode(tmp_path / "huge.mp4", [0, 40, 80], size=(4320, 7680), preset="ultrafast")
    plan = plan_clip(tmp_path / "huge.mp4")
    clip = read_clip(plan, 64, 96)
    assert (plan.width, plan.height) == (7680, 4320) and clip.frames.rgb.shape == (3, 3, 64, 96)
    assert any("7680 x 4320" in words for words in clip.notices)


def test_ten_bits_transparency_and_other_pixel_shapes(tmp_path):
    encode(tmp_path / "ten.mkv", [40 * n for n in range(5)], codec="ffv1", pix_fmt="yuv420p10le")
    assert shown(tmp_path / "ten.mkv")[0] == [0, 1, 2, 3, 4]
    encode(tmp_path / "glass.mov", [40 * n for n in range(5)], codec="qtrle", pix_fmt="argb", source="rgba")
    clip = read_clip(plan_clip(tmp_path / "glass.mov"), 48, 64)
    assert torch.allclose(clip.frames.rgb[:, :, :, :31].mean(), torch.tensor(1.0), atol=0.01)
    assert float(clip.frames.rgb[0, :, :, 34:].mean()) == pytest.approx(level(0), abs=0.01)
    assert clip.notices == ("transparent parts were blended over white",)


def test_upright_videos_of_phones(tmp_path):
    """The display matrix turns the picture: what is stored lying is 64 high and 48 wide, its bright side on top."""
    picture = torch.zeros(6, 3, 48, 64)
    picture[..., :16] = 1
    write_video(tmp_path / "lying.mp4", picture, 24)
    data = (tmp_path / "lying.mp4").read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    unit, turned = 0x00010000, [0, 0x00010000, 0, -0x00010000 & 0xFFFFFFFF, 0, 0, 0, 0, 0x40000000]
    assert int.from_bytes(data[at : at + 4], "big") == unit
    matrix = b"".join(value.to_bytes(4, "big") for value in turned)
    (tmp_path / "phone.mp4").write_bytes(data[:at] + matrix + data[at + 36 :])
    plan = plan_clip(tmp_path / "phone.mp4", stride=1)
    assert (plan.height, plan.width) == (64, 48)
    rgb = read_clip(plan, 64, 48).frames.rgb
    assert float(rgb[:, :, :12].mean()) > 0.9 and float(rgb[:, :, 20:].mean()) < 0.1


@pytest.mark.parametrize(("transfer", "white"), [(PQ, 0.5807), (HLG, 0.75)])
def test_hdr_white_is_nearly_white_and_black_is_black(transfer, white):
    """Codes of diffuse white after ITU-R BT.2408: 58 % in PQ, 75 % in HLG."""
    codes = torch.tensor([0.0, 0.3, white, 0.9, 1.0]).expand(3, 1, -1)
    out = tone_mapped(codes, transfer)[:, 0]
    assert torch.allclose(out[0], out[1], atol=2e-3) and torch.allclose(out[0], out[2], atol=2e-3), "grey stays grey"
    grey = out[0]
    assert float(grey[0]) == pytest.approx(0, abs=1e-3) and 0.9 < float(grey[2]) < 0.96
    assert bool((grey.diff() > 0).all()) and float(grey[-1]) <= 1.0
    with pytest.raises(ValueError, match="neither PQ"):
        tone_mapped(codes, 1)
