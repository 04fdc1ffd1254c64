"""Where the camera of a clip was, told from points followed through it and from the depth of its pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lyra.geometry import invert_rigid
from lyra.geometry.bundle import bundle, pose_from_points
from lyra.geometry.constants import FAR_DEPTH
from lyra.geometry.tracking import Tracks, follow
from lyra.structures import Cameras, Frames

TRIPOD_PIXELS = 0.6
"""A point that never leaves this distance from its place stands still in the picture, in pixels of a 448 wide one."""
_TRIPOD_SHARE = 0.55
_FEWEST = 16
_SURE, _UNSURE = 0.6, 0.35
_REFERENCE_WIDTH = 448.0


@dataclass(frozen=True)
class CameraPath:
    """Cameras of a clip and how far they can be trusted.

    Attributes:
        cameras: T cameras; the first stands at the identity.
        kind: ``static``, ``moving``, or ``given`` by files.
        sureness: 0…1, the share of followed points that agree, less where they are few; 1 for what was given.
        words: a sentence for the user.
    """

    cameras: Cameras
    kind: str
    sureness: float
    words: str


def still_cameras(count: int, K: Tensor, height: int, width: int) -> Cameras:
    """``count`` cameras at the identity."""
    eye = torch.eye(4, device=K.device, dtype=K.dtype)
    return Cameras(eye.repeat(count, 1, 1), K.reshape(1, 3, 3).repeat(count, 1, 1), height, width)


@torch.no_grad()
def locate(frames: Frames, depth: Tensor, K: Tensor, seed: int = 0, corners: int = 300) -> CameraPath:
    """Estimate the camera of every frame.

    Points are followed from the first, middle and last frame. If most stay in their places the camera stood still.
    Else each camera is found alone by the points of the first frame and its depth (RANSAC), then all together with all
    points, for which depth is only a soft word. Where too few points agree, the camera is taken to have stood still,
    and the words say so.

    Args:
        frames: T pictures.
        depth: [T, H, W] z of each, in any scale of its own.
        K: [3, 3] intrinsics of all of them.
        seed: of the random subsets.
        corners: points followed from each of the three frames.
    """
    count, height, width = len(frames), frames.height, frames.width
    still = still_cameras(count, K, height, width)
    homes = tuple(sorted({0, count // 2, count - 1}))
    tracks = follow(frames.rgb, homes, corners)
    share = _still_share(tracks, width)
    if share >= _TRIPOD_SHARE:
        return CameraPath(still, "static", share, f"the camera stands still: {100 * share:.0f} % of the points do")
    found = _solve(tracks, depth, K, seed)
    if found is None:
        return CameraPath(
            still, "static", 0.0, "the camera could not be found (too few points to follow); it is taken to stand still"
        )
    w2c, sureness, error = found
    if sureness < _UNSURE:
        return CameraPath(
            still, "static", sureness,
            f"the camera could not be found (only {100 * sureness:.0f} % of the points agree); it is taken to stand "
            "still, give --cameras FILE if you know better",
        )  # fmt: skip
    c2w = invert_rigid(w2c).to(K)
    cameras = Cameras(c2w, still.K, height, width)
    doubt = "" if sureness >= _SURE else "; be wary of it"
    reach = float(c2w[:, :3, 3].norm(dim=1).max())
    return CameraPath(
        cameras, "moving", sureness,
        f"the camera moves by up to {reach:.2f} scene units: {100 * sureness:.0f} % of the points agree within "
        f"{error:.2f} px{doubt}",
    )  # fmt: skip


@torch.no_grad()
def scale_to_depth(frames: Frames, depth: Tensor, cameras: Cameras, corners: int = 300) -> float | None:
    """What brings lengths of cameras of unknown scale to the scale of the depth of the first frame.

    Points of the first frame are triangulated; the factor is the median ratio of the given depth to theirs.

    Args:
        frames: T pictures.
        depth: [T, H, W] z; that of the first frame counts.
        cameras: T cameras, the first at the identity.
        corners: points followed.

    Returns:
        The factor; None where too few points tell it.
    """
    tracks = follow(frames.rgb, (0,), corners)
    pixels, seen = tracks.points.double().cpu(), tracks.seen.cpu()
    w2c, K = cameras.w2c.double().cpu(), cameras.K.double().cpu()
    own = _depth_at(depth.double().cpu(), torch.zeros(pixels.shape[1], dtype=torch.long), pixels[0])
    rays = torch.stack(
        [
            (pixels[..., 0] - K[:, None, 0, 2]) / K[:, None, 0, 0],
            (pixels[..., 1] - K[:, None, 1, 2]) / K[:, None, 1, 1],
        ],
        dim=-1,
    )
    # x_t (R_3 X + t_3) = R_1 X + t_1 with X = d ray_0 is linear in the inverse depth 1 / d
    first = torch.cat([rays[0], torch.ones_like(rays[0][:, :1])], dim=-1)
    turned = torch.einsum("tij,nj->tni", w2c[:, :3, :3], first)
    shift = w2c[:, None, :3, 3]
    a = shift[..., :2] - rays * shift[..., 2:]
    b = rays * turned[..., 2:] - turned[..., :2]
    use = (seen & seen[:1]).double()[..., None]
    strength = (use * a * a).sum(dim=(0, 2))
    inverse = (use * a * b).sum(dim=(0, 2)) / strength.clamp(min=1e-12)
    good = (inverse > 1e-3) & (strength > 1e-6) & (own < 0.9 * FAR_DEPTH)
    if int(good.sum()) < _FEWEST:
        return None
    return float((own[good] * inverse[good]).log().median().exp())


def _still_share(tracks: Tracks, width: int) -> float:
    """Share of the points that never leave their place; points lost at once do not count."""
    tolerance = TRIPOD_PIXELS * max(width / _REFERENCE_WIDTH, 0.5)
    numbers = torch.arange(tracks.points.shape[1], device=tracks.points.device)
    start = tracks.points[tracks.home, numbers]
    away = torch.where(tracks.seen, (tracks.points - start).norm(dim=-1), 0.0).amax(dim=0)
    counted = tracks.seen.sum(dim=0) >= 0.5 * len(tracks.points)
    return float((away[counted] < tolerance).float().mean()) if int(counted.sum()) >= _FEWEST else 0.0


def _solve(tracks: Tracks, depth: Tensor, K: Tensor, seed: int) -> tuple[Tensor, float, float] | None:
    """World-to-camera poses [T, 4, 4] float64, sureness, and typical error in pixels; None for too few points."""
    pixels, seen, home = tracks.points.double().cpu(), tracks.seen.cpu(), tracks.home.cpu()
    K64, depth = K.double().cpu(), depth.double().cpu()
    frames = len(pixels)
    numbers = torch.arange(pixels.shape[1])
    start = pixels[home, numbers]
    own = _depth_at(depth, home, start)
    usable = (own < 0.9 * FAR_DEPTH) & (own > 0)
    generator = torch.Generator().manual_seed(seed)
    w2c = torch.eye(4, dtype=torch.float64).repeat(frames, 1, 1)
    lifted = _lift(start, own, K64)
    first = usable & (home == 0)
    for frame in range(1, frames):
        use = first & seen[frame]
        w2c[frame] = w2c[frame - 1]
        if int(use.sum()) >= _FEWEST:
            w2c[frame], _ = pose_from_points(lifted[use], pixels[frame, use], K64, w2c[frame - 1], generator)
        elif frame < 3:
            return None
    scale = _home_scales(home, own, pixels, seen, w2c, lifted, first, depth)
    own = own * scale
    world = _to_world(_lift(start, own, K64), invert_rigid(w2c)[home])
    keep = usable & (seen.sum(dim=0) >= 3)
    if int(keep.sum()) < _FEWEST:
        return None
    result = bundle(world[keep], pixels[:, keep], seen[:, keep], home[keep], own[keep], K64, w2c)
    seen_often = seen[:, keep].sum().clamp(min=1)
    sureness = float(result.fits.sum() / seen_often) * min(1.0, int(keep.sum()) / (3 * _FEWEST))
    first_pose = invert_rigid(result.w2c[:1])
    w2c = (result.w2c[:, None] @ first_pose[None])[:, 0]
    return w2c, sureness, result.error


def _home_scales(
    home: Tensor,
    own: Tensor,
    pixels: Tensor,
    seen: Tensor,
    w2c: Tensor,
    lifted: Tensor,
    first: Tensor,
    depth: Tensor,
) -> Tensor:
    """[N] factors that bring the depth of every home frame to the scale of the first one."""
    scale = torch.ones_like(own)
    for frame in home.unique().tolist():
        if frame == 0:
            continue
        both = first & seen[frame]
        if int(both.sum()) < _FEWEST:
            continue
        z = (lifted[both] @ w2c[frame, :3, :3].mT + w2c[frame, :3, 3])[:, 2].clamp(min=1e-3)
        there = _depth_at(depth, torch.full((int(both.sum()),), frame), pixels[frame, both])
        scale[home == frame] = float((z / there.clamp(min=1e-3)).log().median().exp())
    return scale


def _depth_at(depth: Tensor, frame: Tensor, pixels: Tensor) -> Tensor:
    """[N] depth of frames [N] at pixels [N, 2], that of the nearest pixel."""
    height, width = depth.shape[-2:]
    column = pixels[:, 0].long().clamp(0, width - 1)
    row = pixels[:, 1].long().clamp(0, height - 1)
    return depth[frame, row, column]


def _lift(pixels: Tensor, depth: Tensor, K: Tensor) -> Tensor:
    """[N, 3] points in camera axes."""
    x = (pixels[:, 0] - K[0, 2]) / K[0, 0] * depth
    y = (pixels[:, 1] - K[1, 2]) / K[1, 1] * depth
    return torch.stack([x, y, depth], dim=-1)


def _to_world(points: Tensor, c2w: Tensor) -> Tensor:
    """[N, 3] points by one pose each [N, 4, 4]."""
    return (c2w[:, :3, :3] @ points[..., None])[..., 0] + c2w[:, :3, 3]
