"""Gaussians in binary glTF, with the ratified extension KHR_gaussian_splatting.

One primitive of points; linear scales, opacity 0…1, rotation x y z w, colour as the degree-0 coefficient of spherical
harmonics in display-referred sRGB. ``COLOR_0`` repeats colour and opacity in 8 bits for viewers that know only points.
Axes are those of glTF (x right, y up, z towards the viewer), units are said to be metres: one scene unit is one metre.

Source: the extension's specification in the glTF repository of the Khronos Group.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lyra.io.formats.arrays import SH_C0, arrays_of, checked_gaussians
from lyra.io.formats.axes import turned_positions, turned_rotations
from lyra.io.formats.color_space import srgb_from_linear
from lyra.io.formats.gltf_container import MAGIC, GltfReader, GltfWriter
from lyra.io.formats.transforms import Similarity
from lyra.structures import Gaussians, InputError

__all__ = ["EXTENSION", "MAGIC", "read_glb", "write_glb"]

EXTENSION = "KHR_gaussian_splatting"
_DISPLAY, _LINEAR = "srgb_rec709_display", "lin_rec709_display"
_POINTS = 0
_VERTICES = 34962
_XYZW, _WXYZ = [1, 2, 3, 0], [3, 0, 1, 2]
_WHAT = "GLB file"
_SMALLEST_ROW = 16
"""Bytes below which no Gaussian can be described; a file with more of them repeats itself."""
_log = logging.getLogger(__name__)


def write_glb(path: Path | str, gaussians: Gaussians) -> None:
    """Write one set of Gaussians, in their order, 60 bytes each.

    Raises:
        InputError: the place cannot be written, or the file would have more than 4 GiB.
        ValueError: there are no Gaussians, or a value is not finite.
    """
    arrays = arrays_of(gaussians, "write_glb")
    file = GltfWriter()
    fallback = np.concatenate([arrays.colors, arrays.opacities[:, None]], axis=1)
    attributes = {
        "POSITION": file.add(turned_positions(arrays.means), bounds=True, target=_VERTICES),
        "COLOR_0": file.add(np.rint(fallback.clip(0, 1) * 255).astype(np.uint8), normalized=True, target=_VERTICES),
        _name("ROTATION"): file.add(turned_rotations(arrays.quats)[:, _XYZW], target=_VERTICES),
        _name("SCALE"): file.add(arrays.scales, target=_VERTICES),
        _name("OPACITY"): file.add(arrays.opacities.clip(0, 1), target=_VERTICES),
        _name("SH_DEGREE_0_COEF_0"): file.add(
            (arrays.colors - np.float32(0.5)) * np.float32(1 / SH_C0), target=_VERTICES
        ),
    }
    splats = {
        "kernel": "ellipse",
        "colorSpace": _DISPLAY,
        "projection": "perspective",
        "sortingMethod": "cameraDistance",
    }
    primitive = {"attributes": attributes, "mode": _POINTS, "extensions": {EXTENSION: splats}}
    document = {
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "Gaussians", "mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
    }
    file.write(path, _WHAT, document)


def read_glb(path: Path | str) -> Gaussians:
    """Read all Gaussians of a binary glTF file, placed as its nodes say; meshes beside them are passed over.

    Spherical harmonics above degree 0 are ignored and reported through `logging`. Colours that the file declares
    linear are brought to sRGB.

    Raises:
        InputError: missing, empty, damaged or cut off; no Gaussians in it; compressed by a further extension; placed by
            a transform that they cannot follow.
    """
    file = GltfReader(path, _WHAT)
    sets = []
    most = file.path.stat().st_size // _SMALLEST_ROW
    for primitive, matrix in _placed_primitives(file):
        sets.append(_read_primitive(file, primitive, Similarity.of(matrix, file.path, _WHAT), most))
        most -= len(sets[-1][0])
    if not sets:
        raise InputError(f"{_WHAT} {path} holds no Gaussians ({EXTENSION}); give a GLB file of Gaussians")
    means, quats, scales, opacities, colors = (
        np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*sets, strict=True)
    )
    return checked_gaussians(
        file.path, _WHAT, turned_positions(means), turned_rotations(quats), scales, opacities, colors
    )


def _name(attribute: str) -> str:
    return f"{EXTENSION}:{attribute}"


def _placed_primitives(file: GltfReader) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The primitives of Gaussians with the [4, 4] matrix that places each."""
    nodes = file.items("nodes")
    seen: set[int] = set()
    waiting = [(index, np.eye(4)) for index in reversed(_roots(file, nodes))]
    while waiting:
        index, outer = waiting.pop()
        node = file.item("nodes", index)
        if index in seen:
            raise file.damaged(f"node {index} has two parents")
        seen.add(index)
        matrix = outer @ _matrix(file, node)
        children = node.get("children", [])
        if not isinstance(children, list):
            raise file.damaged(f"the children of node {index} are no list")
        waiting.extend((child, matrix) for child in reversed(children))
        if "mesh" in node:
            for primitive in file.items("primitives", file.item("meshes", node["mesh"])):
                if EXTENSION in _object(primitive.get("extensions")):
                    yield primitive, matrix


def _roots(file: GltfReader, nodes: list[dict[str, Any]]) -> list[Any]:
    """Indices of the nodes of the scene to show, or without scenes of the nodes that are nobody's children."""
    if file.items("scenes"):
        roots = file.item("scenes", file.document.get("scene", 0)).get("nodes", [])
        if not isinstance(roots, list):
            raise file.damaged("the nodes of its scene are no list")
        return roots
    lists = [node.get("children") for node in nodes]
    inner = {child for each in lists if isinstance(each, list) for child in each if isinstance(child, int)}
    return [index for index in range(len(nodes)) if index not in inner]


def _matrix(file: GltfReader, node: dict[str, Any]) -> np.ndarray:
    """[4, 4] float64 of a node's own transform, for column vectors."""
    if "matrix" in node:
        return _numbers(file, node["matrix"], 16).reshape(4, 4).T
    x, y, z, w = _numbers(file, node.get("rotation", [0, 0, 0, 1]), 4)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, :3] *= _numbers(file, node.get("scale", [1, 1, 1]), 3)
    matrix[:3, 3] = _numbers(file, node.get("translation", [0, 0, 0]), 3)
    return matrix


def _numbers(file: GltfReader, values: Any, count: int) -> np.ndarray:
    """[count] float64; anything beyond float32 is no transform."""
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(value, int | float) and abs(value) < 1e38 for value in values)
    ):
        raise file.damaged(f"a transform is not made of {count} numbers")
    return np.array(values, np.float64)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_primitive(
    file: GltfReader, primitive: dict[str, Any], place: Similarity, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Means, quaternions (w x y z), scales, opacities and colours of one primitive in the axes of glTF, float32."""
    extension, attributes = _object(primitive["extensions"][EXTENSION]), _object(primitive.get("attributes"))
    if compression := _object(extension.get("extensions")):
        raise InputError(f"{_WHAT} {file.path} is compressed by {', '.join(compression)}; export it without")
    needed = ("POSITION", *map(_name, ("ROTATION", "SCALE", "OPACITY", "SH_DEGREE_0_COEF_0")))
    if missing := [name for name in needed if name not in attributes]:
        raise file.damaged(f"it lacks {', '.join(missing)}")
    if any(name.startswith(_name("SH_DEGREE_")) and "SH_DEGREE_0" not in name for name in attributes):
        _log.warning("%s: view-dependent colour coefficients above degree 0 are ignored", file.path)
    shapes = ("VEC3", "VEC4", "VEC3", "SCALAR", "VEC3")
    arrays = []
    for name, shape in zip(needed, shapes, strict=True):
        arrays.append(file.array(attributes[name], (shape,)).astype(np.float32))
        if len(arrays[-1]) > most:
            raise InputError(f"{_WHAT} {file.path} repeats the same Gaussians many times; export each set once")
    if len({len(array) for array in arrays}) > 1:
        raise file.damaged("its attributes have different lengths")
    means, quats, scales, opacities, coefficients = arrays
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out in the end
        colors = coefficients * np.float32(SH_C0) + np.float32(0.5)
        if extension.get("colorSpace") == _LINEAR:
            colors = srgb_from_linear(colors)
        means, quats, scales = place.moved(means, quats[:, _WXYZ], scales)
    return means, quats, scales, opacities, colors
