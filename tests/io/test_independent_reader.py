"""Our files in the hands of another program, and its files in ours: splat-transform of PlayCanvas (npm).

It is found through LYRA_SPLAT_TRANSFORM (path of the command, or of its bin/cli.mjs) or on PATH. Version 2.7.1 runs on
Node 20:

    npm install --prefix FOLDER --ignore-scripts @playcanvas/splat-transform@2.7.1
    export LYRA_SPLAT_TRANSFORM=FOLDER/node_modules/@playcanvas/splat-transform/bin/cli.mjs
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lyra.io import FORMATS, read_gaussians, write_ply
from lyra.structures import Gaussians

# What the format's steps allow (test_formats.py). It takes the rotation of .splat as 255ths around 127.5, where the
# format's own viewer takes 128ths around 128; ours are meant for the latter.
TOLERANCES = {
    "compressed-ply": {"position": 1.9e-3, "color": 0.501, "opacity": 0.501, "scale": 3e-3, "rotation": 0.275},
    "splat": {"position": 0, "color": 0.501, "opacity": 0.501, "scale": 3e-6, "rotation": 1.8},
    "spz": {"position": 0.501 / 4096, "color": 0.941, "opacity": 0.501, "scale": 0.501 / 16, "rotation": 0.275},
    "sog": {"position": 1.3e-4, "color": 0.66, "opacity": 0.501, "scale": 0.03, "rotation": 1.101},
}
# Its SOG is written without rounding: twice the error in what it truncates.
THEIR_SOG = {"position": 2e-4, "color": 0.66, "opacity": 1.001, "scale": 0.06, "rotation": 2.2}


@pytest.fixture(scope="module")
def convert() -> Callable[..., None]:
    """Run splat-transform: options, source, target."""
    given = os.environ.get("LYRA_SPLAT_TRANSFORM")
    found = shutil.which(given or "splat-transform") or (given if given and Path(given).is_file() else None)
    if found is None:
        # asked for by name, it has to be there
        assert not given, f"LYRA_SPLAT_TRANSFORM is {given}, which does not exist"
        pytest.skip("splat-transform is not installed; the first lines of this file tell how")
    command = ["node", found] if found.endswith((".mjs", ".js")) else [found]

    def run(*arguments: object) -> None:
        result = subprocess.run(
            [*command, "-q", "-w", *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
        )
        assert result.returncode == 0, result.stderr + result.stdout

    return run


@pytest.mark.parametrize("name", TOLERANCES)
def test_it_reads_what_we_write(tmp_path, grid, differences, convert, name):
    original = grid(20)
    write_ply(tmp_path / "ours.ply", original)
    ours = tmp_path / f"ours{FORMATS[name].suffix}"
    FORMATS[name].write(ours, original)
    convert(ours, tmp_path / "theirs.ply")
    found = differences(read_gaussians(tmp_path / "ours.ply"), read_gaussians(tmp_path / "theirs.ply"))
    assert not {key: value for key, value in found.items() if value > TOLERANCES[name][key]}


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("compressed-ply", [], TOLERANCES["compressed-ply"]),
        ("spz", ["--spz-version", 3], TOLERANCES["spz"]),
        ("spz", ["--spz-version", 4], TOLERANCES["spz"]),
        ("sog", [], THEIR_SOG),
    ],
)
def test_we_read_what_it_writes(tmp_path, grid, differences, convert, name, options, tolerance):
    if options[-1:] == [4]:
        pytest.importorskip("zstandard")
    original = grid(20)
    # it drops the colour of Gaussians whose opacity becomes 0 in SOG
    original.opacities.clamp_(min=2 / 255)
    write_ply(tmp_path / "ours.ply", original)
    theirs = tmp_path / f"theirs{FORMATS[name].suffix}"
    convert(*options, tmp_path / "ours.ply", theirs)
    found = differences(original, read_gaussians(theirs))
    assert not {key: value for key, value in found.items() if value > tolerance[key]}


def test_we_read_its_glb_which_looks_the_other_way(tmp_path, grid, differences, convert):
    """Version 2.7.1 writes GLB and does not read it. It turns a PLY by 180 degrees about z, where we turn about x."""
    original = grid(6)
    write_ply(tmp_path / "ours.ply", original)
    convert(tmp_path / "ours.ply", tmp_path / "theirs.glb")
    theirs = read_gaussians(tmp_path / "theirs.glb")
    w, x, y, z = theirs.quats.unbind(1)
    w, x, y, z = -y, z, w, -x  # half a turn about y, on the left
    turned = Gaussians(
        theirs.means * torch.tensor([-1.0, 1, -1]),
        torch.stack([-x, w, z, -y], dim=1),  # and about the ellipsoid's own x, which changes nothing of it
        theirs.scales,
        theirs.opacities,
        theirs.colors,
    )
    found = differences(original, turned)
    assert found["position"] < 1e-6
    assert found["rotation"] < 0.05
    assert found["scale"] < 1e-5
    assert max(found["color"], found["opacity"]) < 0.01
