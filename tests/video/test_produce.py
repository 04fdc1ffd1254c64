"""A video through the whole road with untrained networks: folders, chunks, resuming, cameras."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lyra.geometry.handheld import handheld_c2w
from lyra.geometry.quaternions import quaternion_from_rotation
from lyra.io.ply import read_ply
from lyra.io.scene_folder import load_scene, read_trajectories
from lyra.io.video import read_video
from lyra.raster import render
from lyra.structures import Cameras, InputError
from lyra.video import VideoOptions, produce, road
from lyra.video.films import rounds
from lyra.video.workshop import Workshop, fingerprint


def produced(clip: Path, out: Path, networks, page=None, **choices) -> tuple[dict, list[str]]:
    said: list[str] = []
    options = VideoOptions(**{"trajectories": ("left", "right"), "device": "cpu", **choices})
    record = produce(clip, out, networks, options, page=page, note=said.append)
    return record, said


def test_a_short_tripod_clip_becomes_a_folder_with_everything_in_it(clip, networks, tmp_path):
    seen = []
    out = tmp_path / "scene"
    record, said = produced(
        clip(17), out, networks, lambda folder, scene, paths: seen.append((folder, scene, paths)), stride=1, times="3"
    )
    names = sorted(path.name for path in out.iterdir())
    assert names == ["bullet_time.mp4", "cameras.json", "contact_sheet.png", "fixed_camera.mp4", "frames",
                     "preview.mp4", "run.json", "scene.ply"]  # fmt: skip
    assert sorted(path.name for path in (out / "frames").iterdir()) == ["000.ply", "001.ply", "002.ply"]
    assert (out / "scene.ply").read_bytes() == (out / "frames" / "001.ply").read_bytes(), "the middle time"
    scene = load_scene(out)
    assert scene.times == pytest.approx((0, 8 / 12, 16 / 12)) and len(scene.gaussians) == 3
    assert [path.name for path in read_trajectories(out)] == ["left", "right"]
    for moment, frame in enumerate((0, 8, 16)):
        shown = render(scene.gaussians[moment], scene.source).rgb[0].clamp(0, 1)
        truth = read_video(clip(17)).rgb
        errors = [float((shown - truth[other]).square().mean()) for other in (0, 8, 16)]
        assert errors[moment] == min(errors) and errors[moment] < 0.01, f"time {frame} shows its own moment"
    assert any("stands still" in words for words in said) and record["cameras"][0]["kind"] == "static"
    assert record["video"]["frames"] == 17 and record["times"] == pytest.approx(list(scene.times))
    assert json.loads((out / "run.json").read_text())["gaussians"] == [len(one) for one in scene.gaussians]
    assert len(read_video(out / "preview.mp4")) == len(rounds(3)) and len(read_video(out / "bullet_time.mp4")) == 32
    fixed = read_video(out / "fixed_camera.mp4").rgb
    still = (fixed.amax(dim=0) - fixed.amin(dim=0)).amax(dim=0)
    assert float(still[20:36].max()) > 0.3 and float(still[50:, 10:-10].mean()) < 0.05, "only the square moves"
    ((folder, shown_scene, paths),) = seen
    assert folder != out and len(shown_scene.gaussians) == 3 and len(paths) == 2
    assert not list(tmp_path.glob(".scene*")), "no chunks stay"


def test_every_time_has_at_most_as_many_gaussians_as_were_asked_for(clip, networks, tmp_path):
    choices = {"stride": 1, "times": "3", "recolor": 0}
    most = 5800
    whole, _ = produced(clip(17), tmp_path / "whole", networks, gaussians=0, **choices)
    thinned, _ = produced(clip(17), tmp_path / "thinned", networks, gaussians=most, **choices)
    assert max(whole["gaussians"]) > most and whole["dropped"] == [0, 0, 0]
    assert thinned["gaussians"] == [min(count, most) for count in whole["gaussians"]]
    assert thinned["dropped"] == [max(0, count - most) for count in whole["gaussians"]]
    before, after = (load_scene(tmp_path / name) for name in ("whole", "thinned"))
    assert [len(one) for one in after.gaussians] == thinned["gaussians"]
    for old, new in zip(before.gaussians, after.gaussians, strict=True):
        at = {tuple(mean) for mean in old.means.tolist()}
        assert all(tuple(mean) in at for mean in new.means.tolist()), "what stays does not move"


def test_an_interrupted_run_goes_on_after_its_last_chunk_and_ends_the_same(clip, networks, tmp_path):
    choices = {"frames": 30, "stride": 1, "times": "4", "trajectories": ("left",)}
    whole, _ = produced(clip(30), tmp_path / "whole", networks, **choices)
    assert [part["frames"] for part in whole["chunks"]] == [[0, 16], [13, 29]]
    assert [part["moments"] for part in whole["chunks"]] == [[0, 10], [19, 29]]

    def stop(report) -> None:
        if report.name == "chunk 2 of 2: imagine":
            raise KeyboardInterrupt

    options = VideoOptions(device="cpu", **choices)
    with pytest.raises(KeyboardInterrupt):
        produce(clip(30), tmp_path / "cut", networks, options, progress=stop)
    assert not (tmp_path / "cut").exists() and (tmp_path / ".cut.chunks" / "0000" / "chunk.json").is_file()
    stages: list[str] = []
    said: list[str] = []
    produce(clip(30), tmp_path / "cut", networks, options, note=said.append,
            progress=lambda report: stages.append(report.name))  # fmt: skip
    assert said[0] == "1 of 2 chunks are there from before; going on"
    assert not any(name.startswith("chunk 1") for name in stages)
    for index in range(4):
        file = f"frames/{index:03d}.ply"
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert not (tmp_path / ".cut.chunks").exists()

    # another choice begins anew
    with pytest.raises(KeyboardInterrupt):
        produce(clip(30), tmp_path / "cut2", networks, options, progress=stop)
    said.clear()
    other = VideoOptions(**{**choices, "device": "cpu", "seed": 1})
    with pytest.raises(KeyboardInterrupt):
        produce(clip(30), tmp_path / "cut2", networks, other, progress=stop, note=said.append)
    assert not any("from before" in words for words in said)


def test_two_frames_are_enough_and_one_time_makes_a_still_scene(clip, networks, tmp_path):
    record, _ = produced(clip(2), tmp_path / "two", networks, trajectories=("left",))
    assert record["times"] == pytest.approx([0, 1 / 12]) and len(load_scene(tmp_path / "two").gaussians) == 2
    produced(clip(2, 0.0, 96, 64), tmp_path / "tall", networks, trajectories=("left",), times="1")
    assert (load_scene(tmp_path / "tall").source.height, load_scene(tmp_path / "tall").source.width) == (96, 64)
    record, _ = produced(clip(17), tmp_path / "one", networks, trajectories=("left",), times="1", stride=1)
    assert not (tmp_path / "one" / "frames").exists() and len(load_scene(tmp_path / "one").gaussians) == 1


def test_a_place_that_is_taken_and_too_many_times_are_refused_before_the_work(clip, networks, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not empty"):
        produced(clip(17), tmp_path / "taken", networks)
    many = VideoOptions(frames=70, stride=1, times="all")
    with pytest.raises(InputError, match="70 times are too many for one"):
        produce(clip(70), tmp_path / "out", networks, many, four_d=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


def test_cameras_from_files_are_used_scaled_and_counted(clip, networks, tmp_path):
    path = handheld_c2w(20, 0.2, 5, torch.Generator().manual_seed(0))
    np.savez(tmp_path / "path.npz", c2w=path[:17].numpy())
    record, said = produced(
        clip(20), tmp_path / "a", networks, cameras=str(tmp_path / "path.npz"), frames=17, stride=1, times="2",
        trajectories=("left",),
    )  # fmt: skip
    assert record["cameras"][0]["kind"] == "given" and any("path.npz" in words for words in said)
    cameras = json.loads((tmp_path / "a" / "cameras.json").read_text())["source_path"]
    assert torch.allclose(torch.tensor(cameras["c2w"][1]), path[16], atol=1e-4)
    np.savez(tmp_path / "path.npz", c2w=path[:9].numpy())
    with pytest.raises(InputError, match="has 9 poses, the clip has 17 frames"):
        produced(clip(20), tmp_path / "b", networks, cameras=str(tmp_path / "path.npz"), frames=17, stride=1)
    assert not (tmp_path / "b").exists() and not (tmp_path / ".b.chunks").exists()


def test_chunks_of_a_camera_that_moves_share_one_world(clip, networks, tmp_path):
    """A camera that slides along a wall: every chunk adds as much way as the first, and its frames are seen again."""
    record, _ = produced(
        clip(30, 1.0), tmp_path / "long", networks, frames=30, stride=1, times="all", trajectories=("left",)
    )
    assert [part["kind"] for part in record["cameras"]] == ["moving", "moving"]
    poses = torch.tensor(json.loads((tmp_path / "long" / "cameras.json").read_text())["source_path"]["c2w"])
    way = poses[:, 0, 3]
    assert float(way[16] - way[0]) > 0 and 0.5 < float(way[29] - way[16]) / float(way[13] - way[0]) < 2
    scene = load_scene(tmp_path / "long")
    truth = read_video(clip(30, 1.0)).rgb
    sources = [scene.gaussians[17], scene.gaussians[16]]
    assert all(len(one) > 4000 for one in sources) and truth.shape[0] == 30
    assert len(read_ply(tmp_path / "long" / "scene.ply")) == len(scene.gaussians[15])


def colmap_text(folder: Path, poses: torch.Tensor) -> None:
    """A COLMAP model of pictures of 96 x 64."""
    folder.mkdir(exist_ok=True)
    (folder / "cameras.txt").write_text("1 PINHOLE 96 64 90 90 48 32\n")
    lines = []
    for number, w2c in enumerate(torch.linalg.inv(poses.double())):
        quat = quaternion_from_rotation(w2c[:3, :3])
        words = " ".join(map(str, [*quat.tolist(), *w2c[:3, 3].tolist()]))
        lines.append(f"{number + 1} {words} 1 {number:03d}.png\n")
    (folder / "images.txt").write_text("\n".join(lines))


def test_cameras_without_a_scale_keep_theirs_when_a_run_goes_on(clip, networks, tmp_path, monkeypatch):
    """The first chunk finds the scale; a second run that begins with the second chunk must not find another one."""
    poses = torch.eye(4).repeat(30, 1, 1)
    poses[:, 0, 3] = 0.01 * torch.arange(30)
    colmap_text(tmp_path / "model", poses)
    choices = {"frames": 30, "stride": 1, "times": "2", "trajectories": ("left",), "cameras": str(tmp_path / "model")}
    asked = []

    def factor(frames, depth, cameras):
        asked.append(len(frames))
        assert torch.equal(cameras.c2w[0], torch.eye(4)), "only the first chunk begins where lengths are measured from"
        return 3.0

    monkeypatch.setattr(road, "scale_to_depth", factor)

    def stop(report) -> None:
        if report.name == "chunk 2 of 2: imagine":
            raise KeyboardInterrupt

    options = VideoOptions(device="cpu", **choices)
    with pytest.raises(KeyboardInterrupt):
        produce(clip(30, 1.0), tmp_path / "cut", networks, options, progress=stop)
    produced(clip(30, 1.0), tmp_path / "cut", networks, **choices)
    assert asked == [17]
    found = torch.tensor(json.loads((tmp_path / "cut" / "cameras.json").read_text())["source_path"]["c2w"])
    assert torch.allclose(found, torch.stack([poses[0], torch.tensor(
        [[1, 0, 0, 3 * 0.29], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])]), atol=1e-5)  # fmt: skip


def test_another_camera_file_of_the_same_name_begins_anew(clip, tmp_path):
    video, options = clip(2), VideoOptions(cameras=str(tmp_path / "model"))
    colmap_text(tmp_path / "model", torch.eye(4).repeat(2, 1, 1))
    before = fingerprint(video, options, {})
    assert fingerprint(video, options, {}) == before
    colmap_text(tmp_path / "model", torch.eye(4).repeat(3, 1, 1))
    assert fingerprint(video, options, {}) != before


def test_a_run_that_ends_before_its_first_chunk_leaves_nothing(clip, networks, tmp_path):
    def stop(report) -> None:
        if report.name == "imagine":
            raise KeyboardInterrupt

    options = VideoOptions(device="cpu", trajectories=("left",))
    with pytest.raises(KeyboardInterrupt):
        produce(clip(17), tmp_path / "new" / "place" / "scene", networks, options, progress=stop)
    assert not list(tmp_path.iterdir())


def test_cameras_that_are_kept_come_back(tmp_path):
    poses = handheld_c2w(5, 0.3, 10, torch.Generator().manual_seed(0))
    cameras = Cameras(poses, torch.eye(3).repeat(5, 1, 1), 64, 96)
    assert Workshop(tmp_path / "scene", "a").cameras((64, 96)) is None
    Workshop(tmp_path / "scene", "a").keep(cameras)
    again = Workshop(tmp_path / "scene", "a").cameras((64, 96))
    assert again is not None and torch.equal(again.c2w, poses) and again.width == 96
    assert Workshop(tmp_path / "scene", "b").cameras((64, 96)) is None, "another run"
