"""What stands still behind the things of a moment: seen at another one, or imagined; and which of it fits when."""

import torch
from torch import Tensor

from lyra.geometry import transform_points, unproject
from lyra.geometry.gaussian_sets import joined, of_pixels
from lyra.geometry.reliability import reliable_mask
from lyra.structures import Cameras, Gaussians, Views

BEHIND = 1.02
"""A point is hidden at a moment if it lies so much farther than what the source shows there."""
BEFORE = 0.95
"""A point that lies so much nearer than what the source shows at some moment does not stand still."""
_FARTHER = 1.05


@torch.no_grad()
def background_plate(views: Views, keys: tuple[int, ...]) -> Gaussians:
    """Pixels of some source pictures that others do not show: behind what moves, or outside their view.

    A pixel joins if at some key picture its point lies behind the surface or outside, if nothing at any moment says
    that there is empty space where it is, and if no key picture before it has given the same.

    Args:
        views: T source pictures with steady depth.
        keys: pictures to take from, the most important first.
    """
    height, width = views.depth.shape[-2:]
    rgb = views.frames.rgb
    taken: dict[int, Tensor] = {}
    parts: list[Gaussians] = []
    for key in keys:
        depth, camera = views.depth[key], views.cameras[key]
        points = unproject(depth, camera.K[0], camera.c2w[0])
        hidden = torch.zeros(height, width, dtype=torch.bool, device=depth.device)
        solid = reliable_mask(depth[None], threshold=0.15)[0] & views.mask[key]
        for time in range(len(rgb)):
            if time == key:
                continue
            z, surface, inside = _seen(points, views, time)
            solid &= ~(inside & (z < BEFORE * surface))
            if time in keys:
                hidden |= ~inside | (z > _FARTHER * surface)
        chosen = solid & hidden
        for before, mask in taken.items():
            z, surface, inside = _seen(points, views, before)
            row, column = _cell(points, views.cameras[before], height, width)
            given = mask[row.clamp(0, height - 1), column.clamp(0, width - 1)]
            chosen &= ~(inside & given & (z < _FARTHER * surface))
        taken[key] = chosen
        if bool(chosen.any()):
            parts.append(of_pixels(points[chosen], depth[chosen], rgb[key][:, chosen].T, camera.K[0]))
    return joined(*parts) if parts else _none(rgb)


def behind(pool: Gaussians, views: Views, time: int) -> Tensor:
    """[N] bool, the Gaussians of a pool that source picture ``time`` hides or does not show."""
    z, surface, inside = _seen(pool.means, views, time)
    return ~inside | (z > BEHIND * surface)


def unlike(new: Gaussians, old: Gaussians, centre: Tensor) -> Tensor:
    """[N] bool, the Gaussians of ``new`` where, in direction and depth from ``centre`` [3], there are none of ``old``.

    Cells are a hundredth of a radian wide and a tenth of the distance deep.
    """
    if len(old) == 0 or len(new) == 0:
        return torch.ones(len(new), dtype=torch.bool, device=new.means.device)
    cells = [_cells(each.means - centre) for each in (new, old)]
    taken = torch.cat([cells[1] + shift for shift in (0, 1, -1)])  # the cell before and behind as well
    return ~torch.isin(cells[0], taken)


def _cells(offset: Tensor) -> Tensor:
    """[N] number of the cell of each point around the origin; neighbours in depth follow each other."""
    x, y, z = offset.unbind(-1)
    distance = offset.norm(dim=-1).clamp(min=1e-4)
    across = (100 * torch.atan2(x, z)).floor().long() + 400
    down = (100 * torch.asin((y / distance).clamp(-1, 1))).floor().long() + 400
    deep = (10 * distance.log()).floor().long() + 200
    return (across * 1000 + down) * 1000 + deep


def _seen(points: Tensor, views: Views, time: int) -> tuple[Tensor, Tensor, Tensor]:
    """Depth of points [..., 3] in source camera ``time``, the depth it shows there, and whether it shows the place."""
    camera, depth = views.cameras[time], views.depth[time]
    height, width = depth.shape
    flat = points.reshape(-1, 3)
    z = transform_points(flat, camera.w2c[0])[:, 2].view(points.shape[:-1])
    row, column = _cell(points, camera, height, width)
    inside = (z > 1e-3) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    surface = depth[row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return z, surface, inside


def _cell(points: Tensor, camera: Cameras, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of points [..., 3]; those outside the picture are -1 or beyond."""
    x, y, z = transform_points(points.reshape(-1, 3), camera.w2c[0]).unbind(-1)
    K, z = camera.K[0], z.clamp(min=1e-3)
    column = (K[0, 0] * x / z + K[0, 2]).floor().clamp(-1, width)
    row = (K[1, 1] * y / z + K[1, 2]).floor().clamp(-1, height)
    return row.long().view(points.shape[:-1]), column.long().view(points.shape[:-1])


def _none(like: Tensor) -> Gaussians:
    empty = like.new_zeros(0, 3)
    return Gaussians(empty, like.new_zeros(0, 4), empty, like.new_zeros(0), empty)
