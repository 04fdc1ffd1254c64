"""How a clip is cut into pieces, and which of its times get Gaussians."""

import pytest

from lyra.structures import InputError
from lyra.video import VideoOptions, plan_chunks


@pytest.mark.parametrize("frames", [1, 2, 16, 17, 18, 30, 31, 100, 1000])
def test_chunks_cover_every_frame_once_and_share_the_rest(frames):
    chunks = plan_chunks(frames)
    assert [frame for chunk in chunks for frame in chunk.own] == list(range(frames))
    assert chunks[0].first == 0 and chunks[0].shared == 0 and chunks[0].count == min(frames, 17)
    for before, after in zip(chunks, chunks[1:], strict=False):
        assert after.count == 17 and after.shared >= 4
        assert after.first + after.shared == before.first + before.count
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert len(chunks) <= 1 + frames / 12


def test_times_by_number_by_second_and_all():
    seconds = tuple(index / 10 for index in range(31))

    def moments(times: str | None) -> tuple[int, ...]:
        return VideoOptions(times=times).moments(seconds)

    assert moments("3") == (0, 15, 30) and moments("1") == (15,) and moments("all") == tuple(range(31))
    assert len(moments(None)) == 17 and moments(None)[0] == 0 and moments(None)[-1] == 30
    assert moments("0.52, 0,3.0") == (0, 5, 30) and moments("0.31,0.34") == (3,)
    with pytest.raises(InputError, match=r"time 9 s lies behind the 3.00 s"):
        moments("0,9")
    assert VideoOptions(times="5").moments((0.0, 0.1)) == (0, 1)
    for words in ("0", "-1", "soon", "1,x", "nan,1", "-0.5,1"):
        with pytest.raises(InputError, match="times"):
            VideoOptions(times=words)


@pytest.mark.parametrize(
    "choice", [{"fps": 0}, {"fps": 1000}, {"steps": 0}, {"seed": -1}, {"strength": 9}, {"fov": 200}, {"recolor": -1},
               {"gaussians": -1}, {"trajectories": ("sideways",)}]
)  # fmt: skip
def test_choices_out_of_range(choice):
    with pytest.raises(InputError):
        VideoOptions(**choice)
