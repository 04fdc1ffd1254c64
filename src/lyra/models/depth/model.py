"""One picture to depth, sky and field of view."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lyra.geometry.constants import FAR_DEPTH, NEAR_DEPTH
from lyra.models.depth.config import DepthConfig
from lyra.models.depth.decoder import DepthDecoder
from lyra.models.depth.edges import settle_edges
from lyra.models.depth.encoder import EfficientNetLite0
from lyra.structures import InputError

SIZE_MULTIPLE = 32
LARGER = 1.5
"""A second look at a picture is taken at this size."""


@dataclass(frozen=True)
class DepthPrediction:
    """What `DepthNet` says about B pictures.

    Attributes:
        log_depth: [B, H, W] float32, natural logarithm of z up to an offset per picture.
        sky_logit: [B, H, W] float32, positive where there is no surface.
        log_focal: [B] float32, natural logarithm of focal length in pixels over picture width.
    """

    log_depth: Tensor
    sky_logit: Tensor
    log_focal: Tensor


def normalise_rgb(rgb: Tensor) -> Tensor:
    """[B, 3, H, W] picture 0..1 as EfficientNet-Lite was trained to see it: ``(value - 127) / 128`` of 8 bits."""
    return (rgb * 255 - 127) / 128


def _some(names: list[str]) -> str:
    """The first of the names and how many there are."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else (names or ["nothing"])[0]


class DepthNet(nn.Module):
    """Monocular depth: EfficientNet-Lite0, attention at the coarsest scale, fusion up to full resolution."""

    def __init__(self, config: DepthConfig | None = None) -> None:
        super().__init__()
        self.config = config or DepthConfig()
        self.encoder = EfficientNetLite0()
        self.decoder = DepthDecoder(self.config)
        self._batchnorm_frozen = False
        if self.config.freeze_batchnorm:
            self.freeze_batchnorm()

    def freeze_batchnorm(self, frozen: bool = True) -> None:
        """Make batch normalisation use its stored statistics in training too; its gain and offset stay trainable."""
        self._batchnorm_frozen = frozen
        self.train(self.training)

    def train(self, mode: bool = True) -> "DepthNet":
        """Switch between training and evaluation, leaving frozen statistics alone."""
        super().train(mode)
        if self._batchnorm_frozen:
            for module in self.encoder.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def load_encoder(self, path: Path) -> None:
        """Start the encoder from a file that ``scripts/convert_efficientnet.py`` wrote.

        Raises:
            InputError: the file cannot be read, lacks a tensor of the encoder, or holds another one.
        """
        try:
            state = {name: tensor.float() for name, tensor in load_file(path).items()}
        except (OSError, SafetensorError) as fault:
            raise InputError(f"{path}: {fault}; write the file with scripts/convert_efficientnet.py") from None
        missing, surplus = self.encoder.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or surplus:
            raise InputError(
                f"{path} is not an EfficientNet-Lite0 encoder: missing {_some(missing)}, surplus {_some(surplus)}; "
                "write the file with scripts/convert_efficientnet.py"
            )

    def forward(self, rgb: Tensor) -> DepthPrediction:
        """Predict depth, sky and focal length.

        Args:
            rgb: [B, 3, H, W] float 0..1, H and W multiples of 32.

        Raises:
            ValueError: the shape is another one.
        """
        if rgb.ndim != 4 or rgb.shape[1] != 3 or rgb.shape[2] % SIZE_MULTIPLE or rgb.shape[3] % SIZE_MULTIPLE:
            raise ValueError(
                f"DepthNet: expected [B, 3, H, W] with H and W multiples of {SIZE_MULTIPLE}, got {list(rgb.shape)}"
            )
        # Channels last is twice as fast on CPUs; the layers keep the layout they are given.
        normalised = normalise_rgb(rgb).contiguous(memory_format=torch.channels_last)
        maps, log_focal_over_longest = self.decoder(self.encoder(normalised), normalised)
        height, width = rgb.shape[-2:]
        to_width = math.log(max(height, width) / width)
        return DepthPrediction(maps[:, 0], maps[:, 1], log_focal_over_longest + to_width)

    @torch.no_grad()
    def infer(self, rgb: Tensor, settled: bool = True, thorough: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Depth ready for the point cache.

        Args:
            rgb: [B, 3, H, W] float 0..1, H and W multiples of 32.
            settled: put depth edges where the picture has them (`settle_edges`), which takes longer than the network.
            thorough: look at each picture four times (`look_again`).

        Returns:
            [B, H, W] float32 depth whose median outside the sky is 1, clamped to the scene's range, sky at its far end;
            [B, H, W] bool, sky; [B] float32, horizontal field of view in radians.

        Raises:
            ValueError: the shape is another one.
        """
        prediction = self.look_again(rgb) if thorough else self(rgb)
        sky = prediction.sky_logit > 0
        # A picture that is all sky has no surface to measure, so all of it counts.
        surface = ~sky | sky.all(dim=(1, 2))[:, None, None].expand_as(sky)
        log_depth = prediction.log_depth.float()
        median = torch.where(surface, log_depth, torch.nan).flatten(1).nanmedian(dim=1).values
        depth = (log_depth - median[:, None, None]).exp().clamp(NEAR_DEPTH, FAR_DEPTH)
        depth = torch.where(sky, FAR_DEPTH, depth)
        depth = settle_edges(depth, sky, rgb.float()) if settled else depth
        fov_x = 2 * torch.atan(0.5 * torch.exp(-prediction.log_focal.float()))
        return depth, sky, fov_x

    @torch.no_grad()
    def look_again(self, rgb: Tensor) -> DepthPrediction:
        """Mean of what the network says about a picture, its mirror image, and both half as large again.

        What differs between the looks is error, and part of it cancels. Each log depth is known up to an offset, and so
        is their mean.

        Args:
            rgb: [B, 3, H, W] float 0..1, H and W multiples of 32.

        Raises:
            ValueError: the shape is another one.
        """
        size = [SIZE_MULTIPLE * math.floor(LARGER * side / SIZE_MULTIPLE + 0.5) for side in rgb.shape[-2:]]
        larger = _resized(rgb, size)
        looks = [self(rgb), _mirrored(self(rgb.flip(-1)))]
        for look in (self(larger), _mirrored(self(larger.flip(-1)))):
            maps = _resized(torch.stack([look.log_depth, look.sky_logit], dim=1), rgb.shape[-2:])
            looks.append(DepthPrediction(maps[:, 0], maps[:, 1], look.log_focal))
        kinds = ("log_depth", "sky_logit", "log_focal")
        return DepthPrediction(*(torch.stack([getattr(look, kind) for look in looks]).mean(dim=0) for kind in kinds))


def _mirrored(prediction: DepthPrediction) -> DepthPrediction:
    """What a prediction says of the mirror image of its picture."""
    return DepthPrediction(prediction.log_depth.flip(-1), prediction.sky_logit.flip(-1), prediction.log_focal)


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """[B, C, H, W] brought to another height and width."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)
