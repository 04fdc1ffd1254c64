"""Training material made on the device: camera paths, filmed worlds, moving photographs, photometric changes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.cameras import intrinsics_from_fov
from lyra.geometry.trajectories import OFFICIAL_TRAJECTORIES, trajectory_c2w
from lyra.worlds import TextureSet

PATH_BANK = 512


class PathBank:
    """Random camera paths, drawn once: the six published ones with strengths from half their range to a third above.

    ``reach`` says otherwise: the factors on the lower and the upper end of the published range.

    Attributes:
        c2w: [6, N, T, 4, 4] float32 on the device, by trajectory.
    """

    def __init__(
        self,
        frames: int,
        device: torch.device,
        seed: int,
        count: int = PATH_BANK,
        reach: tuple[float, float] = (0.5, 1.33),
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        groups = []
        for spec in OFFICIAL_TRAJECTORIES:
            span = torch.rand(count, generator=generator)
            low, high = reach[0] * spec.low, reach[1] * spec.high
            strengths = low + span * (high - low)
            groups.append(trajectory_c2w(spec.name, frames, strengths))
        self.c2w = torch.stack(groups).float().to(device)

    def draw(self, scenes: int, views: int) -> Tensor:
        """[scenes, views, T, 4, 4]: different trajectories for each view of a scene (all six when ``views`` is 6)."""
        kinds, count = self.c2w.shape[:2]
        device = self.c2w.device
        order = torch.rand(scenes, kinds, device=device).argsort(dim=1)[:, :views]
        if views == kinds:
            order = torch.arange(kinds, device=device).expand(scenes, kinds)
        return self.c2w[order, torch.randint(count, order.shape, device=device)]


class PhotoTiles:
    """Photographs of the texture set as still pictures and as flat, moving clips.

    Attributes:
        tiles: [N, 512, 512, 3] uint8 on the device.
    """

    def __init__(self, textures: TextureSet, device: torch.device) -> None:
        chosen = [i for i, category in enumerate(textures.categories) if category in ("photo", "view")]
        self.tiles = torch.from_numpy(textures.tiles[chosen or slice(None)]).to(device)

    def __len__(self) -> int:
        return self.tiles.shape[0]

    def _pick(self, count: int) -> Tensor:
        index = torch.randint(len(self), (count,), device=self.tiles.device)
        return self.tiles[index].permute(0, 3, 1, 2).float() / 255

    def stills(self, count: int, height: int, width: int) -> Tensor:
        """[count, 3, height, width] 0…1: random crops of the full shape, mirrored half of the time."""
        return self._sample(self._pick(count), torch.zeros(count, 1, 3, device=self.tiles.device), height, width)[:, 0]

    def windows(self, count: int, height: int, width: int) -> Tensor:
        """[count, 3, height, width] 0…1: like `stills`, but of full sharpness; mirrored beyond the picture's border."""
        motion = torch.zeros(count, 1, 3, device=self.tiles.device)
        return self._sample(self._pick(count), motion, height, width, (0.75, 1.0))[:, 0]

    def clips(self, count: int, frames: int, height: int, width: int, motion: float = 0.35) -> Tensor:
        """[count, frames, 3, height, width] 0…1: smooth pans and zooms over one photograph each."""
        end = torch.randn(count, 1, 3, device=self.tiles.device) * motion / 2
        ramp = torch.linspace(0, 1, frames, device=self.tiles.device)[None, :, None]
        return self._sample(self._pick(count), end * ramp, height, width)

    def _sample(
        self, pictures: Tensor, motion: Tensor, height: int, width: int, pitch: tuple[float, float] | None = None
    ) -> Tensor:
        """Cut windows of 0.6 to 1.1 photo pixels per output pixel, so that nothing is minified into aliasing.

        A window does not reach beyond the picture while it rests; with another ``pitch`` than that it may.
        ``motion`` [B, T, 3] is the shift in windows (x, y) and the log zoom of every frame.
        """
        count, frames = motion.shape[:2]
        device = pictures.device
        size = pictures.shape[-1]
        half = pictures.new_tensor([width / size, height / size])
        low, high = pitch or (0.6, 1.1)
        scale = low + (high - low) * torch.rand(count, 1, device=device)
        if pitch is None:
            scale = torch.minimum(scale, 0.98 / half.max())
        extent = (half * scale)[:, None] * torch.exp(0.6 * motion[..., 2:])
        mirror = torch.where(torch.rand(count, 1, 1, device=device) < 0.5, -1.0, 1.0)
        room = (1 - half * scale).clamp(min=0)
        centre = (torch.rand(count, 1, 2, device=device) * 2 - 1) * room[:, None] + motion[..., :2] * extent
        ys = (torch.arange(height, device=device) + 0.5) / height * 2 - 1
        xs = (torch.arange(width, device=device) + 0.5) / width * 2 - 1
        grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)
        grid = grid * extent[:, :, None, None] + centre[:, :, None, None]
        grid = torch.cat([grid[..., :1] * mirror[..., None, None], grid[..., 1:]], dim=-1)
        source = pictures[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
        picture = F.grid_sample(source, grid.flatten(0, 1), padding_mode="reflection", align_corners=False)
        return picture.unflatten(0, (count, frames))


def random_intrinsics(count: int, height: int, width: int, device: torch.device) -> Tensor:
    """[count, 3, 3] intrinsics with a field of view of 35 to 90 degrees along the long side."""
    fov_long = torch.deg2rad(35 + 55 * torch.rand(count, device=device))
    if width < height:
        fov_long = 2 * torch.atan(torch.tan(fov_long / 2) * width / height)
    return intrinsics_from_fov(fov_long, height, width)
