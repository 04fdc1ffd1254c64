"""Meshes in binary glTF: one primitive of triangles, with vertex colours or without.

Axes are those of glTF (x right, y up, z towards the viewer), one scene unit is one metre. Vertex colours of glTF are
linear light; the material is unlit (KHR_materials_unlit), because the light of the photo is in the colours already.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lyra.io.formats.axes import turned_positions
from lyra.io.formats.color_space import linear_from_srgb, srgb_from_linear
from lyra.io.formats.gltf_container import GltfReader, GltfWriter
from lyra.structures import InputError, Mesh

_TRIANGLES = 4
_VERTICES, _INDICES = 34962, 34963
_UNLIT = "KHR_materials_unlit"
_WHAT = "mesh file"


def write_mesh_glb(path: Path | str, mesh: Mesh, name: str, with_colors: bool = True) -> None:
    """Write one mesh; 20 bytes per vertex (12 without colours) and 12 per triangle.

    Args:
        path: file to write.
        mesh: what to write.
        name: of its node, for the program that opens it.
        with_colors: linear light in 16 bits; without, the material is left to the reader.

    Raises:
        InputError: the place cannot be written.
        ValueError: there are no triangles, or a position is not finite.
    """
    vertices = mesh.vertices.detach().float().cpu().numpy()
    if len(mesh.triangles) == 0 or not np.isfinite(vertices).all():
        raise ValueError("write_mesh_glb: there are no triangles, or a position is not finite")
    file = GltfWriter()
    attributes = {"POSITION": file.add(turned_positions(vertices), bounds=True, target=_VERTICES)}
    primitive: dict[str, Any] = {"attributes": attributes, "mode": _TRIANGLES}
    document: dict[str, Any] = {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0}],
        "meshes": [{"name": name, "primitives": [primitive]}],
    }
    if with_colors:
        # the fourth channel fills each row to a multiple of four bytes
        rgba = np.full((len(vertices), 4), 65535, np.uint16)
        linear = linear_from_srgb(mesh.colors.detach().float().cpu().numpy())
        rgba[:, :3] = np.rint(linear * 65535)
        attributes["COLOR_0"] = file.add(rgba, normalized=True, target=_VERTICES)
        primitive["material"] = 0
        document["materials"] = [
            {
                "name": name,
                "doubleSided": True,
                "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1},
                "extensions": {_UNLIT: {}},
            }
        ]
        document["extensionsUsed"] = [_UNLIT]
    indices = mesh.triangles.cpu().numpy().astype(np.uint32).reshape(-1)
    primitive["indices"] = file.add(indices, target=_INDICES)
    file.write(path, _WHAT, document)


def read_mesh_glb(path: Path | str) -> Mesh:
    """Read what `write_mesh_glb` wrote; without colours they are all zero.

    Raises:
        InputError: missing, empty, damaged, or not one primitive of triangles.
    """
    file = GltfReader(path, _WHAT)
    primitives = [each for mesh in file.items("meshes") for each in file.items("primitives", mesh)]
    if len(primitives) != 1 or primitives[0].get("mode", _TRIANGLES) != _TRIANGLES or "indices" not in primitives[0]:
        raise InputError(f"{_WHAT} {path} is not one set of indexed triangles; export the mesh again")
    attributes = primitives[0].get("attributes")
    if not isinstance(attributes, dict) or "POSITION" not in attributes:
        raise file.damaged("it has no positions")
    vertices = turned_positions(file.array(attributes["POSITION"], ("VEC3",)).astype(np.float32))
    indices = file.array(primitives[0]["indices"], ("SCALAR",)).astype(np.int64)
    if len(indices) % 3 or indices.max() >= len(vertices) or indices.min() < 0:
        raise file.damaged("its triangles do not fit its vertices")
    colors = np.zeros_like(vertices)
    if "COLOR_0" in attributes:
        rgba = file.array(attributes["COLOR_0"], ("VEC3", "VEC4"))
        if len(rgba) != len(vertices):
            raise file.damaged("its attributes have different lengths")
        colors = srgb_from_linear(rgba[:, :3].astype(np.float32))
    return Mesh(torch.from_numpy(vertices), torch.from_numpy(indices.reshape(-1, 3)), torch.from_numpy(colors))
