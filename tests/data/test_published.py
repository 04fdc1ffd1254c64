"""The published data layout, on a tiny folder written here byte for byte as its description says."""

import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lyra.data import CorruptRecordError, LatentSpace, open_records, read_published, readable_records, write_published
from lyra.data.published import REVERSED_VIEW, PublishedFolder
from lyra.io.exr import write_exr
from lyra.io.video import read_video, write_video
from lyra.metrics import psnr
from lyra.structures import InputError, SceneRecord

T, HEIGHT, WIDTH = 9, 16, 24
NAMES = ("left", "right", "up")
FOUR = np.array([20.0, 21.0, 12.0, 8.0], np.float32)


def make_folder(root: Path) -> Path:
    """Every view and clip has numbers of its own: latents view + clip / 10, poses shifted by view and frame."""
    for view in range(len(NAMES)):
        for number, clip in enumerate(("kitchen", "street")):
            where = root / str(view)
            for kind in ("rgb", "pose", "intrinsics", "latent", "depth"):
                (where / kind).mkdir(parents=True, exist_ok=True)
            shade = torch.full((T, 3, HEIGHT, WIDTH), 0.1 + 0.1 * view) + torch.arange(T)[:, None, None, None] / 30
            write_video(where / "rgb" / f"{clip}.mp4", shade, 24)
            c2w = np.tile(np.eye(4, dtype=np.float32), (T, 1, 1))
            c2w[:, 0, 3] = 0.1 * view * np.arange(T)
            np.savez(where / "pose" / f"{clip}.npz", data=c2w, inds=np.arange(T))
            four = FOUR + np.arange(T, dtype=np.float32)[:, None]
            backwards = np.arange(T)[::-1]  # entries are found by their frame number, not by their place
            np.savez(where / "intrinsics" / f"{clip}.npz", data=four[backwards], inds=backwards)
            latent = np.full((1, 4, 2, 2, 3), view + number / 10, np.float32)
            torch.save(latent, where / "latent" / f"{clip}.pkl")
            with zipfile.ZipFile(where / "depth" / f"{clip}.zip", "w") as archive:
                for frame in range(T):
                    z = np.full((HEIGHT, WIDTH), 1 + frame / 4, np.float16)
                    z[0] = 0 if frame else np.inf
                    archive.writestr(f"{frame:05d}.exr", write_exr(z, "Z"))
    return root


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("published"))


@pytest.fixture
def theirs(made_once: Path, tmp_path: Path) -> Path:
    """Two clips in three views, to be spoilt at will."""
    return Path(shutil.copytree(made_once, tmp_path / "theirs"))


def test_a_folder_is_read_as_it_is(theirs: Path, space: LatentSpace) -> None:
    records = list(read_published(theirs, space))
    assert [record.key for record in records] == ["kitchen", "street"]
    record = records[1]
    assert tuple(path.name for path in record.latents.trajectories) == NAMES
    assert record.latents.tokenizer == "toy"
    for view, path in enumerate(record.latents.trajectories):
        raw = (view + 0.1) / 0.5 * space.std + space.mean  # normalised latents have the deviation 0.5
        assert torch.allclose(record.latents.z[view], raw[:, None, None, None].expand(4, 2, 2, 3))
        assert torch.allclose(path.cameras.c2w[:, 0, 3], 0.1 * view * torch.arange(T))
        assert torch.equal(path.cameras.K[3, 0], torch.tensor([23.0, 0, 15.0]))
        assert torch.equal(path.cameras.K[3, 1], torch.tensor([0, 24.0, 11.0]))
        assert (path.cameras.height, path.cameras.width) == (HEIGHT, WIDTH)
        shade = record.frames[view].float().mean(dim=(1, 2, 3)) / 255
        assert torch.allclose(shade, 0.1 + 0.1 * view + torch.arange(T) / 30, atol=0.02)
    assert torch.equal(record.depth[:, 4, 1:], torch.full((3, HEIGHT - 1, WIDTH), 2.0))
    assert not record.mask[:, :, 0].any() and record.mask[:, :, 1:].all()
    assert torch.equal(record.views.frames.rgb[0], record.frames[0, 0] / 255)
    assert torch.equal(record.views.depth, record.depth[0, :1]) and record.views.cameras.K[0, 0, 0] == 20


def test_without_depth_the_source_says_that_it_is_not_known(theirs: Path, space: LatentSpace) -> None:
    for view in theirs.iterdir():
        shutil.rmtree(view / "depth")
    record = next(read_published(theirs, space))
    assert record.depth is None and record.mask is None and not record.views.mask.any()


def test_pictures_are_decoded_only_where_wanted(theirs: Path, space: LatentSpace) -> None:
    folder = PublishedFolder(theirs, space)
    lean, full = folder.read("kitchen", rgb=False), folder.read("kitchen")
    assert lean.frames is None and torch.equal(lean.views.frames.rgb, full.views.frames.rgb)


def test_what_was_read_is_written_back_and_read_again(theirs: Path, tmp_path: Path, space: LatentSpace) -> None:
    shutil.rmtree(theirs / "2")
    first = list(read_published(theirs, space))
    for record in first:
        write_published(tmp_path / "ours", record, space)
    before, after = (
        sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        for root in (theirs, tmp_path / "ours")
    )
    assert before == after
    for before, after in zip(first, read_published(tmp_path / "ours", space), strict=True):
        assert after.key == before.key
        assert torch.allclose(after.latents.z, before.latents.z, atol=1e-5)
        for a, b in zip(after.latents.trajectories, before.latents.trajectories, strict=True):
            assert (
                a.name == b.name and torch.equal(a.cameras.c2w, b.cameras.c2w) and torch.equal(a.cameras.K, b.cameras.K)
            )
        assert torch.equal(after.depth, before.depth) and torch.equal(after.mask, before.mask)
        assert float(psnr(after.frames.flatten(0, 1) / 255, before.frames.flatten(0, 1) / 255).min()) > 38


def test_ours_is_written_as_the_description_says(
    tmp_path: Path, space: LatentSpace, record: Callable[..., SceneRecord]
) -> None:
    mine = record("mine", names=("zoom_in", "left"))
    write_published(tmp_path, mine, space)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "4"]  # the number tells the path
    with np.load(tmp_path / "4" / "pose" / "mine.npz") as file:
        assert (
            file["data"].dtype == np.float32
            and file["data"].shape == (T, 4, 4)
            and list(file["inds"]) == list(range(T))
        )
        assert np.array_equal(file["data"], mine.latents.trajectories[0].cameras.c2w.numpy())
    with np.load(tmp_path / "4" / "intrinsics" / "mine.npz") as file:
        assert np.array_equal(file["data"], np.tile(np.float32([20, 20, 12, 8]), (T, 1)))
    latent = torch.load(tmp_path / "4" / "latent" / "mine.pkl", weights_only=False)  # as the published reader does
    assert isinstance(latent, np.ndarray) and latent.dtype == np.float32 and latent.shape == (1, 4, 2, 2, 3)
    assert np.allclose(
        latent[0] / 0.5 * space.std.view(4, 1, 1, 1).numpy() + space.mean.view(4, 1, 1, 1).numpy(), mine.latents.z[0]
    )
    with zipfile.ZipFile(tmp_path / "4" / "depth" / "mine.zip") as archive:
        assert archive.namelist() == [f"{frame:05d}.exr" for frame in range(T)]
    video = read_video(tmp_path / "4" / "rgb" / "mine.mp4")
    assert video.fps == 24 and video.rgb.shape == (T, 3, HEIGHT, WIDTH)


def test_reversed_scenes_have_views_of_their_own(
    tmp_path: Path, space: LatentSpace, record: Callable[..., SceneRecord]
) -> None:
    write_published(tmp_path, record("mine", 1, names=("left",)), space)
    write_published(tmp_path, record("mine", 2, names=("left",)), space, REVERSED_VIEW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "6"]
    for seed, first_view in ((1, 0), (2, REVERSED_VIEW)):
        (read,) = read_published(tmp_path, space, first_view)
        assert torch.allclose(read.latents.z, record("mine", seed, names=("left",)).latents.z, atol=1e-5)
        assert read.latents.trajectories[0].name == "left"


def test_what_the_layout_cannot_hold_is_refused(
    tmp_path: Path, space: LatentSpace, record: Callable[..., SceneRecord]
) -> None:
    with pytest.raises(InputError, match="record a has no pictures; synthesize it with --rgb"):
        write_published(tmp_path, replace(record("a"), frames=None), space)
    with pytest.raises(InputError, match="record a has the path spiral; the layout knows left, right"):
        write_published(tmp_path, record("a", names=("spiral",)), space)
    assert not list(tmp_path.rglob("*.*"))


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run on loading",)


def evil(root: Path) -> None:
    torch.save(_Evil(), root / "2" / "latent" / "kitchen.pkl")


def plain_pickle(root: Path) -> None:
    (root / "2" / "latent" / "kitchen.pkl").write_bytes(pickle.dumps([1, 2], protocol=2))


def nan_latents(root: Path) -> None:
    torch.save(np.full((1, 4, 2, 2, 3), np.nan, np.float32), root / "2" / "latent" / "kitchen.pkl")


def no_pose(root: Path) -> None:
    (root / "2" / "pose" / "kitchen.npz").unlink()


def poses_cut(root: Path) -> None:
    path = root / "2" / "pose" / "kitchen.npz"
    path.write_bytes(path.read_bytes()[:100])


def frame_missing(root: Path) -> None:
    np.savez(root / "2" / "pose" / "kitchen.npz", data=np.tile(np.eye(4), (T, 1, 1)), inds=np.arange(T) + 1)


def mirrored(root: Path) -> None:
    poses = np.tile(np.diag([-1.0, 1, 1, 1]), (T, 1, 1))
    np.savez(root / "2" / "pose" / "kitchen.npz", data=poses, inds=np.arange(T))


def no_lens(root: Path) -> None:
    np.savez(root / "2" / "intrinsics" / "kitchen.npz", data=np.zeros((T, 4)), inds=np.arange(T))


def video_gone(root: Path) -> None:
    (root / "2" / "rgb" / "kitchen.mp4").unlink()


def video_damaged(root: Path) -> None:
    (root / "2" / "rgb" / "kitchen.mp4").write_bytes(b"no video")


def video_short(root: Path) -> None:
    write_video(root / "2" / "rgb" / "kitchen.mp4", torch.zeros(5, 3, HEIGHT, WIDTH), 24)


def depth_damaged(root: Path) -> None:
    (root / "2" / "depth" / "kitchen.zip").write_bytes(b"no archive")


def depth_of_another_size(root: Path) -> None:
    with zipfile.ZipFile(root / "2" / "depth" / "kitchen.zip", "w") as archive:
        for frame in range(T):
            archive.writestr(f"{frame:05d}.exr", write_exr(np.ones((4, 4)), "Z"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (evil, "latent/kitchen.pkl are damaged or no array"),
        (plain_pickle, "latent/kitchen.pkl are"),
        (nan_latents, "latent/kitchen.pkl are no finite array"),
        (no_pose, "pose/kitchen.npz does not exist"),
        (poses_cut, "pose/kitchen.npz is damaged"),
        (frame_missing, "pose/kitchen.npz has no entry for each frame"),
        (mirrored, "pose/kitchen.npz: the pose of frame 0 is mirrored"),
        (no_lens, "intrinsics/kitchen.npz are none"),
        (video_gone, "rgb/kitchen.mp4 does not exist"),
        (video_damaged, "rgb/kitchen.mp4 cannot be decoded"),
        (video_short, "clip kitchen"),
        (depth_damaged, "depth/kitchen.zip is damaged"),
        (depth_of_another_size, "clip kitchen"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_damaged_clip_is_left_out_counted_and_reported(
    theirs: Path, space: LatentSpace, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], words: str
) -> None:
    spoil(theirs)
    said: list[str] = []
    source = open_records(theirs, space)
    assert [record.key for record in readable_records(source, said.append)] == ["street"]
    assert words in said[0] and "; " in said[0] and said[1] == f"{theirs}: 1 damaged records were left out"
    assert not capsys.readouterr().out
    with pytest.raises(CorruptRecordError):
        source.read("kitchen")


def test_latents_of_another_tokenizer_are_refused(theirs: Path) -> None:
    other = LatentSpace("nano", torch.zeros(64), torch.ones(64))
    source = open_records(theirs, other)
    with pytest.raises(InputError, match="latents have 4 channels, those of the tokenizer nano have 64; ") as refusal:
        list(readable_records(source, pytest.fail))
    assert not isinstance(refusal.value, CorruptRecordError)


@pytest.mark.parametrize("what", ["nothing", "other files", "no clips", "no view 0"])
def test_what_is_no_such_folder_is_refused(tmp_path: Path, space: LatentSpace, what: str) -> None:
    if what == "other files":
        (tmp_path / "notes.txt").write_text("x")
    if what == "no clips":
        (tmp_path / "0" / "rgb").mkdir(parents=True)
    if what == "no view 0":
        (tmp_path / "6" / "rgb").mkdir(parents=True)
    with pytest.raises(InputError, match=r"data folder.*; give the folder that holds 0, 1, …"):
        open_records(tmp_path, space)


def test_an_unknown_clip_is_refused_with_those_that_are_there(theirs: Path, space: LatentSpace) -> None:
    with pytest.raises(InputError, match="has no clip garden; known are kitchen, street"):
        PublishedFolder(theirs, space).read("garden")
