"""The part of `lyra.io.formats.usd` that parses a stranger's file, a program of its own: OpenUSD may abort on it.

    python usd_child.py FILE ARRAYS

writes what it finds to the archive ARRAYS, or leaves with code 2 after saying on standard output what is wrong. It
imports nothing of lyra, so that it starts at once.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

REFUSED = 2
KEYS = ("means", "quats", "scales", "opacities", "coefficients", "degree", "linear", "matrix")
"""Per prim: [N, 3], [N, 4] x y z w, [N, 3], [N], [N, 3] of degree 0, int, bool, [4, 4] to metres and y up."""
_SPARE = 2 << 30
_PER_BYTE = 16
"""Address space: 2 GiB for OpenUSD itself, and 16 bytes for each byte of the file."""


class Refusal(Exception):
    """What is wrong with the file, as the end of a sentence that begins with its name."""


def read(path: str) -> list[dict[str, Any]]:
    """All fields of Gaussians of the file."""
    from pxr import Sdf, Usd, UsdGeom, UsdVol

    layer = Sdf.Layer.OpenAsAnonymous(path)
    if layer is None:
        raise Refusal("is damaged; fetch or export it again")
    if others := layer.GetCompositionAssetDependencies():
        raise Refusal(f"refers to {others[0]}, which is not followed; flatten it with usdcat first")
    stage = Usd.Stage.Open(layer, Usd.Stage.LoadNone)
    unit = UsdGeom.GetStageMetersPerUnit(stage) if UsdGeom.StageHasAuthoredMetersPerUnit(stage) else 1.0
    outer = np.diag([unit, unit, unit, 1.0])
    if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.z:
        outer = outer @ np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
    places = UsdGeom.XformCache(Usd.TimeCode.EarliestTime())
    fields = []
    for prim in stage.Traverse():
        if prim.IsA(UsdVol.ParticleField3DGaussianSplat):
            # USD multiplies row vectors
            matrix = outer @ np.array(places.GetLocalToWorldTransform(prim), np.float64).T
            fields.append({**_arrays(UsdVol.ParticleField3DGaussianSplat(prim)), "matrix": matrix})
    return fields


def _arrays(field: Any) -> dict[str, Any]:
    from pxr import Gf, Usd

    means = _values(field.GetPositionsAttr(), field.GetPositionshAttr(), None)
    if means is None or len(means) == 0:
        raise Refusal(f"has no positions in {field.GetPath()}; export it again")
    count = len(means)
    degree = field.GetRadianceSphericalHarmonicsDegreeAttr().Get()
    if degree not in range(4):
        raise Refusal(f"has spherical harmonics of degree {degree} in {field.GetPath()}; write 0 to 3")
    per_particle = (degree + 1) ** 2
    quats = _values(field.GetOrientationsAttr(), field.GetOrientationshAttr(), count)
    scales = _values(field.GetScalesAttr(), field.GetScaleshAttr(), count)
    opacities = _values(field.GetOpacitiesAttr(), field.GetOpacitieshAttr(), count)
    coefficients = _values(
        field.GetRadianceSphericalHarmonicsCoefficientsAttr(),
        field.GetRadianceSphericalHarmonicsCoefficientshAttr(),
        count * per_particle,
    )
    space = Usd.ColorSpaceAPI.ComputeColorSpaceName(field.GetPrim(), None)
    return {
        # what is missing has the default of the schema
        "means": means,
        "quats": np.tile(np.array([0, 0, 0, 1], np.float32), (count, 1)) if quats is None else quats,
        "scales": np.ones((count, 3), np.float32) if scales is None else scales,
        "opacities": np.ones(count, np.float32) if opacities is None else opacities,
        "coefficients": np.zeros((count, 3), np.float32) if coefficients is None else coefficients[::per_particle],
        "degree": degree if coefficients is not None else 0,
        "linear": space == Gf.ColorSpaceNames.LinearRec709,
    }


def _values(attribute: Any, half: Any, count: int | None) -> np.ndarray | None:
    """Float32 values of an attribute, or of its form in half precision; ``count`` rows where that is given."""
    from pxr import Usd

    for each in (attribute, half):
        values = each.Get(Usd.TimeCode.EarliestTime()) if each.HasAuthoredValue() else None
        if values is None:
            continue
        if count is not None and len(values) < count:
            raise Refusal(f"has {len(values)} of {count} values in {each.GetPath()}; export it again")
        return np.array(values, np.float32)[:count]
    return None


def _bound_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit = _SPARE + _PER_BYTE * size
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(path: str, target: str) -> int:
    """Read ``path`` into the archive ``target``; returns the exit code."""
    _bound_memory(Path(path).stat().st_size)
    try:
        fields = read(path)
    except Refusal as refusal:
        # a name in the file may be anything
        sys.stdout.buffer.write(" ".join(str(refusal).split()).encode(errors="replace"))
        return REFUSED
    arrays = {f"{key}{index}": field[key] for index, field in enumerate(fields) for key in KEYS}
    np.savez(target, count=len(fields), **arrays)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
