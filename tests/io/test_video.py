import av
import numpy as np
import pytest
import torch

from lyra.io import read_video, video, write_video
from lyra.structures import InputError


def clip(frames: int = 9, height: int = 48, width: int = 64) -> torch.Tensor:
    """A bright square that moves right by four pixels per frame over a ramp."""
    rgb = torch.linspace(0.1, 0.6, width).expand(frames, 3, height, width).clone()
    for t in range(frames):
        rgb[t, :, 16:32, 4 * t : 4 * t + 16] = torch.tensor([0.9, 0.3, 0.2])[:, None, None]
    return rgb


def test_what_was_written_is_read_back_closely(tmp_path):
    write_video(tmp_path / "new" / "clip.mp4", clip(), 12.5)
    frames = read_video(tmp_path / "new" / "clip.mp4")
    assert frames.rgb.shape == (9, 3, 48, 64)
    assert frames.fps == pytest.approx(12.5)
    assert (frames.rgb - clip()).abs().mean() < 0.02
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["clip.mp4"]
    with av.open(str(tmp_path / "new" / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


def test_start_stride_and_count_choose_frames(tmp_path):
    write_video(tmp_path / "clip.mp4", clip(), 24)
    everything = read_video(tmp_path / "clip.mp4").rgb
    some = read_video(tmp_path / "clip.mp4", start=1, frames=3, stride=3)
    assert torch.equal(some.rgb, everything[[1, 4, 7]])
    assert some.fps == pytest.approx(8)
    assert torch.equal(read_video(tmp_path / "clip.mp4", start=6).rgb, everything[6:])


def test_odd_sizes_grow_by_one_repeated_line(tmp_path):
    write_video(tmp_path / "odd.mp4", clip(3, 47, 63), 10)
    rgb = read_video(tmp_path / "odd.mp4").rgb
    assert rgb.shape == (3, 3, 48, 64)
    assert (rgb[:, :, :47, :63] - clip(3, 47, 63)).abs().mean() < 0.02


def test_without_h264_mpeg4_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "_ENCODERS", (("no_such_encoder", {}), *video._ENCODERS[1:]))
    write_video(tmp_path / "clip.mp4", clip(), 24)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert (read_video(tmp_path / "clip.mp4").rgb - clip()).abs().mean() < 0.03


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_the_display_matrix_of_phones_is_applied(monkeypatch, quarter_turns):
    class Turned:
        rotation = 90 * quarter_turns

        def to_ndarray(self, format):
            return np.arange(6 * 3).reshape(2, 3, 3).astype(np.uint8)

    expected = np.rot90(Turned().to_ndarray("rgb24"), quarter_turns)
    np.testing.assert_array_equal(video._upright(Turned()), expected)


def test_bad_videos_are_refused(tmp_path):
    write_video(tmp_path / "clip.mp4", clip(), 24)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no pictures in here " * 50)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes()[:300])
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    cases = {
        "nothing.mp4": "does not exist",
        "empty.mp4": "is empty",
        "text.mp4": "cannot be decoded",
        "cut.mp4": "cannot be decoded",
        "sound.wav": "no pictures",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words) as caught:
            read_video(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="has 9 frames, 17 are needed"):
        read_video(tmp_path / "clip.mp4", frames=17)
    with pytest.raises(InputError, match="has 9 frames, 41 are needed"):
        read_video(tmp_path / "clip.mp4", start=40)
    with pytest.raises(InputError, match="stride"):
        read_video(tmp_path / "clip.mp4", stride=0)


def test_videos_too_long_for_memory_are_refused(tmp_path, monkeypatch):
    write_video(tmp_path / "clip.mp4", clip(), 24)
    monkeypatch.setattr(video, "_MOST_VALUES", 5 * 48 * 64 * 3)
    with pytest.raises(InputError, match="too long for memory"):
        read_video(tmp_path / "clip.mp4")
    assert len(read_video(tmp_path / "clip.mp4", frames=5)) == 5


def test_places_that_cannot_be_written_are_refused_and_left_clean(tmp_path):
    with pytest.raises(InputError, match="cannot write video"):
        write_video(tmp_path / "clip.words", clip(), 24)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write video"):
        write_video(tmp_path / "file" / "clip.mp4", clip(), 24)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    with pytest.raises(ValueError, match="expected shape"):
        write_video(tmp_path / "clip.mp4", clip()[0], 24)
    with pytest.raises(ValueError, match="fps"):
        write_video(tmp_path / "clip.mp4", clip(), 0)
