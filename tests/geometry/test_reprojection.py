import math

import pytest
import torch

from lyra.geometry.reprojection import correspond, nudge

HEIGHT, WIDTH = 24, 40
K = torch.tensor([[30.0, 0, WIDTH / 2], [0, 30.0, HEIGHT / 2], [0, 0, 1]])


def moved(x: float = 0.0, z: float = 0.0) -> torch.Tensor:
    c2w = torch.eye(4)
    c2w[0, 3], c2w[2, 3] = x, z
    return c2w


def test_a_wall_is_found_where_its_disparity_puts_it():
    """From a camera 0.2 to the right, a wall at 3 lies 30 · 0.2 / 3 = 2 pixels farther left."""
    depth = torch.full((HEIGHT, WIDTH), 3.0)
    columns = torch.arange(WIDTH, dtype=torch.float32).expand(1, HEIGHT, WIDTH)
    found = correspond(depth, torch.eye(4), columns, depth, moved(x=0.2), K)
    inside = found.inside
    assert torch.equal(inside.all(dim=0), torch.arange(WIDTH) >= 2)
    assert torch.allclose(found.values[0][inside], (columns[0] - 2)[inside], atol=1e-4)
    assert torch.allclose(found.depth_ratio[inside], torch.ones(int(inside.sum())), atol=1e-5)


def test_depth_ratio_tells_what_hides_a_point():
    depth, near = torch.full((HEIGHT, WIDTH), 3.0), torch.full((HEIGHT, WIDTH), 1.0)
    values = torch.zeros(1, HEIGHT, WIDTH)
    hidden = correspond(depth, torch.eye(4), values, near, torch.eye(4), K)
    assert torch.allclose(hidden.depth_ratio, torch.full_like(depth, 3.0))
    closer = correspond(depth, torch.eye(4), values, torch.full_like(depth, 2.0), moved(z=1.0), K)
    assert torch.allclose(closer.depth_ratio[closer.inside], torch.ones(int(closer.inside.sum())), atol=1e-5)
    behind = correspond(depth, torch.eye(4), values, depth, moved(z=4.0), K)
    assert not behind.inside.any()


@pytest.mark.parametrize(("degrees", "distance"), [(0.0, 0.0), (1.5, 0.0), (0.0, 0.07), (20.0, 0.3)])
def test_cameras_are_wrong_by_what_was_asked(degrees, distance):
    start = nudge(torch.eye(4).repeat(50, 1, 1), torch.Generator().manual_seed(1), 40.0, 2.0)
    wrong = nudge(start, torch.Generator().manual_seed(0), degrees, distance)
    relative = torch.linalg.inv(start.double()) @ wrong.double()
    rotation = relative[:, :3, :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3, dtype=torch.float64), atol=1e-5)
    trace = rotation.diagonal(dim1=1, dim2=2).sum(dim=1)
    assert torch.allclose(
        torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1))), torch.tensor(degrees).double(), atol=0.05
    )
    assert torch.allclose(relative[:, :3, 3].norm(dim=1), torch.tensor(distance).double(), atol=1e-5)
    ways = relative[:, :3, 3]
    assert distance == 0 or ((ways.max(dim=0).values > 0.3 * distance).all() and (ways.min(dim=0).values < 0).all())
    assert degrees < 1 or math.isclose(float(rotation.det().mean()), 1.0, abs_tol=1e-5)
