"""Reading any file of Gaussians, whatever it is called."""

import zipfile

import pytest
import torch

from lyra.io import FORMATS, load_scene, read_gaussians
from lyra.structures import InputError


def test_the_table_is_what_help_and_exports_need():
    assert {"ply", "compressed-ply", "splat", "spz", "sog"} <= set(FORMATS)
    assert len({each.suffix for each in FORMATS.values()}) == len(FORMATS)
    for name, each in FORMATS.items():
        assert each.name == name
        assert each.suffix.startswith(".")
        assert "\n" not in each.summary
        assert "axes" in each.summary and "scene units" in each.summary


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("disguise", ["scene.ply", "scene", "scene.SPZ"])
def test_the_content_decides(tmp_path, grid, differences, name, disguise):
    if name == "splat":
        disguise = "scene.SPLAT"  # the one format without a mark
    original = grid(3)
    path = tmp_path / disguise
    FORMATS[name].write(path, original)
    assert differences(original, read_gaussians(path))["position"] < 1e-3


@pytest.mark.parametrize("name", FORMATS)
def test_every_file_is_a_scene(tmp_path, grid, differences, name):
    original = grid(3)
    path = tmp_path / f"scene{FORMATS[name].suffix}"
    FORMATS[name].write(path, original)
    loaded = load_scene(path)
    assert differences(original, loaded.gaussians[0])["position"] < 1e-3
    assert torch.equal(loaded.source.c2w[0], torch.eye(4))
    assert loaded.provenance == {"file": path.name}


def test_the_official_tensor_dump_is_no_sog(tmp_path, grid, differences):
    g = grid(3)
    dump = torch.cat([g.means, g.opacities[:, None], g.scales, g.quats, g.colors], dim=1)
    torch.save(dump[None], tmp_path / "gaussians_0.ply")
    assert differences(g, read_gaussians(tmp_path / "gaussians_0.ply"))["position"] == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(60), "none of ply, compressed-ply, splat, spz, sog"),
        ("splats.bin", bytes(64), "none of ply"),
        ("empty.sog", b"", "is empty"),
        ("cut.sog", b"PK\x03\x04" + bytes(60), "damaged archive"),
        ("cut.spz", b"\x1f\x8b" + bytes(60), "damaged|cut off"),
        ("cut.ply", b"ply\n", "damaged header"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_gaussians(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_a_folder_and_another_archive(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_gaussians(tmp_path / "nothing.spz")
    with pytest.raises(InputError, match="is a folder"):
        read_gaussians(tmp_path)
    with zipfile.ZipFile(tmp_path / "papers.zip", "w") as archive:
        archive.writestr("letter.txt", "dear")
    with pytest.raises(InputError, match="archive"):
        read_gaussians(tmp_path / "papers.zip")


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "splat"])  # any 32 bytes may be a splat
def test_a_reader_refuses_the_other_formats(tmp_path, grid, name):
    for other, form in FORMATS.items():
        if other != name:
            form.write(tmp_path / other, grid(3)[:5])
            with pytest.raises(InputError, match=str(tmp_path)):
                FORMATS[name].read(tmp_path / other)
