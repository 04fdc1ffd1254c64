import json
import os
from pathlib import Path

import pytest
import torch

from lyra.geometry import intrinsics_from_fov, look_at
from lyra.io import (
    SceneFolder,
    cameras_from_json,
    cameras_to_json,
    load_scene,
    read_trajectories,
    save_scene,
    write_ply,
    write_run,
)
from lyra.structures import Cameras, Gaussians, InputError, Scene


def gaussians(seed: int = 0, count: int = 30) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)
    quats = torch.randn(count, 4, generator=generator)
    return Gaussians(
        torch.randn(count, 3, generator=generator),
        quats / quats.norm(dim=1, keepdim=True),
        torch.rand(count, 3, generator=generator) + 0.01,
        torch.rand(count, generator=generator),
        torch.rand(count, 3, generator=generator),
    )


def cameras(frames: int = 1) -> Cameras:
    eye = torch.linspace(-1, 1, frames)[:, None] * torch.tensor([0.5, 0.2, 0.1])
    K = intrinsics_from_fov(torch.full((frames,), 0.9), 32, 56)
    return Cameras(look_at(eye, torch.tensor([0.0, 0.0, 2.0])), K, 32, 56)


def scene(times: int = 1) -> Scene:
    sets = tuple(gaussians(index) for index in range(times))
    return Scene(sets, cameras(), tuple(0.5 * index for index in range(times)), {"seed": 3, "teacher": "nano"})


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("times", [1, 3])
def test_a_scene_comes_back_and_nothing_else_stays(tmp_path, times):
    target = tmp_path / "deep" / "out"
    with SceneFolder(target) as folder:
        save_scene(folder, scene(times))
        assert not target.exists()
    expected = ["cameras.json", "run.json", "scene.ply"]
    if times > 1:
        expected = ["cameras.json", "frames", *(f"frames/{i:03d}.ply" for i in range(times)), "run.json", "scene.ply"]
    assert names(target) == expected
    assert names(target.parent)[0] == "out"
    loaded = load_scene(target)
    assert loaded.times == scene(times).times
    assert loaded.provenance == {"seed": 3, "teacher": "nano"}
    assert torch.equal(loaded.source.c2w, scene().source.c2w)
    for a, b in zip(loaded.gaussians, scene(times).gaussians, strict=True):
        assert torch.equal(a.means, b.means)
        assert torch.allclose(a.opacities, b.opacities, atol=1e-6)


def test_a_bare_ply_is_a_scene(tmp_path):
    write_ply(tmp_path / "any.ply", gaussians())
    loaded = load_scene(tmp_path / "any.ply")
    assert torch.equal(loaded.gaussians[0].means, gaussians().means)
    assert torch.equal(loaded.source.c2w[0], torch.eye(4))
    assert loaded.source.fov_x.item() == pytest.approx(1.0)


def test_trajectories_come_back(tmp_path):
    with SceneFolder(tmp_path / "out") as folder:
        save_scene(folder, scene())
        file = folder.path / "cameras.json"
        paths = {"left": {"strength": 0.3, **cameras_to_json(cameras(5))}, "mine": cameras_to_json(cameras(3))}
        file.write_text(json.dumps({**json.loads(file.read_text()), "trajectories": paths}))
    left, mine = read_trajectories(tmp_path / "out")
    assert (left.name, left.strength, mine.name, mine.strength) == ("left", 0.3, "mine", None)
    assert torch.equal(left.cameras.c2w, cameras(5).c2w)
    assert torch.equal(mine.cameras.K, cameras(3).K)


def test_a_folder_may_have_no_trajectories_but_not_broken_ones(tmp_path):
    with SceneFolder(tmp_path / "out") as folder:
        save_scene(folder, scene())
    assert read_trajectories(tmp_path / "out") == ()
    file = tmp_path / "out" / "cameras.json"
    record = json.loads(file.read_text())
    for broken, complaint in ((["left"], "should map names"), ({"left": {"height": 3}}, "trajectory 'left' lacks")):
        file.write_text(json.dumps({**record, "trajectories": broken}))
        with pytest.raises(InputError, match=complaint):
            read_trajectories(tmp_path / "out")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_leaves_nothing(tmp_path, error):
    with pytest.raises(error), SceneFolder(tmp_path / "new" / "deep" / "out") as folder:
        save_scene(folder, scene())
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_overwrite_leaves_the_old_scene(tmp_path, error):
    with SceneFolder(tmp_path / "out") as folder:
        save_scene(folder, scene())
    before = names(tmp_path)
    with pytest.raises(error), SceneFolder(tmp_path / "out", overwrite=True) as folder:
        (folder.path / "half.txt").write_text("half")
        raise error
    assert names(tmp_path) == before
    assert len(load_scene(tmp_path / "out").gaussians[0]) == 30


def test_our_own_folder_is_overwritten_only_when_asked(tmp_path):
    with SceneFolder(tmp_path / "out") as folder:
        save_scene(folder, scene(3))
    with pytest.raises(InputError, match="not empty"), SceneFolder(tmp_path / "out"):
        pytest.fail("the block must not run")
    with SceneFolder(tmp_path / "out", overwrite=True) as folder:
        save_scene(folder, scene(1))
    assert names(tmp_path / "out") == ["cameras.json", "run.json", "scene.ply"]
    assert names(tmp_path)[0] == "out"


def test_a_foreign_folder_is_never_overwritten(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="photos"), SceneFolder(tmp_path / "photos", overwrite=overwrite):
            pytest.fail("the block must not run")
    assert names(tmp_path) == ["photos", "photos/holiday.jpg"]


def test_a_folder_that_became_foreign_meanwhile_is_kept(tmp_path):
    with pytest.raises(InputError, match="not empty"), SceneFolder(tmp_path / "out") as folder:
        save_scene(folder, scene())
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs.txt").write_text("mine")
    assert names(tmp_path) == ["out", "out/theirs.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    with SceneFolder(tmp_path / "out") as folder:
        save_scene(folder, scene())
    assert len(load_scene(tmp_path / "out").gaussians[0]) == 30


def test_a_file_is_not_a_target(tmp_path):
    (tmp_path / "out").write_text("a file")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is a file"), SceneFolder(tmp_path / "out", overwrite=overwrite):
            pytest.fail("the block must not run")
    with pytest.raises(InputError, match="cannot write"), SceneFolder(tmp_path / "out" / "deeper"):
        pytest.fail("the block must not run")
    assert (tmp_path / "out").read_text() == "a file"


def test_an_unwritable_parent_is_refused_before_any_work(tmp_path, monkeypatch):
    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "mkdir", refuse)  # access bits do not hold back the superuser
    with pytest.raises(InputError, match="permission denied"), SceneFolder(tmp_path / "locked" / "out"):
        pytest.fail("the block must not run")
    assert names(tmp_path) == []


def test_a_failing_rename_restores_the_old_scene(tmp_path, monkeypatch):
    with SceneFolder(tmp_path / "out") as folder:
        save_scene(folder, scene())
    before = names(tmp_path)
    rename = os.rename

    def fail_on_second(source, target):
        if ".partial-" in str(source):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_on_second)
    with pytest.raises(InputError, match="no space left"), SceneFolder(tmp_path / "out", overwrite=True) as folder:
        save_scene(folder, scene(2))
    assert names(tmp_path) == before


def test_a_folder_written_without_a_scene_is_still_marked_as_ours(tmp_path):
    with SceneFolder(tmp_path / "out") as folder:
        (folder.path / "note.txt").write_text("only this")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["format"] == "lyra-scene"


def test_run_values_add_up(tmp_path):
    write_run(tmp_path, {"config": {"steps": 4}})
    save_scene(tmp_path, scene())
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["config"] == {"steps": 4}
    assert run["provenance"]["seed"] == 3


def test_cameras_survive_json_exactly():
    original = cameras(4)
    found = cameras_from_json(json.loads(json.dumps(cameras_to_json(original))))
    assert torch.equal(found.c2w, original.c2w)
    assert torch.equal(found.K, original.K)
    assert (found.height, found.width) == (32, 56)


def broken(values: dict, **change) -> dict:
    return {key: value for key, value in {**values, **change}.items() if value is not None}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"c2w": None}, "lacks 'c2w'"),
        ({"c2w": [[1, 2]]}, "does not hold cameras"),
        ({"c2w": "here"}, "does not hold cameras"),
        ({"height": "tall"}, "does not hold cameras"),
        ({"height": 0}, "size"),
        ({"c2w": (2 * torch.eye(4))[None].tolist()}, "frame 0"),
        ({"intrinsics": [[[float("nan")] * 3] * 3]}, "intrinsics"),
    ],
)
def test_broken_cameras_are_refused(change, words):
    with pytest.raises(InputError, match=words) as caught:
        cameras_from_json(broken(cameras_to_json(cameras()), **change), "cameras.json")
    assert "\n" not in str(caught.value)


def test_broken_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="not a scene folder"):
        load_scene(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load_scene(tmp_path / "nothing")
    save_scene(tmp_path, scene(2))
    (tmp_path / "frames" / "001.ply").unlink()
    with pytest.raises(InputError, match=r"001\.ply does not exist"):
        load_scene(tmp_path)
    (tmp_path / "cameras.json").write_text("{cut")
    with pytest.raises(InputError, match="not readable JSON"):
        load_scene(tmp_path)
    (tmp_path / "cameras.json").write_text(json.dumps({"times": ["soon"]}))
    with pytest.raises(InputError, match="'times'"):
        load_scene(tmp_path)
