"""Meshes: against a room whose walls are known, and each part of the road against its own truth."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from lyra.exports import export
from lyra.exports.mesh import surface
from lyra.exports.mesh.build import MeshOptions, build_mesh
from lyra.exports.mesh.likeness import mesh_likeness
from lyra.exports.mesh.picture import picture_mesh
from lyra.exports.mesh.pictures import at_edges, solid_pictures
from lyra.exports.mesh.volume import GridShape, SignedDistance
from lyra.geometry import intrinsics_from_fov, look_at, plan_six
from lyra.io.formats.mesh_glb import read_mesh_glb, write_mesh_glb
from lyra.structures import Cameras, Gaussians, InputError, Mesh, Scene

pytest.importorskip("skimage", reason="needs the extra mesh")

HEIGHT, WIDTH = 120, 200
FLOOR, WALL = 0.4, 2.2
BOX = torch.tensor([[-0.1, 0.1, 1.1], [0.3, 0.4, 1.5]])  # stands on the floor, right of the middle
GREEN, BLUE, RED = torch.eye(3)[[1, 2, 0]] * 0.8 + 0.1


def camera() -> Cameras:
    return Cameras(torch.eye(4)[None], intrinsics_from_fov(1.1, HEIGHT, WIDTH)[None], HEIGHT, WIDTH)


def sheet(corner: Tensor, along: Tensor, across: Tensor, spacing: float = 0.016) -> Tensor:
    """[N, 3] points of a rectangle."""
    steps = [torch.arange(0, 1 + 1e-6, spacing / float(side.norm())) for side in (along, across)]
    u, v = torch.meshgrid(*steps, indexing="ij")
    return corner + u.reshape(-1, 1) * along + v.reshape(-1, 1) * across


def room() -> Gaussians:
    """A green floor, a blue wall and a red box, of flat discs that overlap."""
    x, y, z = torch.eye(3)
    low, size = BOX[0], BOX[1] - BOX[0]
    faces = [
        (sheet(torch.tensor([-1.6, FLOOR, 0.5]), 3.2 * x, (WALL - 0.5) * z), 1, GREEN),
        (sheet(torch.tensor([-1.6, -1.2, WALL]), 3.2 * x, (FLOOR + 1.2) * y), 2, BLUE),
        (sheet(low, size[0] * x, size[1] * y), 2, RED),  # front
        (sheet(low, size[0] * x, size[2] * z), 1, RED),  # top
        (sheet(low, size[1] * y, size[2] * z), 0, RED),  # left
        (sheet(low + size[0] * x, size[1] * y, size[2] * z), 0, RED),  # right
    ]
    means = torch.cat([points for points, _, _ in faces])
    scales = torch.full((len(means), 3), 0.011)
    start = 0
    for points, normal, _ in faces:
        scales[start : start + len(points), normal] = 0.0005
        start += len(points)
    colors = torch.cat([color.expand(len(points), 3) for points, _, color in faces])
    quats = torch.tensor([1.0, 0, 0, 0]).expand(len(means), 4).contiguous()
    return Gaussians(means, quats, scales, torch.full((len(means),), 0.95), colors)


def distance_to_truth(points: Tensor) -> Tensor:
    """[N] distance of points to the floor, the wall, or the surface of the box, whichever is nearest."""
    low, high = BOX
    outside = (low - points).clamp_min(0) + (points - high).clamp_min(0)
    inside = torch.minimum(points - low, high - points).amin(dim=1).clamp_min(0)
    floor, wall, box = (points[:, 1] - FLOOR).abs(), (points[:, 2] - WALL).abs(), outside.norm(dim=1) + inside
    return torch.stack([floor, wall, box]).amin(dim=0)


@pytest.fixture(scope="module")
def built() -> tuple[Mesh, Mesh, Gaussians, Cameras]:
    scene, source = room(), camera()
    paths = [path.cameras[::4] for path in plan_six(17, source)]
    views = Cameras(torch.cat([p.c2w for p in paths]), torch.cat([p.K for p in paths]), HEIGHT, WIDTH)
    with torch.no_grad():
        mesh, collider = build_mesh(scene, source, views, MeshOptions(cells=2_000_000, collider_triangles=600))
    return mesh, collider, scene, source


def test_the_mesh_lies_on_the_walls(built):
    """Within the size of the discs, 0.011: their depth is that of their centres, and the nearer ones cover the others.

    For comparison, the room is 2.2 units deep, and a pixel at its wall is 0.014 wide.
    """
    mesh, _, _, _ = built
    off = distance_to_truth(mesh.vertices)
    assert off.median() < 0.008
    assert off.quantile(0.99) < 0.015
    assert off.max() < 0.05
    assert len(mesh.triangles) > 20_000


def test_the_mesh_covers_what_the_source_camera_sees(built):
    mesh, _, scene, source = built
    likeness = mesh_likeness(mesh, scene, source)
    assert likeness.coverage > 0.97
    assert likeness.depth_error < 0.002
    assert likeness.worst_psnr > 22
    # the front of the box, without holes
    low, size = BOX[0], BOX[1] - BOX[0]
    x, y, _ = torch.eye(3)
    front = sheet(low + torch.tensor([0.1, 0.1, 0.0]) * size, 0.8 * size[0] * x, 0.8 * size[1] * y)
    assert cKDTree(mesh.vertices.numpy()).query(front.numpy())[0].max() < 0.02


def test_vertex_colours_are_those_of_the_walls(built):
    mesh, _, _, _ = built
    points, colors = mesh.vertices, mesh.colors
    middle = (BOX[0] + BOX[1]) / 2
    far_from_box = (points - middle).norm(dim=1) > 0.6
    for chosen, color in (
        (((points[:, 1] - FLOOR).abs() < 0.01) & (points[:, 2] < WALL - 0.2) & far_from_box, GREEN),
        (((points[:, 2] - WALL).abs() < 0.02) & (points[:, 1] < FLOOR - 0.3) & far_from_box, BLUE),
        (((points - middle).abs() < (BOX[1] - middle) * torch.tensor([0.7, 0.7, 1.05])).all(dim=1), RED),
    ):
        assert chosen.sum() > 300
        assert ((colors[chosen] - color).abs().amax(dim=1) < 0.06).float().mean() > 0.98


def test_triangles_face_the_cameras(built):
    mesh, collider, _, _ = built
    for each in (mesh, collider):
        a, b, c = (each.vertices[each.triangles[:, corner]] for corner in range(3))
        normal = torch.linalg.cross(b - a, c - a)
        towards = -(a + b + c) / 3  # the source camera is the origin
        area = normal.norm(dim=1)
        facing = (normal * towards).sum(dim=1) > 0
        assert area[facing].sum() / area.sum() > 0.98


def test_the_collider_is_small_and_close(built):
    mesh, collider, _, _ = built
    assert 0 < len(collider.triangles) <= 600
    assert torch.isfinite(collider.vertices).all()
    assert collider.triangles.min() >= 0 and collider.triangles.max() < len(collider.vertices)
    # Hausdorff: from the collider to the truth, and from the mesh to the collider, sampled densely
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(len(collider.triangles), 400, 3, generator=generator)
    share = share / share.sum(dim=2, keepdim=True)
    samples = (share @ collider.vertices[collider.triangles]).reshape(-1, 3)
    assert distance_to_truth(samples).quantile(0.99) < 0.04
    assert distance_to_truth(samples).max() < 0.1
    back = torch.from_numpy(cKDTree(samples.numpy()).query(mesh.vertices.numpy())[0])
    assert back.quantile(0.99) < 0.06
    assert back.max() < 0.2


def test_the_scene_as_files(tmp_path: Path):
    scene = Scene((room(),), camera())
    report = export(scene, "mesh-glb", tmp_path / "room.glb")
    assert [file.name for file in report.files] == ["room.glb", "room.collider.glb"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["room.collider.glb", "room.glb"]
    mesh, collider = map(read_mesh_glb, report.files)
    assert len(mesh.triangles) == report.count
    assert len(collider.triangles) <= MeshOptions().collider_triangles
    assert distance_to_truth(mesh.vertices).median() < 0.008
    assert "covers 9" in report.notes[0] and "collider of" in report.notes[1]


def test_what_has_no_surface_is_refused(tmp_path: Path):
    scene = room()
    fog = Gaussians(scene.means, scene.quats, scene.scales, scene.opacities * 0.02, scene.colors)
    with pytest.raises(InputError, match="no solid surface"):
        export(Scene((fog,), camera()), "mesh-glb", tmp_path / "fog.glb")
    assert list(tmp_path.iterdir()) == []


def test_a_mesh_that_is_off_is_refused(tmp_path: Path, monkeypatch):
    def moved(*arguments: object) -> tuple[Mesh, Mesh]:
        mesh, collider = build_mesh(*arguments)
        return Mesh(mesh.vertices * 1.05, mesh.triangles, mesh.colors), collider

    monkeypatch.setattr("lyra.exports.exporting.build_mesh", moved)
    scene = Scene((room(),), camera())
    with pytest.raises(InputError, match=r"depth off by 5\.\d% in the median"):
        export(scene, "mesh-glb", tmp_path / "room.glb")
    assert list(tmp_path.iterdir()) == []
    assert "depth off" in export(scene, "mesh-glb", tmp_path / "room.glb", force=True).notes[0]


# ---- the parts ----


def test_edges_are_cut_and_steep_planes_are_not():
    K = intrinsics_from_fov(1.1, HEIGHT, WIDTH)
    rows = (torch.arange(HEIGHT) + 0.5 - K[1, 2]) / K[1, 1]
    # a floor half a unit below: from 1 to 8 units away it rises by up to a twelfth from row to row
    floor = (0.5 / rows.clamp_min(1e-6))[:, None].expand(HEIGHT, WIDTH)
    floor = torch.where((rows[:, None] > 0) & (floor < 8), floor, 0)
    cut = at_edges(floor[None])[0]
    seen = floor > 0
    assert cut[seen].float().mean() < 0.06  # its last rows, beyond which nothing is known
    step = torch.full((1, 40, 60), 1.0)
    step[..., 30:] = 1.3
    cut = at_edges(step)[0]
    assert cut[:, 28:32].all()
    assert not cut[:, :27].any() and not cut[:, 33:].any()
    ramp = step.clone()
    ramp[..., 26:34] = torch.logspace(0, 0.6, 8)  # a blend over eight pixels, a fifth from one to the next
    assert at_edges(ramp)[0, :, 26:34].all()


def test_pictures_know_only_what_is_solid():
    scene, source = room(), camera()
    rgb, depth = solid_pictures(scene, source, lambda done, total: None)
    assert (depth > 0).float().mean() > 0.8
    assert depth[0, 3, 3] == pytest.approx(WALL, abs=0.01)
    assert torch.allclose(rgb[0, :, 3, 3], BLUE, atol=0.02)
    thin = Gaussians(scene.means, scene.quats, scene.scales, scene.opacities * 0.3, scene.colors)
    assert (solid_pictures(thin, source, lambda done, total: None)[1] > 0).float().mean() < 0.5
    distant = Gaussians(scene.means * 12, scene.quats, scene.scales * 12, scene.opacities, scene.colors)
    depth = solid_pictures(distant, source, lambda done, total: None)[1]
    assert 0 < depth.max() <= 20


def test_a_slanted_plane_is_fused_to_its_place():
    """Three cameras, the depth of a plane in each by formula; the zero level is the plane."""
    source = camera()
    normal, offset = torch.tensor([0.3, -0.5, 1.0]), 1.5  # points with normal . x = offset
    eyes = torch.tensor([[0.0, 0, 0], [0.2, 0.05, -0.1], [-0.15, -0.1, 0.1]])
    c2w = look_at(eyes, torch.tensor([0.0, 0.0, 1.5]).expand(3, 3))
    cameras = Cameras(c2w, source.K.expand(3, 3, 3).contiguous(), HEIGHT, WIDTH)
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ torch.linalg.inv(source.K[0]).T
    turned = torch.einsum("tij,hwj->thwi", c2w[:, :3, :3], rays)
    depth = (offset - eyes @ normal)[:, None, None] / (turned @ normal)
    volume = SignedDistance(GridShape(source, 4.0, 4.0, 3.0, 0.9, 1.015, 70, 38, 64))
    volume.add(depth, cameras)
    mesh = surface.surface_of(volume, torch.full((3, 3, HEIGHT, WIDTH), 0.25), depth, cameras)
    off = (mesh.vertices @ normal - offset).abs() / normal.norm()
    assert len(mesh.vertices) > 1500
    assert off.max() < 2e-3
    assert torch.allclose(mesh.colors, torch.tensor(0.25), atol=1e-5)
    # the same numbers however many threads share the work
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again = SignedDistance(volume.shape)
        again.add(depth, cameras)
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(again.distance, volume.distance)


def test_one_look_is_not_enough():
    source = camera()
    depth = torch.full((1, HEIGHT, WIDTH), 1.0)
    volume = SignedDistance(GridShape(source, 4.0, 4.0, 3.0, 0.9, 1.015, 20, 38, 64))
    volume.add(depth, source)
    with pytest.raises(InputError, match="no solid surface"):
        surface.surface_of(volume, torch.zeros(1, 3, HEIGHT, WIDTH), depth, source)
    twice = Cameras(source.c2w.repeat(2, 1, 1), source.K.repeat(2, 1, 1), HEIGHT, WIDTH)
    mesh = surface.surface_of(volume, torch.zeros(2, 3, HEIGHT, WIDTH), depth.repeat(2, 1, 1), twice)
    assert torch.allclose(mesh.vertices[:, 2], torch.tensor(1.0), atol=1e-3)


def test_a_triangle_is_drawn_where_it_is():
    """Corners at different depths: the depth of the plane, perspective-correct colours, the nearer one on top."""
    source = camera()
    corners = torch.tensor([[-0.4, -0.3, 1.0], [0.5, -0.2, 2.0], [0.0, 0.4, 1.2]])
    behind = corners * 3
    mesh = Mesh(
        torch.cat([behind, corners, torch.tensor([[0.0, 0, -1], [0, 1, 1], [1, 0, 1]])]),
        torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8]]),  # the last one reaches behind the camera
        torch.cat([torch.zeros(3, 3), torch.eye(3), torch.ones(3, 3)]),
    )
    picture = picture_mesh(mesh, source)
    normal = torch.linalg.cross(corners[1] - corners[0], corners[2] - corners[0])
    y, x = torch.nonzero(picture.alpha[0] > 0, as_tuple=True)
    assert len(y) > 500
    rays = torch.stack([x + 0.5, y + 0.5, torch.ones(len(y))], dim=1) @ torch.linalg.inv(source.K[0]).T
    z = (normal @ corners[0]) / (rays @ normal)
    near = picture.depth[0, y, x] < 2.5  # what the larger one behind shows beside it has the same pixels
    assert torch.allclose(picture.depth[0, y, x][near], z[near], rtol=1e-4)
    points = rays * z[:, None]
    weights = torch.linalg.solve(corners.T, points.T).T
    assert torch.allclose(picture.rgb[0, :, y, x].T[near], weights[near], atol=1e-3)


def test_mesh_files_keep_positions_triangles_and_colours(tmp_path: Path):
    generator = torch.Generator().manual_seed(0)
    mesh = Mesh(
        torch.randn(50, 3, generator=generator),
        torch.randint(50, (80, 3), generator=generator),
        torch.rand(50, 3, generator=generator),
    )
    write_mesh_glb(tmp_path / "mesh.glb", mesh, "Scene")
    found = read_mesh_glb(tmp_path / "mesh.glb")
    assert torch.equal(found.vertices, mesh.vertices)
    assert torch.equal(found.triangles, mesh.triangles)
    assert (found.colors - mesh.colors).abs().max() < 2e-4
    content = (tmp_path / "mesh.glb").read_bytes()
    assert b"KHR_materials_unlit" in content
    write_mesh_glb(tmp_path / "plain.glb", mesh, "Collider", with_colors=False)
    plain = (tmp_path / "plain.glb").read_bytes()
    assert b"COLOR_0" not in plain and b"material" not in plain
    # y up and z towards the viewer
    document = json.loads(plain[20 : 20 + int.from_bytes(plain[12:16], "little")])
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    assert document["accessors"][0]["max"] == pytest.approx([float(high[0]), -float(low[1]), -float(low[2])])
    with pytest.raises(ValueError, match="no triangles"):
        write_mesh_glb(tmp_path / "none.glb", Mesh(mesh.vertices, mesh.triangles[:0], mesh.colors), "Scene")


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(surface.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"scikit-image and fast-simplification; pip install 'lyra-scenes\[mesh\]'"):
        surface.require_mesh_packages()
