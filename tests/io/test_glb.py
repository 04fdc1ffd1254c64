"""GLB: its bytes, its axes, what other programs read in it and write, and what strangers may put into it."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lyra.io import read_gaussians
from lyra.io.formats.glb import read_glb, write_glb
from lyra.io.formats.gltf_container import GltfReader, GltfWriter
from lyra.structures import Gaussians, InputError

C0 = 0.28209479177387814
KHR = "KHR_gaussian_splatting"


def one() -> Gaussians:
    return Gaussians(
        torch.tensor([[1.5, -2.25, 3.0]]),
        torch.tensor([[0.5, 0.5, -0.5, 0.5]]),
        torch.tensor([[0.01, 0.5, 2.0]]),
        torch.tensor([0.3]),
        torch.tensor([[0.2, 0.6, 1.0]]),
    )


def taken_apart(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    magic, version, total, length, kind = struct.unpack("<4sIII4s", content[:20])
    assert (magic, version, total, kind) == (b"glTF", 2, len(content), b"JSON")
    size, kind = struct.unpack("<I4s", content[20 + length : 28 + length])
    assert kind == b"BIN\0"
    assert (length % 4, size % 4) == (0, 0)
    assert len(content) == 28 + length + size
    return json.loads(content[20 : 20 + length]), content[28 + length :]


def put_together(path: Path, document: dict[str, Any], binary: bytes) -> Path:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIII4s", b"glTF", 2, 28 + len(text) + len(binary), len(text), b"JSON")
    path.write_bytes(head + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary)
    return path


def test_the_bytes_are_those_of_the_extension(tmp_path):
    write_glb(tmp_path / "one.glb", one())
    document, binary = taken_apart(tmp_path / "one.glb")
    assert document["extensionsUsed"] == [KHR]
    assert document["asset"]["version"] == "2.0"
    (primitive,) = document["meshes"][0]["primitives"]
    assert primitive["mode"] == 0  # points
    assert primitive["extensions"][KHR]["kernel"] == "ellipse"
    assert primitive["extensions"][KHR]["colorSpace"] == "srgb_rec709_display"

    def values(name: str, form: str) -> tuple[float, ...]:
        accessor = document["accessors"][primitive["attributes"][name]]
        view = document["bufferViews"][accessor["bufferView"]]
        assert accessor["count"] == 1
        return struct.unpack_from(f"<{form}", binary, view["byteOffset"])

    # y up and z towards the viewer: both turned, and so are the y and z of the quaternion, whose order is x y z w
    assert values("POSITION", "3f") == (1.5, 2.25, -3.0)
    assert values(f"{KHR}:ROTATION", "4f") == (0.5, 0.5, -0.5, 0.5)
    assert values(f"{KHR}:SCALE", "3f") == pytest.approx((0.01, 0.5, 2.0))  # linear, as ratified
    assert values(f"{KHR}:OPACITY", "f") == pytest.approx((0.3,))
    coefficients = [(c - 0.5) / C0 for c in (0.2, 0.6, 1.0)]
    assert values(f"{KHR}:SH_DEGREE_0_COEF_0", "3f") == pytest.approx(coefficients, abs=1e-6)
    assert values("COLOR_0", "4B") == (51, 153, 255, 76)
    position = document["accessors"][primitive["attributes"]["POSITION"]]
    assert position["min"] == position["max"] == [1.5, 2.25, -3.0]


def test_an_independent_reader_sees_the_same_scene_y_up(tmp_path, grid):
    fourdgs = pytest.importorskip("fourdgs")
    scene = grid(6)
    write_glb(tmp_path / "scene.glb", scene)
    found = fourdgs.from_gltf(str(tmp_path / "scene.glb"))
    assert found.metadata["coordinate_system"] == "y-up-right-handed"
    assert found.metadata["color_space"] == "srgb-rec709-display"
    other = found.gaussians
    assert np.array_equal(other.positions, scene.means.numpy() * [1, -1, -1])
    assert np.allclose(other.scales, scene.scales.numpy())
    assert np.allclose(other.colors[:, :3], scene.colors.numpy(), atol=1e-6)
    assert np.allclose(other.colors[:, 3], scene.opacities.numpy(), atol=1e-6)
    flip = np.diag([1.0, -1.0, -1.0])
    for theirs, ours, scales in zip(other.rotations, scene.quats.numpy(), scene.scales.numpy(), strict=True):
        # the ellipsoid is what must be turned, whichever of the equivalent quaternions says so
        a = rotation(theirs[[3, 0, 1, 2]]) @ np.diag(scales)
        b = flip @ rotation(ours) @ np.diag(scales)
        assert np.allclose(a @ a.T, b @ b.T, atol=1e-6)


def rotation(quaternion: np.ndarray) -> np.ndarray:
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


# ---- what other programs may write ----


def test_nodes_place_their_gaussians(tmp_path):
    """A quarter of a turn about the file's z, twice the size, one up; and a child moved along its parent's x."""
    write_glb(tmp_path / "one.glb", one())
    document, binary = taken_apart(tmp_path / "one.glb")
    half = math.sqrt(0.5)
    document["nodes"] = [
        {"translation": [0, 1, 0], "rotation": [0, 0, half, half], "scale": [2, 2, 2], "children": [1]},
        {"matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 0, 0, 1], "mesh": 0},
    ]
    result = read_glb(put_together(tmp_path / "placed.glb", document, binary))
    # the file has (1.5, 2.25, -3); + (5, 0, 0); turned: (-2.25, 6.5, -3); doubled; one up; then y and z turned back
    assert result.means[0].tolist() == pytest.approx([-4.5, -14.0, 6.0], abs=1e-5)
    assert result.scales[0].tolist() == pytest.approx([0.02, 1.0, 4.0])
    flip, turn = np.diag([1.0, -1.0, -1.0]), np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    wanted = flip @ turn @ flip @ rotation(one().quats[0].numpy())
    assert np.allclose(rotation(result.quats[0].numpy()), wanted, atol=1e-5)


def test_two_primitives_a_mesh_and_integers(tmp_path):
    """One set quantised and interleaved, one plain, and triangles that are none of our business."""
    file = GltfWriter()
    position = file.add(np.float32([[1, 2, 3], [4, 5, 6]]), bounds=True)
    attributes = {
        "POSITION": position,
        f"{KHR}:ROTATION": file.add(np.int16([[0, 0, 0, 32767], [32767, 0, 0, -32768]]), normalized=True),
        f"{KHR}:SCALE": file.add(np.uint16([[65535, 13107, 0, 7], [1, 2, 3, 7]]), normalized=True),
        f"{KHR}:OPACITY": file.add(np.uint8([[255, 9, 9, 9], [51, 9, 9, 9]]), normalized=True),
        f"{KHR}:SH_DEGREE_0_COEF_0": file.add(np.zeros((2, 3), np.float32)),
    }
    splats = {"attributes": attributes, "mode": 0, "extensions": {KHR: {"kernel": "ellipse", "colorSpace": "x"}}}
    plain = {"attributes": {"POSITION": position}, "mode": 0}
    document = {"nodes": [{"mesh": 0}], "meshes": [{"primitives": [plain, splats]}]}
    file.write(tmp_path / "raw.glb", "file", document)
    document, binary = taken_apart(tmp_path / "raw.glb")
    # rows of eight and four bytes of which fewer are used: strides
    for name, kind, stride in (("SCALE", "VEC3", 8), ("OPACITY", "SCALAR", 4)):
        accessor = document["accessors"][attributes[f"{KHR}:{name}"]]
        accessor["type"] = kind
        document["bufferViews"][accessor["bufferView"]]["byteStride"] = stride
    result = read_glb(put_together(tmp_path / "two.glb", document, binary))
    assert result.means.tolist() == [[1, -2, -3], [4, -5, -6]]
    assert result.scales[0].tolist() == pytest.approx([1, 0.2, 0])
    assert result.opacities.tolist() == pytest.approx([1, 0.2])
    assert result.quats[0].tolist() == [1, 0, 0, 0]
    assert result.quats[1].abs().tolist() == pytest.approx([math.sqrt(0.5), math.sqrt(0.5), 0, 0], abs=1e-4)
    assert result.colors.unique().tolist() == [0.5]


def test_linear_colours_are_brought_to_srgb(tmp_path):
    write_glb(tmp_path / "one.glb", one())
    document, binary = taken_apart(tmp_path / "one.glb")
    document["meshes"][0]["primitives"][0]["extensions"][KHR]["colorSpace"] = "lin_rec709_display"
    result = read_glb(put_together(tmp_path / "linear.glb", document, binary))
    assert result.colors[0].tolist() == pytest.approx([0.4845, 0.7977, 1.0], abs=1e-4)


def test_higher_harmonics_are_ignored_and_reported(tmp_path, caplog):
    write_glb(tmp_path / "one.glb", one())
    document, binary = taken_apart(tmp_path / "one.glb")
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    attributes[f"{KHR}:SH_DEGREE_1_COEF_0"] = attributes["POSITION"]
    result = read_glb(put_together(tmp_path / "bands.glb", document, binary))
    assert result.colors[0].tolist() == pytest.approx([0.2, 0.6, 1.0], abs=1e-6)
    assert "above degree 0" in caplog.text


# ---- what strangers may write ----


def change(path: str, value: Any):
    """Set ``a.0.b`` of the document to a value, or take it away."""

    def apply(document: dict[str, Any]) -> None:
        *way, last = [int(word) if word.isdigit() else word for word in path.split("/")]
        place: Any = document
        for word in way:
            place = place[word]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return apply


SPLATS = "meshes/0/primitives/0"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (f"{SPLATS}/extensions", None, "holds no Gaussians"),
        (f"{SPLATS}/extensions/{KHR}/extensions", {"KHR_some_spz": {}}, "compressed by KHR_some_spz"),
        (f"{SPLATS}/attributes/{KHR}:SCALE", None, "lacks KHR_gaussian_splatting:SCALE"),
        (f"{SPLATS}/attributes/{KHR}:SCALE", 0, None),  # positions as scales: one of them is negative
        (f"{SPLATS}/attributes/{KHR}:OPACITY", 0, "another type than SCALAR"),
        (f"{SPLATS}/attributes/POSITION", 99, "no 99 in 'accessors'"),
        (f"{SPLATS}/attributes/POSITION", -1, "no -1"),
        (f"{SPLATS}/attributes/POSITION", "0", "no '0'"),
        (f"{SPLATS}/attributes/POSITION", True, "no True"),
        ("accessors/0/count", 2, "outside of its buffer"),
        ("accessors/0/count", 10**30, "has no size"),
        ("accessors/0/count", 0, "has no size"),
        ("accessors/0/count", 1.0, "has no size"),
        ("accessors/0/byteOffset", 4, "outside of its buffer"),
        ("accessors/0/componentType", 5130, "another type"),
        ("accessors/0/componentType", [5126], "another type"),
        ("accessors/0/sparse", {"count": 1}, "sparse"),
        ("accessors/0/bufferView", None, "sparse"),
        ("bufferViews/0/byteStride", 2, "a stride of 2"),
        ("bufferViews/0/byteStride", 8, "a stride of 8"),
        ("bufferViews/0/byteLength", 2**31, "outside of its buffer"),
        ("buffers/0/uri", "elsewhere.bin", "another file"),
        ("nodes/0/children", [0], "two parents"),
        ("nodes/0/children", "all", "no list"),
        ("nodes/0/children", [7], "no 7 in 'nodes'"),
        ("nodes/0/scale", [1, 1, -1], "mirrors"),
        ("nodes/0/scale", [1, 1, 2], "scales unevenly"),
        ("nodes/0/scale", [0, 0, 0], "mirrors"),
        ("nodes/0/matrix", [1] * 16, "mirrors"),
        ("nodes/0/translation", [1, 2], "not made of 3 numbers"),
        ("nodes/0/translation", [1, 2, 1e300], "not made of 3 numbers"),
        ("scenes/0/nodes", 0, "no list"),
        ("scene", 3, "no 3 in 'scenes'"),
        ("scenes/0/nodes", [], "holds no Gaussians"),
        ("nodes", {"0": {}}, "'nodes' is no list"),
        ("meshes/0/primitives", [None], "'primitives' is no list"),
    ],
)
def test_contradictions_are_refused_in_one_line(tmp_path, path, value, words):
    write_glb(tmp_path / "one.glb", one())
    document, binary = taken_apart(tmp_path / "one.glb")
    change(path, value)(document)
    file = put_together(tmp_path / "bad.glb", document, binary)
    with pytest.raises(InputError, match=words) as caught:
        read_glb(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"glTF" + struct.pack("<II", 1, 100) + bytes(88), "version 1"),
        (b"glTX" + bytes(96), "does not begin with 'glTF'"),
        (b"glTF", "cut off"),
        (struct.pack("<4sII", b"glTF", 2, 1000) + bytes(88), "cut off"),
        (struct.pack("<4sIII4s", b"glTF", 2, 24, 4, b"BIN\0") + b"{}  ", "does not begin with a JSON chunk"),
        (struct.pack("<4sIII4s", b"glTF", 2, 24, 4, b"JSON") + b"{]  ", "not readable"),
        (struct.pack("<4sIII4s", b"glTF", 2, 24, 4, b"JSON") + b"[1] ", "no object"),
        (struct.pack("<4sIII4s", b"glTF", 2, 24, 4, b"JSON") + b"{}  ", "holds no Gaussians"),
        (struct.pack("<4sIII4s", b"glTF", 2, 4, 100000, b"JSON") + b"[" * 100000, "not readable"),
    ],
)
def test_what_is_no_container_is_refused(tmp_path, content, words):
    (tmp_path / "bad.glb").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_glb(tmp_path / "bad.glb")


def test_a_small_file_cannot_fill_the_memory_by_repeating_itself(tmp_path, grid):
    write_glb(tmp_path / "scene.glb", grid(10))
    document, binary = taken_apart(tmp_path / "scene.glb")
    document["nodes"] = [{"mesh": 0} for _ in range(1000)]
    document["scenes"][0]["nodes"] = list(range(1000))
    with pytest.raises(InputError, match="repeats"):
        read_glb(put_together(tmp_path / "bomb.glb", document, binary))
    document["nodes"], document["scenes"][0]["nodes"] = document["nodes"][:2], [0, 1]
    assert len(read_glb(put_together(tmp_path / "twice.glb", document, binary))) == 2000


def test_a_description_beyond_a_mebibyte_is_refused(tmp_path):
    write_glb(tmp_path / "one.glb", one())
    document, binary = taken_apart(tmp_path / "one.glb")
    document["extras"] = "x" * (1 << 20)
    with pytest.raises(InputError, match="more than one scene"):
        read_glb(put_together(tmp_path / "long.glb", document, binary))


def test_a_file_beyond_the_format_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr("lyra.io.formats.gltf_container._LARGEST", 1000)
    with pytest.raises(InputError, match="more than 4 GiB"):
        write_glb(tmp_path / "one.glb", one())
    assert list(tmp_path.iterdir()) == []


def test_the_reader_finds_it_by_its_content(tmp_path):
    write_glb(tmp_path / "scene.ply", one())
    assert torch.equal(read_gaussians(tmp_path / "scene.ply").means, one().means)
    assert GltfReader(tmp_path / "scene.ply", "GLB file").document["nodes"][0]["name"] == "Gaussians"
