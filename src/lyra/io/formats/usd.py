"""Gaussians in OpenUSD, as a prim of the schema ParticleField3DGaussianSplat (OpenUSD 26.03 and later).

Linear scales, opacity 0…1, unit quaternions, colour as spherical harmonics of degree 0 in display sRGB. The stage is
y up and right-handed like glTF (x right, z towards the viewer); its unit is the metre: one scene unit is one metre.

Needs the package usd-core (extra ``usd``); only this module and `usd_child` import it. Source: the schema ``usdVol``
that comes with that package.
"""

import importlib.util
import logging
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lyra.io.files import reason, replacing, require_file
from lyra.io.formats import usd_child
from lyra.io.formats.archive import open_archive
from lyra.io.formats.arrays import SH_C0, Arrays, arrays_of, checked_gaussians
from lyra.io.formats.axes import turned_positions, turned_rotations
from lyra.io.formats.color_space import srgb_from_linear
from lyra.io.formats.transforms import Similarity
from lyra.structures import Gaussians, InputError

BINARY_MAGIC = b"PXR-USDC"
TEXT_MAGIC = b"#usda "
LAYERS = (".usdc", ".usda", ".usd")
PACKAGE = ".usdz"
_ROOT, _FIELD = "/World", "/World/Gaussians"
_REACH = 3.0
"""Standard deviations that the extent of a Gaussian counts as its size; the kernel of the schema is cut off there."""
_PATIENCE = 600
_BOOT, _SECTIONS, _SECTION = struct.Struct("<8s8xQ"), struct.Struct("<Q"), 32
_WHAT = "USD file"
_log = logging.getLogger(__name__)


def require_usd(path: Path | str) -> None:
    """Refuse to go on without usd-core.

    Raises:
        InputError: it is not installed; the message has the line that installs it.
    """
    if importlib.util.find_spec("pxr") is None:
        raise InputError(f"{_WHAT} {path} needs the package usd-core; pip install 'lyra-scenes[usd]'")


def write_usd(path: Path | str, gaussians: Gaussians) -> None:
    """Write one set of Gaussians, in their order.

    The suffix decides: ``.usda`` is text, ``.usdz`` a package of the binary form; any other gives the binary form, 56
    bytes for each Gaussian.

    Raises:
        InputError: the place cannot be written, or usd-core is missing.
        ValueError: there are no Gaussians, or a value is not finite.
    """
    path = Path(path)
    require_usd(path)
    arrays = arrays_of(gaussians, "write_usd")
    suffix = path.suffix.lower()
    from pxr import Sdf, Tf, UsdUtils

    with (
        replacing(path, _WHAT) as temporary,
        tempfile.TemporaryDirectory(prefix=".lyra-", dir=temporary.parent) as folder,
    ):
        # OpenUSD tells the forms apart by the suffix alone
        made = Path(folder) / f"scene{suffix if suffix in LAYERS else LAYERS[0]}"
        try:
            _write_layer(made, arrays)
            if suffix == PACKAGE:
                layer, made = made, made.with_suffix(PACKAGE)
                if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(made)):
                    raise OSError("the package could not be written")
        except Tf.ErrorException as error:
            raise OSError(reason(error)) from error
        os.replace(made, temporary)


def _write_layer(target: Path, arrays: Arrays) -> None:
    from pxr import Gf, Usd, UsdGeom, UsdVol, Vt

    stage = Usd.Stage.CreateInMemory(target.name)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, _ROOT)
    Usd.ModelAPI(root).SetKind("component")
    stage.SetDefaultPrim(root.GetPrim())
    field = UsdVol.ParticleField3DGaussianSplat.Define(stage, _FIELD)
    positions = turned_positions(arrays.means)
    field.CreatePositionsAttr(Vt.Vec3fArray.FromNumpy(positions))
    # numpy sees a quaternion of USD as x y z w
    quats = np.ascontiguousarray(turned_rotations(arrays.quats)[:, [1, 2, 3, 0]])
    field.CreateOrientationsAttr(Vt.QuatfArray.FromNumpy(quats))
    field.CreateScalesAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(arrays.scales)))
    field.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(arrays.opacities.clip(0, 1)))
    field.CreateRadianceSphericalHarmonicsDegreeAttr(0)
    coefficients = (arrays.colors - np.float32(0.5)) * np.float32(1 / SH_C0)
    field.CreateRadianceSphericalHarmonicsCoefficientsAttr(Vt.Vec3fArray.FromNumpy(coefficients))
    field.CreateProjectionModeHintAttr("perspective")
    field.CreateSortingModeHintAttr("zDepth")
    reach = _REACH * arrays.scales.max(axis=1, keepdims=True)
    extent = np.stack([(positions - reach).min(axis=0), (positions + reach).max(axis=0)]).astype(np.float32)
    field.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(extent))
    # the schema leaves the colour space open; without this a reader would take the colours for linear light
    Usd.ColorSpaceAPI.Apply(field.GetPrim()).CreateColorSpaceNameAttr(Gf.ColorSpaceNames.SRGBRec709)
    if not stage.GetRootLayer().Export(str(target)):
        raise OSError("the layer could not be written")


def read_usd(path: Path | str) -> Gaussians:
    """Read all Gaussians of a ``.usdc``, ``.usda``, ``.usd`` or ``.usdz`` file, placed as its prims say.

    The first time sample counts. The up axis and the unit of the stage are brought to ours: y down, metres. Spherical
    harmonics above degree 0 are ignored and reported through `logging`; colours that the file declares linear are
    brought to sRGB. References to other files are not followed.

    A damaged file may end the process that reads it, since OpenUSD aborts on some contradictions. So `usd_child` does
    it in a process of its own, with bounded memory and time.

    Raises:
        InputError: missing, empty or damaged; no Gaussians in it; arrays whose lengths contradict each other; placed by
            a transform that Gaussians cannot follow; usd-core is missing.
    """
    path = require_file(path, _WHAT)
    require_usd(path)
    try:
        suffix = _form(path)
        sets = [_placed(path, field) for field in _read_in_child(path, suffix)]
    except OSError as error:
        raise InputError(f"{_WHAT} {path} cannot be read ({reason(error)}); check its permissions") from error
    if not sets:
        raise InputError(f"{_WHAT} {path} holds no Gaussians (ParticleField3DGaussianSplat); give one that does")
    means, quats, scales, opacities, colors = (np.concatenate(parts) for parts in zip(*sets, strict=True))
    return checked_gaussians(path, _WHAT, turned_positions(means), turned_rotations(quats), scales, opacities, colors)


def _form(path: Path) -> str:
    """The suffix that goes with the content, once that is seen to be whole.

    A binary layer begins with its mark, its version and the place of its table of contents, which comes last: a number
    of sections, then a name of 16 bytes, start and size of each.
    """
    with path.open("rb") as file:
        start = file.read(_BOOT.size)
        if start.startswith(TEXT_MAGIC):
            return ".usda"
        if start.startswith(b"PK"):
            with open_archive(path, _WHAT) as archive:
                names = archive.namelist()
            if names and names[0].lower().endswith(LAYERS):
                return PACKAGE
        if not start.startswith(BINARY_MAGIC):
            raise InputError(f"{_WHAT} {path} is none; give a .usdc, .usda or .usdz file")
        cut_off = InputError(f"{_WHAT} {path} is cut off; fetch or export it again")
        size = path.stat().st_size
        if len(start) < _BOOT.size or not _BOOT.size <= _BOOT.unpack(start)[-1] <= size - _SECTIONS.size:
            raise cut_off
        file.seek(_BOOT.unpack(start)[-1])
        if _SECTIONS.unpack(file.read(_SECTIONS.size))[0] * _SECTION > size - file.tell():
            raise cut_off
    return LAYERS[0]


def _read_in_child(path: Path, suffix: str) -> list[dict[str, np.ndarray]]:
    with tempfile.TemporaryDirectory(prefix="lyra-") as folder:
        named, found = Path(folder) / f"scene{suffix}", Path(folder) / "fields.npz"
        try:
            named.symlink_to(path.absolute())
        except OSError:  # a system without them
            shutil.copyfile(path, named)
        command = [sys.executable, "-I", usd_child.__file__, str(named), str(found)]
        try:
            # TMPDIR: where OpenUSD leaves a report when it aborts
            outcome = subprocess.run(
                command, env={**os.environ, "TMPDIR": folder}, capture_output=True, timeout=_PATIENCE
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(f"{_WHAT} {path} is not read within {_PATIENCE} s; fetch or export it again") from error
        if outcome.returncode == usd_child.REFUSED:
            raise InputError(f"{_WHAT} {path} {outcome.stdout.decode(errors='replace')}")
        if outcome.returncode != 0:
            raise InputError(f"{_WHAT} {path} is damaged; fetch or export it again")
        with np.load(found) as arrays:
            count = int(arrays["count"])
            return [{key: arrays[f"{key}{index}"] for key in usd_child.KEYS} for index in range(count)]


def _placed(path: Path, field: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Means, quaternions (w x y z), scales, opacities and colours of one prim in metres and y up, float32."""
    if field["degree"] > 0:
        _log.warning("%s: view-dependent colour coefficients of degree 1 to %d are ignored", path, field["degree"])
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out in the end
        colors = field["coefficients"] * np.float32(SH_C0) + np.float32(0.5)
        if field["linear"]:
            colors = srgb_from_linear(colors)
        place = Similarity.of(field["matrix"], path, _WHAT)
        means, quats, scales = place.moved(field["means"], field["quats"][:, [3, 0, 1, 2]], field["scales"])
    return means, quats, scales, field["opacities"], colors
