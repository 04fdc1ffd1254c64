"""USD: what the stage says, that OpenUSD's own validators accept it, what other programs may write, and damage."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("pxr", reason="needs usd-core")

from pxr import Gf, Sdf, Usd, UsdGeom, UsdUtils, UsdValidation, UsdVol, Vt

from lyra.io import read_gaussians
from lyra.io.formats import usd
from lyra.io.formats.usd import read_usd, write_usd
from lyra.structures import Gaussians, InputError

C0 = 0.28209479177387814
FORMS = ("usdc", "usda", "usdz")
FLIP = np.diag([1.0, -1.0, -1.0])


def one() -> Gaussians:
    return Gaussians(
        torch.tensor([[1.5, -2.25, 3.0]]),
        torch.tensor([[0.5, 0.5, -0.5, 0.5]]),
        torch.tensor([[0.01, 0.5, 2.0]]),
        torch.tensor([0.3]),
        torch.tensor([[0.2, 0.6, 1.0]]),
    )


def field_of(path: Path) -> UsdVol.ParticleField3DGaussianSplat:
    stage = Usd.Stage.Open(str(path))
    (prim,) = [each for each in stage.Traverse() if each.GetTypeName() == "ParticleField3DGaussianSplat"]
    field_of.stage = stage  # a prim dies with its stage
    return UsdVol.ParticleField3DGaussianSplat(prim)


@pytest.mark.parametrize("form", FORMS)
def test_the_stage_is_what_the_schema_asks_for(tmp_path, form):
    write_usd(tmp_path / f"one.{form}", one())
    assert [each.name for each in tmp_path.iterdir()] == [f"one.{form}"]
    field = field_of(tmp_path / f"one.{form}")
    stage = field.GetPrim().GetStage()
    assert UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.y
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert field.GetPath().HasPrefix(stage.GetDefaultPrim().GetPath())
    # y up and z towards the viewer: both turned
    assert list(field.GetPositionsAttr().Get()) == [Gf.Vec3f(1.5, 2.25, -3.0)]
    (quaternion,) = field.GetOrientationsAttr().Get()
    assert quaternion == Gf.Quatf(0.5, 0.5, 0.5, -0.5)  # real part first
    (scale,) = field.GetScalesAttr().Get()
    assert list(scale) == pytest.approx((0.01, 0.5, 2.0))
    assert list(field.GetOpacitiesAttr().Get()) == pytest.approx([0.3])
    assert field.GetRadianceSphericalHarmonicsDegreeAttr().Get() == 0
    (coefficients,) = field.GetRadianceSphericalHarmonicsCoefficientsAttr().Get()
    assert list(coefficients) == pytest.approx([(c - 0.5) / C0 for c in (0.2, 0.6, 1.0)], abs=1e-6)
    assert Usd.ColorSpaceAPI.ComputeColorSpaceName(field.GetPrim(), None) == Gf.ColorSpaceNames.SRGBRec709
    low, high = field.GetExtentAttr().Get()
    assert list(low) == pytest.approx([1.5 - 6, 2.25 - 6, -3 - 6])  # three standard deviations of the longest axis
    assert list(high) == pytest.approx([1.5 + 6, 2.25 + 6, -3 + 6])


def complaints(path: Path) -> list[str]:
    """What `usdchecker` of OpenUSD 26 says: it runs all validators that are registered."""
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 20
    found = UsdValidation.ValidationContext(validators).Validate(Usd.Stage.Open(str(path)))
    return [each.GetMessage() for each in found]


@pytest.mark.parametrize("form", FORMS)
def test_the_validators_of_openusd_accept_it(tmp_path, grid, form):
    write_usd(tmp_path / f"scene.{form}", grid(4))
    assert complaints(tmp_path / f"scene.{form}") == []


def test_the_validators_would_have_complained(tmp_path):
    stage = Usd.Stage.CreateNew(str(tmp_path / "bare.usda"))
    UsdVol.ParticleField3DGaussianSplat.Define(stage, "/Gaussians").CreatePositionsAttr([Gf.Vec3f(0, 0, 0)])
    stage.GetRootLayer().Save()
    found = " ".join(complaints(tmp_path / "bare.usda"))
    assert "upAxis" in found and "metersPerUnit" in found and "defaultPrim" in found


@pytest.mark.parametrize("form", FORMS)
def test_every_form_comes_back(tmp_path, grid, differences, form):
    scene = grid(6)
    write_usd(tmp_path / f"scene.{form}", scene)
    off = differences(scene, read_gaussians(tmp_path / f"scene.{form}"))
    assert off["position"] == off["scale"] == off["opacity"] == 0
    assert off["rotation"] < 1e-4
    assert off["color"] < 1e-4


def test_an_independent_reader_sees_the_same_scene_y_up(tmp_path, grid):
    fourdgs = pytest.importorskip("fourdgs")
    scene = grid(6)
    write_usd(tmp_path / "scene.usdc", scene)
    found = fourdgs.from_usd(str(tmp_path / "scene.usdc"))
    assert found.metadata["coordinate_system"] == "y-up-right-handed"
    other = found.gaussians
    assert np.array_equal(other.positions, scene.means.numpy() @ FLIP)
    assert np.allclose(other.scales, scene.scales.numpy())
    assert np.allclose(other.colors[:, :3], scene.colors.numpy(), atol=1e-6)
    for theirs, ours, scales in zip(other.rotations, scene.quats.numpy(), scene.scales.numpy(), strict=True):
        a = rotation(theirs[[3, 0, 1, 2]]) @ np.diag(scales)
        b = FLIP @ rotation(ours) @ np.diag(scales)
        assert np.allclose(a @ a.T, b @ b.T, atol=1e-6)


def rotation(quaternion: np.ndarray) -> np.ndarray:
    w, x, y, z = (float(each) for each in quaternion)
    return np.array(Gf.Matrix3d(Gf.Quatd(w, x, y, z))).T


# ---- what other programs may write ----


def foreign(path: Path, fill: Callable[[Usd.Stage], None]) -> Path:
    stage = Usd.Stage.CreateNew(str(path))
    fill(stage)
    stage.GetRootLayer().Save()
    return path


def test_placed_z_up_in_centimetres_half_precision_with_bands(tmp_path, caplog):
    def fill(stage: Usd.Stage) -> None:
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
        UsdGeom.SetStageMetersPerUnit(stage, 0.01)
        outer = UsdGeom.Xform.Define(stage, "/Room")
        outer.AddTranslateOp().Set(Gf.Vec3d(0, 0, 100))
        outer.AddRotateZOp().Set(90)
        field = UsdVol.ParticleField3DGaussianSplat.Define(stage, "/Room/Splats")
        field.CreatePositionshAttr(Vt.Vec3hArray([Gf.Vec3h(300, 0, 0)]))
        field.CreateScaleshAttr(Vt.Vec3hArray([Gf.Vec3h(4, 2, 1)]))
        field.CreateRadianceSphericalHarmonicsDegreeAttr(1)
        bands = [Gf.Vec3f(1, 1, 1)] + 3 * [Gf.Vec3f(9, 9, 9)]
        field.CreateRadianceSphericalHarmonicsCoefficientsAttr(Vt.Vec3fArray(bands))

    result = read_usd(foreign(tmp_path / "room.usda", fill))
    # turned to (0, 300, 100) cm, z up; y up that is (0, 1, -3) m, and y down (0, -1, 3)
    assert result.means[0].tolist() == pytest.approx([0, -1, 3], abs=1e-5)
    assert result.scales[0].tolist() == pytest.approx([0.04, 0.02, 0.01], abs=1e-6)
    assert result.opacities.tolist() == [1.0]  # the schema's default
    assert result.colors[0].tolist() == pytest.approx(3 * [0.5 + C0])
    # its long axis, x, turned to y of z up: that is our z
    axis = rotation(result.quats[0].numpy())[:, 0]
    assert np.abs(axis) == pytest.approx([0, 0, 1], abs=1e-5)
    assert "view-dependent" in caplog.text


def test_linear_colours_are_brought_to_srgb_and_times_begin_with_the_first(tmp_path):
    def fill(stage: Usd.Stage) -> None:
        field = UsdVol.ParticleField3DGaussianSplat.Define(stage, "/Splats")
        Usd.ColorSpaceAPI.Apply(field.GetPrim()).CreateColorSpaceNameAttr(Gf.ColorSpaceNames.LinearRec709)
        field.CreatePositionsAttr().Set(Vt.Vec3fArray([Gf.Vec3f(1, 2, 3)]), 5.0)
        field.GetPositionsAttr().Set(Vt.Vec3fArray([Gf.Vec3f(7, 8, 9)]), 6.0)
        field.CreateRadianceSphericalHarmonicsDegreeAttr(0)
        coefficients = Gf.Vec3f(*[(c - 0.5) / C0 for c in (0.2, 0.6, 1.0)])
        field.CreateRadianceSphericalHarmonicsCoefficientsAttr(Vt.Vec3fArray([coefficients]))

    result = read_usd(foreign(tmp_path / "linear.usdc", fill))
    assert result.means.tolist() == [[1, -2, -3]]
    assert result.colors[0].tolist() == pytest.approx([0.4845, 0.7977, 1.0], abs=1e-4)


def lonely(stage: Usd.Stage) -> UsdVol.ParticleField3DGaussianSplat:
    field = UsdVol.ParticleField3DGaussianSplat.Define(stage, "/Splats")
    field.CreatePositionsAttr(Vt.Vec3fArray([Gf.Vec3f(1, 2, 3), Gf.Vec3f(4, 5, 6)]))
    field.CreateRadianceSphericalHarmonicsDegreeAttr(0)
    return field


def with_reference(stage: Usd.Stage) -> None:
    lonely(stage)
    stage.DefinePrim("/Other").GetReferences().AddReference("/etc/other.usda")


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (lambda stage: UsdGeom.Cube.Define(stage, "/Cube"), "holds no Gaussians"),
        (lambda stage: UsdVol.ParticleField3DGaussianSplat.Define(stage, "/Splats"), "has no positions in /Splats"),
        (lambda stage: lonely(stage).CreateOpacitiesAttr(Vt.FloatArray([0.5])), "1 of 2 values in /Splats.opacities"),
        (lambda stage: lonely(stage).CreateRadianceSphericalHarmonicsDegreeAttr(-3), "degree -3"),
        (lambda stage: lonely(stage).CreateRadianceSphericalHarmonicsDegreeAttr(10**9), "degree 1000000000"),
        (lambda stage: lonely(stage).AddScaleOp().Set(Gf.Vec3f(1, 2, 1)), "scales unevenly"),
        (with_reference, "refers to /etc/other.usda"),
    ],
    ids=["no field", "no positions", "short", "negative degree", "huge degree", "uneven", "reference"],
)
def test_contradictions_are_refused_in_one_line(tmp_path, fill, words):
    path = foreign(tmp_path / "bad.usda", fill)
    with pytest.raises(InputError, match=words) as caught:
        read_usd(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value)


# ---- damage ----


def test_sections_outside_of_the_file_are_damage(tmp_path):
    write_usd(tmp_path / "scene.usdc", one())
    content = bytearray((tmp_path / "scene.usdc").read_bytes())
    place = content.index(b"TOKENS")  # the table of contents names its sections
    for at in (place + 16, place + 24):  # start and size of the names
        content[at : at + 8] = (2**62).to_bytes(8, "little")
    (tmp_path / "scene.usdc").write_bytes(content)
    with pytest.raises(InputError, match="is damaged; fetch"):
        read_usd(tmp_path / "scene.usdc")


def test_a_child_that_dies_or_hangs_is_reported(tmp_path, monkeypatch):
    write_usd(tmp_path / "scene.usdc", one())
    for program, words in (("import os; os.abort()", "is damaged"), ("import time; time.sleep(60)", "within 1 s")):
        (tmp_path / "child.py").write_text(program)
        monkeypatch.setattr(usd.usd_child, "__file__", str(tmp_path / "child.py"))
        monkeypatch.setattr(usd, "_PATIENCE", 1)
        with pytest.raises(InputError, match=words):
            read_usd(tmp_path / "scene.usdc")


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory, grid: Callable[..., Gaussians]) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("valid")
    for form in FORMS:
        write_usd(folder / f"scene.{form}", grid(3))
    return {form: (folder / f"scene.{form}").read_bytes() for form in FORMS}


@settings(
    max_examples=int(os.environ.get("LYRA_FUZZ_EXAMPLES") or 8),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    form=st.sampled_from(FORMS),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=3),
    kept=st.floats(0.3, 1),
)
def test_a_damaged_file_is_refused_or_valid(form, places, kept, valid, tmp_path):
    content = bytearray(valid[form])
    for place, value in places:
        at = int(place * len(content))
        content[at : at + len(value)] = value
    (tmp_path / f"scene.{form}").write_bytes(content[: int(kept * len(content))] if kept < 0.6 else content)
    try:
        result = read_usd(tmp_path / f"scene.{form}")
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert torch.isfinite(result.means).all() and (result.scales >= 0).all()
    assert torch.allclose(result.quats.norm(dim=1), torch.ones(()), atol=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="the bound is Linux's")
def test_a_small_file_cannot_fill_the_memory(tmp_path, monkeypatch):
    """Equal numbers are packed in a binary layer, so the child has a bound: here it asks for 4 GiB."""
    write_usd(tmp_path / "scene.usdc", one())
    lines = [
        f"import sys; sys.path.insert(0, {str(Path(usd.usd_child.__file__).parent)!r})",
        "import usd_child; usd_child.read = lambda path: [bytearray(4 << 30)] and []",
        "sys.exit(usd_child.main(*sys.argv[1:]))",
    ]
    (tmp_path / "greedy.py").write_text("\n".join(lines))
    monkeypatch.setattr(usd.usd_child, "__file__", str(tmp_path / "greedy.py"))
    with pytest.raises(InputError, match="is damaged"):
        read_usd(tmp_path / "scene.usdc")
    (tmp_path / "greedy.py").write_text("\n".join(lines).replace("4 << 30", "4 << 10"))
    with pytest.raises(InputError, match="holds no Gaussians"):
        read_usd(tmp_path / "scene.usdc")


def test_without_usd_core_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    write_usd(tmp_path / "scene.usdc", one())
    monkeypatch.setattr(usd.importlib.util, "find_spec", lambda name: None)
    for call in (lambda: write_usd(tmp_path / "new.usdc", one()), lambda: read_usd(tmp_path / "scene.usdc")):
        with pytest.raises(InputError, match=r"pip install 'lyra-scenes\[usd\]'"):
            call()
    assert not (tmp_path / "new.usdc").exists()


def test_a_package_of_something_else_is_refused(tmp_path):
    layer = foreign(tmp_path / "cube.usda", lambda stage: UsdGeom.Cube.Define(stage, "/Cube"))
    UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(tmp_path / "cube.usdz"))
    with pytest.raises(InputError, match="holds no Gaussians"):
        read_gaussians(tmp_path / "cube.usdz")
