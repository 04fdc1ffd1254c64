import logging
import struct

import numpy as np
import pytest
import torch

from lyra.io import read_ply, write_ply
from lyra.structures import Gaussians, InputError

C0 = 0.28209479177387814
NAMES = [
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
]


def gaussians(count: int = 500, seed: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)
    quats = torch.randn(count, 4, generator=generator)
    return Gaussians(
        10 * torch.randn(count, 3, generator=generator),
        quats / quats.norm(dim=1, keepdim=True),
        torch.exp(3 * torch.randn(count, 3, generator=generator) - 5),
        torch.rand(count, generator=generator),
        torch.rand(count, 3, generator=generator),
    )


def header(names=NAMES, count: int = 1, form="binary_little_endian", kind="float", extra="") -> bytes:
    lines = "".join(f"property {kind} {name}\n" for name in names)
    return f"ply\nformat {form} 1.0\n{extra}element vertex {count}\n{lines}end_header\n".encode()


ROW = {
    **{"x": 1.5, "y": -2.25, "z": 3.0, "nx": 9.0, "ny": 9.0, "nz": 9.0},
    **{"f_dc_0": (0.2 - 0.5) / C0, "f_dc_1": (0.6 - 0.5) / C0, "f_dc_2": (1.0 - 0.5) / C0},
    **{"opacity": np.log(0.3 / 0.7), "scale_0": np.log(0.01), "scale_1": np.log(0.5), "scale_2": np.log(2.0)},
    **{"rot_0": 1.0, "rot_1": 1.0, "rot_2": -1.0, "rot_3": 1.0},
}


def check_row(result: Gaussians) -> None:
    assert result.means[0].tolist() == [1.5, -2.25, 3.0]
    assert result.colors[0].tolist() == pytest.approx([0.2, 0.6, 1.0], abs=1e-6)
    assert result.opacities[0].item() == pytest.approx(0.3, abs=1e-6)
    assert result.scales[0].tolist() == pytest.approx([0.01, 0.5, 2.0], rel=1e-6)
    assert result.quats[0].tolist() == pytest.approx([0.5, 0.5, -0.5, 0.5], abs=1e-6)


def test_what_was_written_is_read_to_float32_rounding(tmp_path):
    original = gaussians()
    write_ply(tmp_path / "scene.ply", original)
    result = read_ply(tmp_path / "scene.ply")
    assert torch.equal(result.means, original.means)
    assert torch.equal(result.quats, original.quats)
    assert torch.allclose(result.scales, original.scales, rtol=3e-6, atol=0)
    assert torch.allclose(result.opacities, original.opacities, atol=2e-7, rtol=0)
    assert torch.allclose(result.colors, original.colors, atol=2e-7, rtol=0)
    assert [p.name for p in tmp_path.iterdir()] == ["scene.ply"]


def test_a_file_spanning_several_chunks_keeps_its_order(tmp_path):
    original = gaussians(150_000)
    write_ply(tmp_path / "scene.ply", original)
    assert torch.equal(read_ply(tmp_path / "scene.ply").means, original.means)


def test_the_bytes_are_those_of_the_inria_layout(tmp_path):
    one = Gaussians(
        torch.tensor([[1.5, -2.25, 3.0]]),
        torch.tensor([[0.5, 0.5, -0.5, 0.5]]),
        torch.tensor([[0.01, 0.5, 2.0]]),
        torch.tensor([0.3]),
        torch.tensor([[0.2, 0.6, 1.0]]),
    )
    write_ply(tmp_path / "one.ply", one)
    content = (tmp_path / "one.ply").read_bytes()
    assert content.startswith(header())
    row = struct.unpack("<17f", content[len(header()) :])
    expected = [ROW[name] for name in NAMES]
    expected[3:6] = [0, 0, 0]
    expected[13:] = [0.5, 0.5, -0.5, 0.5]
    assert row == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_file_packed_by_hand_is_read(tmp_path):
    path = tmp_path / "hand.ply"
    path.write_bytes(header() + struct.pack("<17f", *(ROW[name] for name in NAMES)))
    check_row(read_ply(path))


@pytest.mark.parametrize(("form", "kind", "code"), [("little", "double", "<d"), ("big", "float", ">f")])
def test_any_order_and_number_type_without_normals_and_with_foreign_elements(tmp_path, form, kind, code):
    names = [name for name in reversed(NAMES) if not name.startswith("n")] + ["confidence"]
    values = [ROW.get(name, 0.0) for name in names]
    extra = "comment made by hand\nelement camera 2\nproperty uchar id\nproperty int focal\n"
    content = header(names, form=f"binary_{form}_endian", kind=kind, extra=extra)
    content += bytes(2 * 5) + struct.pack(f"{code[0]}{len(names)}{code[1]}", *values) + b"trailing"
    path = tmp_path / "other.ply"
    path.write_bytes(content)
    check_row(read_ply(path))


def test_text_is_read_behind_other_elements(tmp_path):
    names = [name for name in reversed(NAMES) if not name.startswith("n")]
    extra = "obj_info by hand\nelement face 2\nproperty list uchar int corners\n"
    lines = ["3 0 1 2", "4 0 1 2 3", *(" ".join(f"{ROW[name]:.9g}" for name in names) for _ in range(2))]
    path = tmp_path / "text.ply"
    path.write_text(header(names, count=2, form="ascii", extra=extra).decode() + "\n".join(lines))
    result = read_ply(path)
    assert len(result) == 2
    check_row(result)


def test_text_of_several_chunks_with_values_that_are_none(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("lyra.io.ply._CHUNK", 100)
    count = 250
    names = [name for name in NAMES if not name.startswith("n")]
    table = np.tile(np.float32([ROW[name] for name in names]), (count, 1))
    table[:, 0] = np.arange(count)
    path = tmp_path / "text.ply"
    lines = [" ".join(map(str, row)) for row in table.tolist()]
    lines[-1] = lines[-1].replace("249.0", "nan")
    lines[0] = lines[0].replace("-2.25", "1e999")
    path.write_text(header(names, count=count, form="ascii").decode() + "\n".join(lines) + "\n")
    with caplog.at_level(logging.WARNING, logger="lyra"):
        result = read_ply(path)
    assert result.means[:, 0].tolist() == list(range(1, count - 1))
    assert "2 Gaussians" in caplog.text


def test_higher_harmonics_are_ignored_and_reported(tmp_path, caplog):
    names = [*NAMES[:9], "f_rest_0", "f_rest_1", *NAMES[9:]]
    path = tmp_path / "rest.ply"
    path.write_bytes(header(names) + struct.pack("<19f", *(ROW.get(name, 0.4) for name in names)))
    with caplog.at_level(logging.WARNING, logger="lyra"):
        check_row(read_ply(path))
    assert "2 view-dependent" in caplog.text


def test_values_that_are_not_finite_are_left_out_and_reported(tmp_path, caplog):
    rows = [[ROW[name] for name in NAMES] for _ in range(6)]
    rows[0][0] = float("nan")
    rows[1][6] = float("inf")  # a colour that no clamping makes right
    rows[3][16] = float("-inf")
    rows[2][10] = 200.0  # a scale of e^200
    path = tmp_path / "some.ply"
    path.write_bytes(header(count=6) + b"".join(struct.pack("<17f", *row) for row in rows))
    with caplog.at_level(logging.WARNING, logger="lyra"):
        assert len(read_ply(path)) == 2
    assert "4 Gaussians" in caplog.text
    path.write_bytes(header() + struct.pack("<17f", *rows[0]))
    with pytest.raises(InputError, match="no finite Gaussian"):
        read_ply(path)


def test_a_file_full_of_nan_is_refused_and_one_of_huge_doubles_too(tmp_path):
    path = tmp_path / "nan.ply"
    path.write_bytes(header(count=1000) + np.full((1000, 17), np.nan, "<f4").tobytes())
    with pytest.raises(InputError, match="no finite Gaussian"):
        read_ply(path)
    path.write_bytes(header(count=10, kind="double") + np.full((10, 17), 1e300, "<f8").tobytes())
    with pytest.raises(InputError, match="no finite Gaussian"):
        read_ply(path)


def test_extreme_values_stay_finite_and_a_zero_quaternion_is_upright(tmp_path):
    extreme = Gaussians(
        torch.zeros(2, 3),
        torch.zeros(2, 4),
        torch.tensor([[0.0, 1e-38, 1e30]] * 2),
        torch.tensor([0.0, 1.0]),
        torch.tensor([[0.0, 1.0, 0.5]] * 2),
    )
    write_ply(tmp_path / "extreme.ply", extreme)
    result = read_ply(tmp_path / "extreme.ply")
    assert result.opacities.tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert torch.isfinite(result.scales).all()
    assert result.colors[0].tolist() == pytest.approx([0.0, 1.0, 0.5], abs=1e-6)
    assert 0 <= result.colors.min() <= result.colors.max() <= 1
    assert result.quats[0].tolist() == [1, 0, 0, 0]


def test_the_official_tensor_dump_under_a_ply_name_is_read(tmp_path):
    expected = gaussians(20)
    dump = torch.cat(
        [expected.means, expected.opacities[:, None], expected.scales, 2 * expected.quats, expected.colors], dim=1
    )
    torch.save(dump[None], tmp_path / "gaussians_0.ply")
    result = read_ply(tmp_path / "gaussians_0.ply")
    assert torch.equal(result.means, expected.means)
    assert torch.equal(result.opacities, expected.opacities)
    assert torch.equal(result.scales, expected.scales)
    assert torch.allclose(result.quats, expected.quats, atol=1e-6)
    torch.save({"weights": dump}, tmp_path / "other.ply")
    with pytest.raises(InputError, match="archive"):
        read_ply(tmp_path / "other.ply")
    (tmp_path / "zip.ply").write_bytes(b"PK\x03\x04 not an archive after all")
    with pytest.raises(InputError, match="archive"):
        read_ply(tmp_path / "zip.ply")


PACKED = ["packed_position", "packed_rotation", "packed_scale", "packed_color"]
BAD_FILES = {
    "short line": (header(form="ascii", count=2) + b"0 " * 16 + b"\n" + b"0 " * 18 + b"\n", "not 17 numbers"),
    "words": (header(form="ascii") + b"0 " * 16 + b"zero\n", "not 17 numbers"),
    "text cut": (header(form="ascii", count=2) + b"0.00 " * 17 + b"\n", "cut off: 1 of 2"),
    "text huge": (header(form="ascii", count=10**15) + b"0 " * 17 + b"\n", "cut off"),
    "text blank": (header(form="ascii", count=2) + b"\n" * 100, "not 17 numbers"),
    "format": (header(form="text") + bytes(68), "damaged header"),
    "digits": (header().replace(b"vertex 1", "vertex ²".encode("latin-1")) + bytes(68), "damaged header"),
    "negative": (header().replace(b"vertex 1", b"vertex -1") + bytes(68), "damaged header"),
    "endless count": (header().replace(b"vertex 1", b"vertex " + b"9" * 5000) + bytes(68), "damaged header"),
    "far": (header(extra="element face 999999999999999\nproperty int a\n") + bytes(68), "cut off: 0 of 1"),
    "list before": (header(extra="element face 1\nproperty list uchar int a\n") + bytes(99), "no plain 'vertex'"),
    "empty": (b"", "is empty"),
    "other": (b"solid cube", "does not begin with 'ply'"),
    "mesh": (header(["x", "y", "z"]) + bytes(12), "lacks f_dc_0"),
    "compressed": (header(PACKED, kind="uint") + bytes(16), "compressed PLY"),
    "cut": (header(count=3) + bytes(17 * 4 * 2 + 5), "cut off: 2 of 3"),
    "huge": (header(count=10**15) + bytes(68), "cut off"),
    "none": (header(count=0), "holds no Gaussians"),
    "endless": (b"ply\nformat binary_little_endian 1.0\n" + b"comment x\n" * 10000, "damaged header"),
    "twice": (header(["x", *NAMES]) + bytes(72), "damaged header"),
    "kind": (header(kind="complex") + bytes(68), "damaged header"),
    "no_format": (header().replace(b"format binary_little_endian 1.0\n", b"") + bytes(68), "damaged header"),
    "no_vertex": (header().replace(b"vertex", b"corner") + bytes(68), "no plain 'vertex'"),
}


@pytest.mark.filterwarnings("error")  # one line means one line
@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    content, words = BAD_FILES[name]
    path = tmp_path / f"{name}.ply"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_ply(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_left_behind_when_writing_fails(tmp_path):
    broken = gaussians(3)
    broken.means[1, 1] = torch.nan
    with pytest.raises(ValueError, match="means"):
        write_ply(tmp_path / "scene.ply", broken)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        write_ply(tmp_path / "file" / "scene.ply", gaussians(3))
