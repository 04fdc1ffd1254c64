"""Gaussians in OpenUSD, as a prim of the schema ParticleField3DGaussianSplat (OpenUSD 26.03 and later).

Linear scales, opacity 0…1, unit quaternions, colour as spherical harmonics of degree 0 in display sRGB. The stage is
y up and right-handed like glTF (x right, z towards the viewer); its unit is the metre: one scene unit is one metre.

Needs the package usd-core (extra ``usd``); only this module and `usd_child` import it. Source: the schema ``usdVol`` that
comes with that package.
"""

import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lyra.io.files import reason, replacing, require_file
from lyra.io.formats import usd_child
from lyra.io.formats.arrays import SH_C0, Arrays, arrays_of, checked_gaussians
from lyra.io.formats.axes import turned_positions, turned_rotations
from lyra.io.formats.color_space import srgb_from_linear
from lyra.io.formats.transforms import Similarity
from lyra.structures import Gaussians, InputError

BINARY_MAGIC = b"PXR-USDC"
TEXT_MAGIC = b"#usda "
LAYERS = (".usd", ".usdc", ".usda")
PACKAGE = ".usdz"
_ROOT, _FIELD = "/World", "/World/Gaussians"
_REACH = 3.0
"""Standard deviations that the extent of a Gaussian counts as its size; the kernel of the schema is cut off there."""
_PATIENCE = 600
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

    The suffix decides: ``.usdc`` and ``.usd`` are binary (56 bytes each), ``.usda`` is text, ``.usdz`` a package of the
    binary form.

    Raises:
        InputError: the place cannot be written, another suffix, or usd-core is missing.
        ValueError: there are no Gaussians, or a value is not finite.
    """
    path = Path(path)
    require_usd(path)
    arrays = arrays_of(gaussians, "write_usd")
    suffix = path.suffix.lower()
    if suffix not in (*LAYERS, PACKAGE):
        raise InputError(f"cannot write {_WHAT} {path}: its name should end in {', '.join((*LAYERS, PACKAGE))}")
    from pxr import Tf

    with replacing(path, _WHAT) as temporary:
        try:
            if suffix == PACKAGE:
                _write_package(temporary, arrays)
            else:
                _write_layer(temporary, arrays)
        except Tf.ErrorException as error:
            raise OSError(reason(error)) from error


def _write_package(target: Path, arrays: Arrays) -> None:
    from pxr import Sdf, UsdUtils

    with tempfile.TemporaryDirectory(prefix=".lyra-", dir=target.parent) as folder:
        layer = Path(folder) / "scene.usdc"
        _write_layer(layer, arrays)
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(target)):
            raise OSError("the package could not be written")


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

    A damaged file may end the process that reads it, since OpenUSD aborts on some contradictions. So `usd_child` does it
    in a process of its own, with bounded memory and time.

    Raises:
        InputError: missing, empty or damaged; no Gaussians in it; arrays whose lengths contradict each other; placed by
            a transform that Gaussians cannot follow; usd-core is missing.
    """
    path = require_file(path, _WHAT)
    require_usd(path)
    sets = [_placed(path, field) for field in _read_in_child(path)]
    if not sets:
        raise InputError(f"{_WHAT} {path} holds no Gaussians (ParticleField3DGaussianSplat); give one that does")
    means, quats, scales, opacities, colors = (np.concatenate(parts) for parts in zip(*sets, strict=True))
    return checked_gaussians(path, _WHAT, turned_positions(means), turned_rotations(quats), scales, opacities, colors)


def _read_in_child(path: Path) -> list[dict[str, np.ndarray]]:
    damaged = InputError(f"{_WHAT} {path} is damaged; fetch or export it again")
    with tempfile.TemporaryDirectory(prefix="lyra-") as folder:
        found = Path(folder) / "fields.npz"
        command = [sys.executable, "-I", usd_child.__file__, str(path.absolute()), str(found)]
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
            raise damaged
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
