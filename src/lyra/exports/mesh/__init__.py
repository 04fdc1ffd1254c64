"""Gaussians to triangles: depth seen along the camera paths, fused, and cut out as a surface."""

from lyra.exports.mesh.build import MeshOptions, build_mesh
from lyra.exports.mesh.surface import require_mesh_packages

__all__ = ["MeshOptions", "build_mesh", "require_mesh_packages"]
