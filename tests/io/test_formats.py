"""Every format: what comes back, how far off, in which bytes. Bad files have tests of their own."""

import gzip
import io
import json
import logging
import math
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from lyra.io import FORMATS
from lyra.io.formats.compressed_ply import read_compressed_ply, write_compressed_ply
from lyra.io.formats.packing import from_smallest_three, morton_order, smallest_three
from lyra.io.formats.sog import read_sog, write_sog
from lyra.io.formats.splat_file import read_splat, write_splat
from lyra.io.formats.spz import read_spz, write_spz
from lyra.structures import Gaussians, InputError

C0 = 0.28209479177387814

# Half a step of what each format stores. Position in a compressed PLY, and scale and colour in SOG, whose steps depend
# on the scene: what independent writers reached on one like this, colour a tenth more because this one is small.
# Rotation: where the three smaller components are off by ε, it is off by 2 √12 ε at most.
TOLERANCES = {
    "ply": {"position": 0, "color": 1e-4, "opacity": 1e-4, "scale": 3e-6, "rotation": 1e-4},
    "compressed-ply": {"position": 1.9e-3, "color": 0.501, "opacity": 0.501, "scale": 3e-3, "rotation": 0.275},
    "splat": {"position": 0, "color": 0.501, "opacity": 0.501, "scale": 1e-6, "rotation": 0.896},
    "spz": {"position": 0.501 / 4096, "color": 0.941, "opacity": 0.501, "scale": 0.501 / 16, "rotation": 0.275},
    "sog": {"position": 1.3e-4, "color": 0.66, "opacity": 0.501, "scale": 0.03, "rotation": 1.101},
    "glb": {"position": 0, "color": 1e-4, "opacity": 0, "scale": 0, "rotation": 1e-4},
    "usd": {"position": 0, "color": 1e-4, "opacity": 0, "scale": 0, "rotation": 1e-4},
}
BYTES_EACH = {"ply": 68, "compressed-ply": 16.5, "splat": 32, "spz": 17.5, "sog": 17, "glb": 60.1, "usd": 57}


def one(mean=(1.5, -2.25, 3.0), quat=(0.5, 0.5, -0.5, 0.5), scale=(0.01, 0.5, 2.0), opacity=0.3, color=(0.2, 0.6, 1.0)):
    rows = (torch.tensor([each]) for each in (mean, quat, scale))
    return Gaussians(*rows, torch.tensor([opacity]), torch.tensor([color]))


@pytest.mark.parametrize("name", FORMATS)
def test_a_scene_comes_back_within_the_steps_of_the_format(tmp_path, grid, differences, name):
    original = grid(20)
    path = tmp_path / f"scene{FORMATS[name].suffix}"
    FORMATS[name].write(path, original)
    found = differences(original, FORMATS[name].read(path))
    assert not {key: value for key, value in found.items() if value > TOLERANCES[name][key]}
    assert path.stat().st_size <= BYTES_EACH[name] * len(original) + 1000
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_scene_gives_the_same_bytes_and_reading_is_stable(tmp_path, grid, name):
    first, second = tmp_path / "first", tmp_path / "second"
    FORMATS[name].write(first, grid(4))
    FORMATS[name].write(second, grid(4))
    assert first.read_bytes() == second.read_bytes()
    once = FORMATS[name].read(first)
    FORMATS[name].write(second, once)
    again = FORMATS[name].read(second)
    # a second trip through the format may round again, but never away
    assert (once.means - again.means).abs().max() <= 2e-3
    assert (once.colors - again.colors).abs().max() <= 1.5 / 255


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("count", [1, 255, 256, 257])
def test_any_number_of_gaussians(tmp_path, grid, differences, name, count):
    original = grid(8)[:count]
    path = tmp_path / "scene"
    FORMATS[name].write(path, original)
    found = differences(original, FORMATS[name].read(path))
    # fewer Gaussians may only be closer
    assert not {key: value for key, value in found.items() if value > TOLERANCES[name][key]}


@pytest.mark.parametrize("name", FORMATS)
def test_equal_gaussians_are_exact_where_the_format_has_ranges(tmp_path, name):
    original = one()[torch.zeros(300, dtype=torch.long)]
    path = tmp_path / "scene"
    FORMATS[name].write(path, original)
    result = FORMATS[name].read(path)
    assert len(result) == 300
    assert torch.allclose(result.means, original.means, atol=1e-6)
    assert torch.allclose(result.colors, original.colors, atol=0.5 / 255 + (0.5 / 255 if name == "spz" else 0))
    assert torch.allclose(result.scales.log(), original.scales.log(), atol=1e-5 if name != "spz" else 1 / 32)


@pytest.mark.parametrize("name", FORMATS)
def test_extreme_values_stay_finite_and_a_zero_quaternion_is_upright(tmp_path, name):
    original = Gaussians(
        torch.tensor([[0.0, 0, 0], [1, 2, 3], [1000, -1000, 1000]]),
        torch.tensor([[0.0, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, -1]]),
        torch.tensor([[0.0, 1e-38, 1e30]] * 3),
        torch.tensor([0.0, 1.0, 0.5]),
        torch.tensor([[0.0, 1.0, 0.5]] * 3),
    )
    path = tmp_path / "scene"
    FORMATS[name].write(path, original)
    result = FORMATS[name].read(path)
    result = result[result.means[:, 0].argsort()]
    assert len(result) == 3
    for values in (result.means, result.quats, result.scales, result.opacities, result.colors):
        assert torch.isfinite(values).all()
    assert result.opacities.tolist() == pytest.approx([0, 1, 0.5], abs=1 / 255)
    assert result.colors[0].tolist() == pytest.approx([0, 1, 0.5], abs=1 / 255)
    identity, turned = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0.0, 0, 0, 1])
    assert (result.quats[0] @ identity).abs() > 0.9999
    assert (result.quats[1] @ identity).abs() > 0.9999
    assert (result.quats[2] @ turned).abs() > 0.9999


@pytest.mark.parametrize("name", FORMATS)
def test_writers_refuse_what_is_no_scene_and_leave_nothing(tmp_path, grid, name):
    broken = grid(2)
    broken.means[1, 1] = torch.nan
    with pytest.raises(ValueError, match="means"):
        FORMATS[name].write(tmp_path / "scene", broken)
    with pytest.raises(ValueError, match="no Gaussians"):
        FORMATS[name].write(tmp_path / "scene", grid(2)[:0])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        FORMATS[name].write(tmp_path / "file" / "scene", grid(2))


@pytest.mark.parametrize("name", FORMATS)
def test_an_interrupted_write_keeps_the_old_file(tmp_path, grid, name, monkeypatch):
    path = tmp_path / "scene"
    FORMATS[name].write(path, grid(2))
    before = path.read_bytes()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        FORMATS[name].write(path, grid(3))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["scene"]


# ---- bytes, one format after the other, taken apart by hand ----


def test_splat_bytes(tmp_path):
    write_splat(tmp_path / "one.splat", one(quat=(0.5, 0.5, -0.5, 0.5)))
    content = (tmp_path / "one.splat").read_bytes()
    assert struct.unpack("<6f", content[:24]) == pytest.approx((1.5, -2.25, 3.0, 0.01, 0.5, 2.0))
    assert list(content[24:]) == [51, 153, 255, 77, 192, 192, 64, 192]  # 0.3 in float32 is a little more


def test_compressed_ply_bytes(tmp_path):
    low, high = one(), one(mean=(2.5, -1.25, 7.0), quat=(0.1, 0.2, -0.97, 0.1), scale=(0.1, 0.5, 1.0), color=(0, 0, 0))
    middle = one(mean=(2.0, -1.75, 5.0), scale=(0.1, 0.5, 1.0), opacity=1.0, color=(0.1, 0.3, 0.5))
    scene = Gaussians(*(torch.cat([getattr(g, f) for g in (low, high, middle)]) for f in Gaussians.__annotations__))
    write_compressed_ply(tmp_path / "three.ply", scene)
    header, _, body = (tmp_path / "three.ply").read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element chunk 1"]
    names = [line.split()[-1] for line in lines if line.startswith("property")]
    chunk = dict(zip(names[:18], struct.unpack("<18f", body[:72]), strict=True))
    assert [chunk[f"min_{axis}"] for axis in "xyz"] == [1.5, -2.25, 3.0]
    assert [chunk[f"max_{axis}"] for axis in "xyz"] == [2.5, -1.25, 7.0]
    assert chunk["min_scale_x"] == pytest.approx(math.log(0.01))
    assert [chunk["max_r"], chunk["max_g"], chunk["max_b"]] == pytest.approx([0.2, 0.6, 1.0])
    assert names[18:] == ["packed_position", "packed_rotation", "packed_scale", "packed_color"]
    rows = np.frombuffer(body[72:], "<u4").reshape(3, 4)
    assert rows[0, 0] == 0  # Morton order: the corner with the lowest coordinates first
    assert rows[1, 0] == 1024 << 21 | 512 << 11 | 1024  # half way, rounded up
    assert rows[2, 0] == 2047 << 21 | 1023 << 11 | 2047
    assert rows[1, 3] == 128 << 24 | 128 << 16 | 128 << 8 | 255
    # the third component, y, is the largest and negative: the others change their sign; 0.2 -> -0.2
    x = round((-0.2 / np.linalg.norm([0.1, 0.2, 0.97, 0.1]) * math.sqrt(0.5) + 0.5) * 1023)
    assert rows[2, 1] >> 30 == 2
    assert rows[2, 1] >> 10 & 1023 == x
    assert rows[1, 2] == 2047 << 21 | 0 << 11 | 0  # log scale of 0.1 is the highest x, 0.5 the only y, 1.0 the lowest z


def test_the_last_chunk_of_a_compressed_ply_has_its_own_extremes(tmp_path, grid):
    original = grid(7)[:258]
    write_compressed_ply(tmp_path / "scene.ply", original)
    # two in a chunk: on every axis one is the least and one the greatest, so both are exact
    for last in read_compressed_ply(tmp_path / "scene.ply").means[-2:]:
        assert (original.means == last).all(dim=1).sum() == 1


def test_an_older_compressed_ply_of_any_byte_order_without_extremes_of_colour(tmp_path, grid, differences, caplog):
    original = grid(5)
    write_compressed_ply(tmp_path / "new.ply", original)
    header, _, body = (tmp_path / "new.ply").read_bytes().partition(b"end_header\n")
    chunks = np.frombuffer(body[:72], "<f4")
    rows = np.frombuffer(body[72:], "<u4").reshape(-1, 4).copy()
    parts = np.stack([rows[:, 3] >> shift & 255 for shift in (24, 16, 8)], axis=1) / 255
    absolute = np.rint((chunks[12:15] * (1 - parts) + chunks[15:18] * parts) * 255).astype(np.uint32)
    rows[:, 3] = absolute[:, 0] << 24 | absolute[:, 1] << 16 | absolute[:, 2] << 8 | rows[:, 3] & 255
    text = header.decode().replace("little", "big")
    for channel in "rgb":
        for side in ("min", "max"):
            text = text.replace(f"property float {side}_{channel}\n", "")
    text += f"element sh {len(original)}\nproperty uchar f_rest_0\nend_header\n"
    content = chunks[:12].astype(">f4").tobytes() + rows.astype(">u4").tobytes() + bytes(len(original))
    (tmp_path / "old.ply").write_bytes(text.encode() + content)
    with caplog.at_level(logging.WARNING, logger="lyra"):
        found = differences(original, read_compressed_ply(tmp_path / "old.ply"))
    assert found["color"] < 1.1
    assert found["position"] < TOLERANCES["compressed-ply"]["position"]
    assert "view-dependent" in caplog.text


def test_spz_bytes_are_version_3_with_y_and_z_turned(tmp_path):
    write_spz(tmp_path / "one.spz", one(quat=(0.1, 0.7, -0.2, 0.3), scale=(0.01, 0.5, 2.0)))
    content = gzip.decompress((tmp_path / "one.spz").read_bytes())
    assert content[:16] == b"NGSP" + struct.pack("<IIBBBB", 3, 1, 0, 12, 0, 0)
    fixed = [int.from_bytes(content[16 + 3 * axis : 19 + 3 * axis], "little", signed=True) for axis in range(3)]
    assert fixed == [1.5 * 4096, 2.25 * 4096, -3.0 * 4096]
    assert content[25] in (76, 77)  # 0.3 x 255
    assert list(content[26:29]) == [round(127.5 + 255 * 0.15 * (c - 0.5) / C0) for c in (0.2, 0.6, 1.0)]
    assert list(content[29:32]) == [round(16 * (math.log(s) + 10)) for s in (0.01, 0.5, 2.0)]
    packed = int.from_bytes(content[32:36], "little")
    length = np.linalg.norm([0.1, 0.7, 0.2, 0.3])
    assert packed >> 30 == 0  # of x y z w: x
    for place, value in ((20, 0.2), (10, -0.3), (0, 0.1)):  # y and z turned, w as it was
        part = packed >> place & 1023
        assert part >> 9 == (value < 0)
        assert part & 511 == round(511 * math.sqrt(2) * abs(value) / length)
    assert len(content) == 36


@pytest.mark.parametrize(("extent", "bits"), [(1.0, 12), (2047.0, 12), (2049.0, 11), (8388607.0, 0), (0.001, 21)])
def test_spz_chooses_steps_that_hold_the_scene(tmp_path, extent, bits):
    scene = one(mean=(extent, -extent, 0.25 * extent))
    write_spz(tmp_path / "one.spz", scene)
    assert gzip.decompress((tmp_path / "one.spz").read_bytes())[13] == bits
    assert torch.allclose(read_spz(tmp_path / "one.spz").means, scene.means, atol=0.5 / 2**bits, rtol=0)


def test_spz_refuses_a_scene_beyond_its_numbers(tmp_path):
    with pytest.raises(InputError, match="position is at 1e\\+07"):
        write_spz(tmp_path / "one.spz", one(mean=(1e7, 0, 0)))
    assert list(tmp_path.iterdir()) == []


def spz(version: int, degree: int = 0, flags: int = 0, tail: bytes = b"") -> bytes:
    """Two Gaussians in RUB, packed by hand: at (1, 2, -3) and (-1, 0.5, 0.25), the second turned by 90° about x."""
    head = b"NGSP" + struct.pack("<IIBBBB", version, 2, degree, 8, flags, 0)
    points = [(1, 2, -3), (-1, 0.5, 0.25)]
    if version == 1:
        positions = struct.pack("<6e", *points[0], *points[1])
    else:
        positions = b"".join(int(256 * x).to_bytes(3, "little", signed=True) for point in points for x in point)
    if version < 3:
        rotations = bytes([128, 128, 128, 218, 128, 128])  # 218 = 127.5 + 127.5 x sin 45
    else:
        # w, the fourth, left out and the rest 0; w left out and x the greatest it can be, 511 / 511 of sin 45
        rotations = struct.pack("<II", 3 << 30, 3 << 30 | 511 << 20)
    rest = bytes([255, 51]) + bytes([128] * 6) + bytes([160] * 6) + rotations
    harmonics = bytes(2 * 3 * (0, 3, 8, 15, 24)[degree])
    return head + positions + rest + harmonics + tail


def check_spz(result: Gaussians, signs=(1, -1, -1)) -> None:
    points = torch.tensor([[1, 2, -3], [-1, 0.5, 0.25]]) * torch.tensor(signs)
    assert torch.equal(result.means, points)
    assert result.opacities.tolist() == pytest.approx([1, 0.2])
    assert result.scales[0].tolist() == pytest.approx([1, 1, 1])
    half = math.sqrt(0.5)
    turn = signs[1] * signs[2]  # the direction of a turn about x changes with each mirrored axis across
    for got, wanted in zip(result.quats.tolist(), [[1, 0, 0, 0], [half, turn * half, 0, 0]], strict=True):
        assert got == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4])
def test_spz_of_every_gzip_version_and_degree(tmp_path, version, degree, caplog):
    (tmp_path / "two.spz").write_bytes(gzip.compress(spz(version, degree)))
    with caplog.at_level(logging.WARNING, logger="lyra"):
        check_spz(read_spz(tmp_path / "two.spz"))
    assert ("view-dependent" in caplog.text) == (degree > 0)


def coordinate_record(system: int) -> bytes:
    return struct.pack("<II5s", 0x00010001, 5, b"other") + struct.pack("<III", 0xADBE0003, 4, system)


@pytest.mark.parametrize(
    ("system", "signs"), [(0, (1, -1, -1)), (4, (1, -1, -1)), (6, (1, 1, 1)), (8, (1, -1, 1)), (1, (-1, 1, -1))]
)
def test_spz_axes_of_an_extension_record(tmp_path, system, signs):
    (tmp_path / "two.spz").write_bytes(gzip.compress(spz(3, flags=2, tail=coordinate_record(system))))
    check_spz(read_spz(tmp_path / "two.spz"), signs)


def test_spz_axes_that_are_exchanged_are_refused(tmp_path):
    (tmp_path / "two.spz").write_bytes(gzip.compress(spz(3, flags=2, tail=coordinate_record(12))))
    with pytest.raises(InputError, match="axes"):
        read_spz(tmp_path / "two.spz")


def spz4(extension: bytes = b"", sizes: tuple[int, ...] | None = None) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    content = spz(3)[16:]
    sections = [content[:18], content[18:20], content[20:26], content[26:32], content[32:40]]
    packed = [zstandard.compress(section) for section in sections]
    table = 32 + len(extension)
    head = b"NGSP" + struct.pack("<IIBBBBI12x", 4, 2, 0, 8, 2 if extension else 0, 5, table)
    unpacked = sizes or tuple(map(len, sections))
    entries = b"".join(struct.pack("<QQ", len(p), u) for p, u in zip(packed, unpacked, strict=True))
    return head + extension + entries + b"".join(packed)


def test_spz_version_4(tmp_path):
    (tmp_path / "two.spz").write_bytes(spz4())
    check_spz(read_spz(tmp_path / "two.spz"))
    (tmp_path / "two.spz").write_bytes(spz4(coordinate_record(6)))
    check_spz(read_spz(tmp_path / "two.spz"), (1, 1, 1))


def test_spz_version_4_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "two.spz").write_bytes(spz4())
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(InputError, match=r"pip install 'lyra-scenes\[spz\]'"):
        read_spz(tmp_path / "two.spz")


def test_sog_pictures_and_meta(tmp_path, grid):
    original = grid(5)
    write_sog(tmp_path / "scene.sog", original)
    with zipfile.ZipFile(tmp_path / "scene.sog") as archive:
        meta = json.loads(archive.read("meta.json"))
        pictures = {
            name: np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGBA")).reshape(-1, 4).astype(int)
            for name in archive.namelist()
            if name.endswith(".webp")
        }
    count = len(original)
    assert (meta["version"], meta["count"]) == (2, count)
    assert all(len(picture) >= count for picture in pictures.values())
    # the format's formula, written out once more
    steps = pictures["means_l.webp"] + 256 * pictures["means_u.webp"]
    low, high = np.array(meta["means"]["mins"]), np.array(meta["means"]["maxs"])
    logs = low + (high - low) * steps[:count, :3] / 65535
    means = np.sign(logs) * (np.exp(np.abs(logs)) - 1)
    order = [int(np.abs(original.means.numpy() - mean).max(axis=1).argmin()) for mean in means]
    assert sorted(order) == list(range(count))
    scales = np.array(meta["scales"]["codebook"])[pictures["scales.webp"][:count, :3]]
    assert np.abs(scales - original.scales[order].log().numpy()).max() < TOLERANCES["sog"]["scale"]
    colors = 0.5 + C0 * np.array(meta["sh0"]["codebook"])[pictures["sh0.webp"][:count, :3]]
    assert 255 * np.abs(colors - original.colors[order].numpy()).max() < TOLERANCES["sog"]["color"]
    assert np.abs(pictures["sh0.webp"][:count, 3] / 255 - original.opacities[order].numpy()).max() < 0.51 / 255
    tags = pictures["quats.webp"][:count, 3] - 252
    assert (tags == original.quats[order].abs().argmax(dim=1).numpy()).all()


def test_sog_keeps_colours_of_transparent_gaussians(tmp_path):
    # an encoder free to change what is behind alpha 0 would
    scene = Gaussians(
        torch.arange(30.0)[:, None].repeat(1, 3),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(30, 1),
        torch.full((30, 3), 0.1),
        torch.zeros(30),
        torch.linspace(0, 1, 90).reshape(30, 3),
    )
    write_sog(tmp_path / "clear.sog", scene)
    result = read_sog(tmp_path / "clear.sog")
    assert torch.allclose(result.colors[result.means[:, 0].argsort()], scene.colors, atol=1e-3)


def test_sog_with_harmonics_and_unknown_tags_is_read(tmp_path, grid, caplog):
    write_sog(tmp_path / "scene.sog", grid(3))
    with zipfile.ZipFile(tmp_path / "scene.sog") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    meta = json.loads(files["meta.json"])
    meta["shN"] = {"count": 1, "bands": 1, "codebook": [0] * 256, "files": ["a.webp", "b.webp"]}
    files["meta.json"] = json.dumps(meta).encode()
    quats = np.array(Image.open(io.BytesIO(files["quats.webp"])))
    quats[..., 3] = 7
    file = io.BytesIO()
    Image.fromarray(quats).save(file, "WEBP", lossless=True, exact=True)
    files["quats.webp"] = file.getvalue()
    with zipfile.ZipFile(tmp_path / "other.sog", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with caplog.at_level(logging.WARNING, logger="lyra"):
        result = read_sog(tmp_path / "other.sog")
    assert torch.equal(result.quats, torch.tensor([[1.0, 0, 0, 0]]).repeat(27, 1))
    assert "shN" in caplog.text


# ---- arithmetic ----


def test_smallest_three_is_a_rotation_again():
    generator = torch.Generator().manual_seed(1)
    quats = (3 * torch.randn(1000, 4, generator=generator)).numpy()
    largest, others = smallest_three(quats)
    assert np.abs(others).max() <= 1
    back = from_smallest_three(largest, others)
    unit = quats / np.linalg.norm(quats, axis=1, keepdims=True)
    assert np.abs(np.abs((back * unit).sum(1)) - 1).max() < 1e-6
    assert (back[np.arange(1000), largest] > 0).all()


def test_morton_order_is_that_of_interleaved_bits():
    generator = torch.Generator().manual_seed(1)
    means = torch.rand(300, 3, generator=generator).numpy()
    low, high = means.min(axis=0), means.max(axis=0)
    cells = ((means - low) / (high - low) * 1023).astype(np.float64)
    keys = [
        sum((int(cell[axis]) >> bit & 1) << (3 * bit + axis) for bit in range(10) for axis in range(3))
        for cell in cells
    ]
    order = morton_order(means)
    assert sorted(order.tolist()) == list(range(300))
    assert [keys[i] for i in order] == sorted(keys)


def test_read_splat_of_bytes_written_by_hand(tmp_path):
    content = struct.pack("<6f", 1, 2, 3, 0.1, 0.2, 0.3) + bytes([255, 0, 51, 204, 128, 128, 255, 128])
    (tmp_path / "hand.splat").write_bytes(content)
    result = read_splat(tmp_path / "hand.splat")
    assert result.means.tolist() == [[1, 2, 3]]
    assert result.scales[0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert result.colors[0].tolist() == pytest.approx([1, 0, 0.2])
    assert result.opacities.tolist() == pytest.approx([0.8])
    assert result.quats[0].tolist() == [0, 0, 1, 0]


def test_splats_of_negative_or_no_size_are_left_out(tmp_path, caplog):
    good = [1, 2, 3, 0.1, 0.2, 0.3]
    rows = [good, [1, 2, 3, 0.1, -0.2, 0.3], [math.nan, 2, 3, 0.1, 0.2, 0.3], [1, 2, 3, 0.1, 0.2, math.inf]]
    (tmp_path / "some.splat").write_bytes(b"".join(struct.pack("<6f", *row) + bytes([200] * 8) for row in rows))
    with caplog.at_level(logging.WARNING, logger="lyra"):
        result = read_splat(tmp_path / "some.splat")
    assert result.scales.tolist() == [pytest.approx([0.1, 0.2, 0.3])]
    assert "3 Gaussians" in caplog.text
