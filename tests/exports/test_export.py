"""Exports: what appears, what is compared, what is refused, and that nothing is left behind then."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import lyra
from lyra.exports import export
from lyra.exports import export as export_function
from lyra.exports.cameras import cameras_to_compare
from lyra.exports.compare import compare
from lyra.exports.exporting import MESH, default_target
from lyra.exports.kinds import KINDS, Kind, Subject
from lyra.exports.page import read_page
from lyra.io import read_gaussians, read_trajectories, write_ply
from lyra.io.formats import fourdgs, usd
from lyra.io.numbered_files import read_numbered
from lyra.structures import Gaussians, InputError, Scene

FolderOf = Callable[[Scene], Path]
STILL = [name for name, kind in KINDS.items() if not kind.moving]
EXACT = {"ply", "glb", "usd"}


def with_set(subject: Subject, gaussians: Gaussians) -> Subject:
    return replace(subject, scene=replace(subject.scene, gaussians=(gaussians,)))


def names(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))


@pytest.mark.parametrize("to", STILL)
def test_each_format_appears_beside_the_scene_and_looks_like_it(tmp_path, still, folder_of: FolderOf, to):
    folder = folder_of(still)
    before = names(folder)
    report = export(folder, to)
    target = tmp_path / f"photo{KINDS[to].ending}"
    assert report.files == (target,)
    assert names(folder) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["photo", target.name])
    assert report.size == target.stat().st_size
    assert report.count == len(still.gaussians[0])
    assert report.views == 7  # the source, and two of each of the three trajectories
    assert report.psnr >= (100 if to in EXACT else 35)
    assert report.psnr <= report.mean_psnr
    assert report.notes == ()
    assert len(read_gaussians(target)) == report.count


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("to", ["glb", "usd", "spz"])
def test_a_writer_that_turns_an_axis_round_is_refused(tmp_path, still, folder_of, monkeypatch, to, axis):
    """The scene has no symmetry, so the comparison sees it."""
    honest = KINDS[to]

    def mirrored(path: Path, subject: Subject) -> None:
        gaussians = subject.scene.gaussians[0]
        means = gaussians.means.clone()
        means[:, axis] = 2.0 * (axis == 2) - means[:, axis]
        honest.write(path, with_set(subject, replace(gaussians, means=means)))

    monkeypatch.setitem(KINDS, to, replace(honest, write=mirrored))
    with pytest.raises(InputError, match="looks different"):
        export(folder_of(still), to)
    assert [each.name for each in tmp_path.iterdir()] == ["photo"]


@pytest.fixture
def lossy(monkeypatch: pytest.MonkeyPatch) -> Kind:
    """Colours to three steps: about 25 dB."""
    honest = KINDS["splat"]

    def write(path: Path, subject: Subject) -> None:
        gaussians = subject.scene.gaussians[0]
        honest.write(path, with_set(subject, replace(gaussians, colors=(2 * gaussians.colors).round() / 2)))

    kind = replace(honest, write=write)
    monkeypatch.setitem(KINDS, "splat", kind)
    return kind


def test_below_35_db_nothing_is_left_behind(tmp_path, still, folder_of, lossy):
    folder = folder_of(still)
    target = tmp_path / "new" / "deeper" / "photo.splat"
    with pytest.raises(InputError, match=r"as splat the scene looks different: 2\d\.\d dB .*--force") as caught:
        export(folder, "splat", target)
    assert "\n" not in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["photo"]
    target.parent.mkdir(parents=True)
    target.write_text("an earlier one")
    with pytest.raises(InputError, match="looks different"):
        export(folder, "splat", target)
    assert target.read_text() == "an earlier one"


def test_force_keeps_it_and_says_how_far_it_is(tmp_path, still, folder_of, lossy):
    report = export(folder_of(still), "splat", force=True)
    assert report.psnr < 35
    assert "looks different" in report.notes[0]
    assert (tmp_path / "photo.splat").is_file()


def test_a_reader_that_fails_leaves_nothing_and_names_the_place(tmp_path, still, folder_of, monkeypatch):
    def cut_off(path: Path, subject: Subject) -> None:
        KINDS["ply"].write(path, subject)
        path.write_bytes(path.read_bytes()[:-100])

    monkeypatch.setitem(KINDS, "spz", replace(KINDS["spz"], write=cut_off))
    with pytest.raises(InputError) as caught:
        export(folder_of(still), "spz")
    assert ".lyra-" not in str(caught.value)
    assert str(tmp_path / "photo.spz") in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["photo"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device"), MemoryError()])
def test_any_interruption_leaves_nothing(tmp_path, still, folder_of, monkeypatch, fault):
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setitem(KINDS, "glb", replace(KINDS["glb"], read=fail))
    folder = folder_of(still)
    with pytest.raises(InputError if isinstance(fault, OSError) else type(fault)):
        export(folder, "glb", tmp_path / "new" / "photo.glb")
    assert [each.name for each in tmp_path.iterdir()] == ["photo"]


@pytest.mark.parametrize("to", ["glb", "usd", "4dgs"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, moving, folder_of, to):
    """A file may not grow beyond 3 kB in this process."""
    folder = folder_of(moving)
    program = "\n".join(
        [
            "import resource, signal, sys",
            "from lyra.cli import main",
            "import lyra.exports",
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)",
            "resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))",
            f"sys.exit(main(['export', {str(folder)!r}, '--to', {to!r}]))",
        ]
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 2, outcome.stderr
    lines = [line for line in outcome.stderr.splitlines() if line.startswith("lyra: ")]
    assert len(lines) == 1
    assert "cannot write" in lines[0] and "; " in lines[0] and ".lyra-" not in lines[0]
    assert outcome.stdout == ""
    assert [each.name for each in tmp_path.iterdir()] == ["photo"]


def test_places_that_cannot_be(tmp_path, still, folder_of):
    folder = folder_of(still)
    (tmp_path / "file").write_text("in the way")
    write_ply(tmp_path / "bare.ply", still.gaussians[0])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "theirs.txt").write_text("mine")
    before = names(tmp_path)
    cases = [
        (folder, "glb", tmp_path / "file" / "photo.glb", "cannot write"),
        (folder, "glb", tmp_path, "is a folder"),
        (folder, "glb", tmp_path / "photo.spz", r"should end in \.glb"),
        (folder, "usd", tmp_path / "photo.glb", r"should end in \.usdc or \.usda"),
        (folder, "frames", tmp_path / "full", "exists"),
        (folder, "frames", tmp_path / "file", "exists"),
        (tmp_path / "bare.ply", "ply", None, "is the input itself"),
        (folder, "ply", folder / "scene.ply" / "x.ply", "cannot write"),
        (tmp_path / "nothing.ply", "glb", None, "does not exist"),
        (folder, "obj", None, "unknown format 'obj'"),
    ]
    for origin, to, out, words in cases:
        with pytest.raises(InputError, match=words) as caught:
            export(origin, to, out)
        assert "\n" not in str(caught.value)
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "to", "target"),
    [
        ("room.ply", "spz", "room.spz"),
        ("room.compressed.ply", "glb", "room.glb"),
        ("room.v2.SPZ", "usd", "room.v2.usdc"),
        ("room", "4dgs", "room.4dgs"),
        ("room.mesh", "mesh-glb", "room.mesh.glb"),
    ],
)
def test_the_name_of_the_input_is_kept(tmp_path, name, to, target):
    assert default_target(tmp_path / name, to) == tmp_path / target
    (tmp_path / "room.v3").mkdir()
    assert default_target(tmp_path / "room.v3", to).name.startswith("room.v3")


def test_a_file_of_another_format_is_an_input_too(tmp_path, still):
    write_ply(tmp_path / "scene.ply", still.gaussians[0])
    for origin, to in (("scene.ply", "sog"), ("scene.sog", "usd"), ("scene.usdc", "glb"), ("scene.glb", "spz")):
        report = export(tmp_path / origin, to)
        assert report.views == 13  # six published trajectories
        assert report.psnr >= 35


def test_the_comparison_is_strict_about_what_is_seen(still):
    """An empty background does not raise the number, and a missing Gaussian lowers it."""
    gaussians = still.gaussians[0]
    cameras = cameras_to_compare(still, ())
    same = compare([gaussians], [gaussians], cameras)
    assert same.worst == same.mean == math.inf
    small = gaussians[:1]
    brighter = replace(small, colors=(small.colors + 0.1).clamp(max=1))
    # one Gaussian covers a few pixels of the picture, on which the error is 0.1 times its alpha
    assert compare([small], [brighter], cameras).worst < 40
    assert compare([gaussians], [gaussians[10:]], cameras).worst < 35
    with pytest.raises(ValueError, match="0 sets of 1"):
        compare([gaussians], [], cameras)


def test_a_scene_that_the_origin_does_not_see_is_looked_at_from_around(tmp_path, still):
    gaussians = still.gaussians[0]
    away = replace(
        gaussians, means=gaussians.means * 5 + torch.tensor([100.0, 200.0, -300.0]), scales=gaussians.scales * 5
    )
    write_ply(tmp_path / "away.ply", away)
    report = export(tmp_path / "away.ply", "glb")
    assert report.views == 6
    assert report.psnr > 100
    hidden = replace(gaussians, opacities=torch.zeros(len(gaussians)))
    write_ply(tmp_path / "hidden.ply", hidden)
    with pytest.raises(InputError, match="shows nothing"):
        export(tmp_path / "hidden.ply", "glb")
    assert not (tmp_path / "hidden.glb").exists()


# ---- moving scenes ----


def same(a: Gaussians, b: Gaussians) -> bool:
    return torch.equal(a.means, b.means) and torch.allclose(a.colors, b.colors, atol=1e-6)


def test_frames_are_numbered_files_with_their_times(tmp_path, moving, folder_of):
    report = export(folder_of(moving), "frames")
    folder = tmp_path / "photo-frames"
    assert names(folder) == ["000.ply", "001.ply", "002.ply", "003.ply", "cameras.json"]
    sets, times = read_numbered(folder)
    assert times == moving.times
    assert all(map(same, sets, moving.gaussians))
    assert report.count == 1600
    assert report.views == 7 + 6  # the later times from the source camera and one more
    assert report.psnr > 100
    assert json.loads((folder / "cameras.json").read_text())["axes"].startswith("opencv")
    (folder / "001.ply").unlink()
    with pytest.raises(InputError, match="times"):
        read_numbered(folder)


def test_4dgs_holds_every_time_and_stores_what_stays_once(tmp_path, moving, folder_of):
    library = pytest.importorskip("fourdgs")
    report = export(folder_of(moving), "4dgs")
    assert report.psnr >= 45
    sets, times = fourdgs.read_4dgs(tmp_path / "photo.4dgs")
    assert times == moving.times
    assert [len(each) for each in sets] == 4 * [400]
    file = library.read(str(tmp_path / "photo.4dgs"))
    assert file.gaussians.count == 320 + 4 * 80
    assert file.header.attributes["coordinate_system"] == "y-up-right-handed"
    # y and z turned: everything lies at negative z, and more of it above than below
    assert (file.gaussians.positions[:, 2] < -0.7).all()
    assert file.gaussians.positions[:, 1].mean() == pytest.approx(
        -float(moving.gaussians[0].means[:, 1].mean()), abs=0.02
    )
    assert file.camera.position == (0, 0, 0)
    assert file.camera.target == (0, 0, -1)


def test_what_moves_by_a_foreign_writer_is_sampled_when_something_begins(tmp_path):
    library = pytest.importorskip("fourdgs")
    import numpy as np

    everything = library.GaussianSet(
        positions=np.float32([[1, 2, -3], [4, 5, -6]]),
        scales=np.full((2, 3), 0.1, np.float32),
        rotations=np.float32([[0, 0, 0, 1]] * 2),
        colors=np.float32([[1, 0, 0, 1]] * 2),
        motions=np.float32([[1, 0, 0], [0, 0, 0]]),
        mu_t=np.float32([0, 0]),
        sigma_t=np.float32([np.inf, np.inf]),
        win_lo=np.array([0.0, 0.5]),
        win_hi=np.array([1.0, 1.0]),
    )
    library.write(str(tmp_path / "foreign.4dgs"), everything, 1.0)
    sets, times = fourdgs.read_4dgs(tmp_path / "foreign.4dgs")
    assert times == (0.0, 0.5)
    assert sets[0].means.tolist() == [pytest.approx([1, -2, 3], abs=0.01)]
    assert sorted(sets[1].means.tolist())[0] == pytest.approx([1.5, -2, 3], abs=0.01)


def test_damaged_4dgs_files_are_refused(tmp_path, moving):
    pytest.importorskip("fourdgs")
    fourdgs.write_4dgs(tmp_path / "scene.4dgs", moving)
    content = (tmp_path / "scene.4dgs").read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        damaged = bytearray(content)
        places = torch.randint(len(content), (3,), generator=generator).tolist()
        for place in places:
            damaged[place] ^= 1 << int(torch.randint(8, (), generator=generator))
        (tmp_path / "bad.4dgs").write_bytes(damaged[: places[0]] if places[0] % 3 == 0 else damaged)
        try:
            sets, _ = fourdgs.read_4dgs(tmp_path / "bad.4dgs")
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert all(torch.isfinite(each.means).all() for each in sets)


def test_a_page_holds_every_time_the_paths_and_what_can_be_seen(tmp_path, moving, folder_of):
    faint = moving.gaussians[0].opacities.clone()
    faint[:50] = 0.001
    scene = replace(moving, gaussians=(replace(moving.gaussians[0], opacities=faint), *moving.gaussians[1:]))
    report = export(folder_of(scene), "html")
    assert report.files == (tmp_path / "photo.html",)
    assert report.psnr >= 40
    assert report.count == 350 + 3 * 400
    assert [len(each) for each in read_page(tmp_path / "photo.html")] == [350, 400, 400, 400]
    text = (tmp_path / "photo.html").read_text()
    assert all(f'"name":"{name}"' in text for name in ("left", "right", "up"))
    assert '"of":"camera"' in text
    write_ply(tmp_path / "bare.ply", moving.gaussians[0])
    assert export(tmp_path / "bare.ply", "html").psnr >= 40
    assert '"of":"screen"' in (tmp_path / "bare.html").read_text()


def test_damaged_pages_are_refused(tmp_path, still):
    export(still, "html", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    start = text.index('id="set-0">') + len('id="set-0">')
    for broken in (
        text.replace('"count":400', '"count":401'),
        text.replace('"count":400', '"count":"all"'),
        text[:start] + "?" + text[start + 1 :],
        text[:start] + text[start + 400 :],
        text.replace('"source":"#set-0"', '"source":"#set-7"'),
        text.replace('id="manifest"', 'id="other"'),
        "<!doctype html>",
    ):
        (tmp_path / "bad.html").write_text(broken)
        with pytest.raises(InputError, match=r"bad\.html"):
            read_page(tmp_path / "bad.html")


@pytest.mark.parametrize("to", ["frames", "4dgs"])
def test_a_still_scene_has_no_frames(tmp_path, still, folder_of, to):
    with pytest.raises(InputError, match="one time only"):
        export(folder_of(still), to)
    assert [each.name for each in tmp_path.iterdir()] == ["photo"]


def test_a_still_format_holds_the_first_time_and_says_so(tmp_path, moving, folder_of):
    report = export(folder_of(moving), "ply")
    assert "first of its 4 times" in report.notes[0]
    assert same(read_gaussians(tmp_path / "photo.ply"), moving.gaussians[0])


# ---- the doors ----


def test_in_python_a_scene_in_memory_needs_a_name(tmp_path, still):
    report = lyra.export(still, "glb", tmp_path / "scene.glb")
    assert report.files == (tmp_path / "scene.glb",)
    assert isinstance(report, lyra.ExportReport)
    with pytest.raises(InputError, match="say where to write it"):
        lyra.export(still, "glb")
    assert lyra.export is export_function


@pytest.mark.parametrize(
    ("to", "module", "line"),
    [
        ("usd", usd.importlib.util, "pip install 'lyra-scenes[usd]'"),
        ("4dgs", fourdgs.importlib.util, "pip install 'lyra-scenes[4dgs]'"),
        (MESH, fourdgs.importlib.util, "pip install 'lyra-scenes[mesh]'"),
    ],
)
def test_a_missing_extra_is_said_before_anything_is_read(tmp_path, monkeypatch, to, module, line):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        export(tmp_path / "not there", to)
    assert line in str(caught.value)


def test_broken_trajectories_are_refused(tmp_path, still, folder_of):
    folder = folder_of(still)
    assert [path.name for path in read_trajectories(folder)] == ["left", "right", "up"]
    file = folder / "cameras.json"
    record = json.loads(file.read_text())
    for broken in ([1], {"left": 3}, {"left": {"c2w": [[1]]}}):
        file.write_text(json.dumps({**record, "trajectories": broken}))
        with pytest.raises(InputError, match="trajector"):
            read_trajectories(folder)
    file.write_text(json.dumps({key: value for key, value in record.items() if key != "trajectories"}))
    assert read_trajectories(folder) == ()
