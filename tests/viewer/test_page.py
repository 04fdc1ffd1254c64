"""The page as text: complete, escaped, and forbidden to ask for anything; the shipped files are those of the source."""

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path

import pytest

from lyra.structures import InputError, Scene, Trajectory
from lyra.viewer import export_html
from lyra.viewer.packing import pack


@pytest.fixture(scope="module")
def text(scene: Scene, trajectories: tuple[Trajectory, ...], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "new" / "scene.html"
    export_html(path, scene, trajectories)
    assert [file.name for file in path.parent.iterdir()] == ["scene.html"]
    return path.read_text(encoding="utf-8")


def element(text: str, start: str) -> str:
    return re.findall(rf"<{start}>(.*?)</{start.split()[0]}>", text, flags=re.DOTALL)[0]


def test_the_policy_names_exactly_the_programs_inside(text: str) -> None:
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[0]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for rule, tag in (("script-src", "script"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(element(text, tag).encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["connect-src"] == "'none'"
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", text.split('id="set-0"')[0])


def test_no_address_of_anywhere_is_inside(text: str) -> None:
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'<]*", text.split('id="set-0"')[0]))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_names_are_escaped(text: str) -> None:
    assert "<title>blobs &lt;&amp;&gt; co.jpg</title>" in text
    manifest = element(text, 'script type="application/json" id="manifest"')
    assert "<" not in manifest
    assert json.loads(manifest)["title"] == "blobs <&> co.jpg"


def test_the_scene_is_inside(text: str, scene: Scene) -> None:
    (record,) = json.loads(element(text, 'script type="application/json" id="manifest"'))["sets"]
    packed = base64.b64decode(element(text, 'script type="text/plain" id="set-0"'))
    data, count = pack(scene.gaussians[0])
    assert zlib.decompress(packed) == data
    assert record == {"time": 0.0, "count": count, "bytes": len(packed), "source": "#set-0"}


def test_each_time_has_its_set(moving_scene: Scene, tmp_path: Path) -> None:
    export_html(tmp_path / "moving.html", moving_scene, title="Another name")
    text = (tmp_path / "moving.html").read_text(encoding="utf-8")
    record = json.loads(element(text, 'script type="application/json" id="manifest"'))
    assert record["title"] == "Another name"
    assert [one["time"] for one in record["sets"]] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [one["count"] for one in record["sets"]] == [1500, 1800, 2100, 2400, 0]
    assert len(re.findall(r'<script type="text/plain" id="set-\d">', text)) == 5


def test_nothing_half_written_stays(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write page"):
        export_html(tmp_path / "file" / "scene.html", scene)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_the_shipped_page_was_built_from_this_source(repository: Path) -> None:
    source, assets = repository / "viewer" / "src", repository / "src" / "lyra" / "viewer" / "assets"
    built = json.loads((assets / "build.json").read_text())
    now = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in source.iterdir()}
    assert built["source"] == now, "run scripts/build_viewer.sh"
    tools = json.loads((repository / "viewer" / "package.json").read_text())["devDependencies"]
    assert built["esbuild"] == tools["esbuild"]
    assert (assets / "page.html").read_bytes() == (source / "page.html").read_bytes()
