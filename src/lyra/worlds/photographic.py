"""What a camera makes of light: filmed worlds, and photographs too, as other cameras would have taken them.

`develop` changes light and lens alike in every frame of a clip, so that frames stay consistent with each other.
`degrade` adds what differs from shot to shot: noise and the traces of JPEG. Everything is batched over clips and runs
where its input lies.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.worlds.jpeg import jpeg

_LUMA = (0.2126, 0.7152, 0.0722)
_GAMMA = 2.2
_BRIGHTEST = 0.999  # of the film curve; beyond it the curve cannot be turned back
_TAPS = 3
_DEFOCUS_LEVELS = (1.0, 2.0, 4.0)
NO_JPEG = 100.0


@dataclass(frozen=True)
class CameraLook:
    """The cameras of B clips; every attribute is [B] float unless stated.

    They lie on the CPU, so that what no camera asks for is left out without waiting for the device.

    Attributes:
        exposure: stops.
        white: [B, 3] gains, in linear light.
        hard: 0…1, from the film curve's soft shoulder to clipped highlights.
        contrast: -0.5…1, strength of an S-curve; 0 for none.
        lift: 0…0.1, brightness of black.
        saturation: factor.
        vignette: light lost towards the corners, as in 1 / (1 + v r²)² with r 1 in the corner.
        blur: deviation of the lens's point spread in pixels.
        aperture: diameter in metres; what is out of focus spreads. 0 for a pinhole.
        shot, read: noise: the variance in linear light is shot · light + read².
        chroma: deviation of coarse coloured noise.
        quality: of JPEG; NO_JPEG leaves it out.
    """

    exposure: Tensor
    white: Tensor
    hard: Tensor
    contrast: Tensor
    lift: Tensor
    saturation: Tensor
    vignette: Tensor
    blur: Tensor
    aperture: Tensor
    shot: Tensor
    read: Tensor
    chroma: Tensor
    quality: Tensor

    def __len__(self) -> int:
        return len(self.exposure)

    def pick(self, index: Tensor) -> "CameraLook":
        """The looks of some clips, in the order of ``index``."""
        return CameraLook(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device) -> "CameraLook":
        """The same numbers elsewhere, in one copy."""
        parts = [getattr(self, field.name).view(len(self), -1) for field in fields(self)]
        widths = [part.shape[1] for part in parts]
        columns = torch.cat(parts, dim=1).to(device).split(widths, dim=1)
        return CameraLook(*(part if width > 1 else part[:, 0] for part, width in zip(columns, widths, strict=True)))

    def without_vignette(self) -> "CameraLook":
        """The same cameras with evenly lit pictures."""
        return replace(self, vignette=torch.zeros_like(self.vignette))

    def without_lens(self) -> "CameraLook":
        """The same cameras with a perfect lens."""
        zero = torch.zeros_like(self.blur)
        return replace(self, vignette=zero, blur=zero, aperture=zero)


def neutral_looks(count: int) -> CameraLook:
    """Cameras that leave pictures as they are."""
    zero, one = torch.zeros(count), torch.ones(count)
    return CameraLook(
        exposure=zero, white=one[:, None].expand(-1, 3), hard=zero, contrast=zero, lift=zero, saturation=one,
        vignette=zero, blur=zero, aperture=zero, shot=zero, read=zero, chroma=zero, quality=one * NO_JPEG,
    )  # fmt: skip


def draw_looks(
    count: int,
    clean: float = 0.3,
    strength: float = 1.0,
    generator: torch.Generator | None = None,
) -> CameraLook:
    """Random cameras.

    Args:
        count: clips.
        clean: share of the clips that stay as they are.
        strength: of light and colour, 1 for what happens to photographs that people keep.
        generator: on the CPU; ``None`` for torch's own.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def normal(deviation: float) -> Tensor:
        return deviation * torch.randn(count, generator=generator)

    def some(share: float, value: Tensor) -> Tensor:
        return torch.where(uniform(0, 1) < share, value, 0.0)

    def powers(low: float, high: float) -> Tensor:
        return low * (high / low) ** uniform(0, 1)

    warmth, green = normal(0.10 * strength), normal(0.03 * strength)
    white = torch.exp(torch.stack([warmth, green, -warmth], dim=1))
    white = white / (white * torch.tensor(_LUMA)).sum(dim=1, keepdim=True)
    noise = some(0.6, powers(2e-5, 8e-4))
    drawn = CameraLook(
        exposure=normal(0.4 * strength).clamp(-1.5, 1.2),
        white=white,
        hard=some(0.5, uniform(0, 1)),
        contrast=(normal(0.3 * strength) + 0.1).clamp(-0.5, 0.9),
        lift=some(0.3, uniform(0, 0.06) * min(strength, 1.5)),
        saturation=torch.where(uniform(0, 1) < 0.03 * strength, 0.0, torch.exp(normal(0.2 * strength))),
        vignette=some(0.5, uniform(0, 0.25)),
        blur=some(0.4, uniform(0.2, 0.65)),
        aperture=some(0.35, powers(0.002, 0.02)),
        shot=noise,
        read=noise.sqrt() * uniform(0.02, 0.15),
        chroma=some(0.25, uniform(0, 0.012)),
        quality=torch.where(uniform(0, 1) < 0.55, uniform(45, 96), NO_JPEG),
    )
    plain = uniform(0, 1) < clean
    neutral = neutral_looks(count)
    parts = {}
    for field in fields(CameraLook):
        own, other = getattr(drawn, field.name), getattr(neutral, field.name)
        parts[field.name] = torch.where(plain if own.dim() == 1 else plain[:, None], other, own)
    return CameraLook(**parts)


def develop(frames: Tensor, look: CameraLook, depth: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
    """Light and lens of B cameras, the same in every frame of a clip.

    Args:
        frames: [B, T, 3, H, W] 0…1 as `film` shows worlds: the film curve, then a gamma of 2.2.
        look: B cameras.
        depth: [B, T, H, W] z; with it, ``look.aperture`` blurs what is out of focus. Each clip is focused on something
            near in the middle of its first frame.
        scale: [B] metres per unit of ``depth``; ``None`` for 1.

    Returns:
        [B, T, 3, H, W] 0…1.
    """
    light = _to_light(frames)
    blurred, spread = ((values > 0).nonzero()[:, 0].to(frames.device) for values in (look.aperture, look.blur))
    look = look.to(frames.device)
    if depth is not None and len(blurred):
        metres = depth[blurred] if scale is None else depth[blurred] * _wide(scale[blurred])[:, :, 0]
        light[blurred] = _defocus(light[blurred], metres, look.aperture[blurred])
    if len(spread):
        light[spread] = _spread(light[spread], look.blur[spread])
    gain = torch.exp2(look.exposure)[:, None] * look.white
    light = light * gain[:, None, :, None, None] * _falloff(frames, look.vignette)
    hard = _wide(look.hard)
    linear = _film(light) * (1 - hard) + light.clamp(max=1) * hard
    display = linear ** (1 / _GAMMA)
    contrast, lift = _wide(look.contrast), _wide(look.lift)
    display = display + contrast * display * (1 - display) * (2 * display - 1)
    grey = _luma(display)
    display = grey + (display - grey) * _wide(look.saturation)
    return (lift + (1 - lift) * display).clamp(0, 1)


def degrade(frames: Tensor, look: CameraLook, generator: torch.Generator | None = None) -> Tensor:
    """Noise and JPEG, drawn anew for every frame.

    Noise is added to the linear light of the finished picture, a little smoothed as demosaicing does.

    Args:
        frames: [B, T, 3, H, W] 0…1 developed pictures.
        look: B cameras.
        generator: on the device of ``frames``; ``None`` for torch's own.

    Returns:
        [B, T, 3, H, W] 0…1.
    """
    height, width = frames.shape[-2:]
    look = look.to(frames.device)

    def white(size: tuple[int, int]) -> Tensor:
        return torch.randn(*frames.shape[:3], *size, device=frames.device, generator=generator)

    light = frames.clamp(0, 1) ** _GAMMA
    deviation = (_wide(look.shot) * light + _wide(look.read).square()).sqrt()
    light = light + deviation * _demosaiced(white((height, width)))
    noisy = light.clamp(0, 1) ** (1 / _GAMMA)
    coarse = white((-(-height // 4), -(-width // 4)))
    coarse = F.interpolate(coarse.flatten(0, 1), size=(height, width), mode="bilinear").unflatten(0, frames.shape[:2])
    noisy = noisy + _wide(look.chroma) * (coarse - _luma(coarse))
    noisy = torch.where(_wide(look.shot + look.read + look.chroma) > 0, noisy.clamp(0, 1), frames)
    quality = look.quality[:, None].expand(frames.shape[:2]).flatten()
    coded = jpeg(noisy.flatten(0, 1), quality.clamp(max=NO_JPEG - 1)).unflatten(0, frames.shape[:2])
    return torch.where(_wide(look.quality) < NO_JPEG, coded, noisy)


def _wide(values: Tensor) -> Tensor:
    """[B] as [B, 1, 1, 1, 1]."""
    return values[:, None, None, None, None]


def _luma(frames: Tensor) -> Tensor:
    """[..., 3, H, W] → [..., 1, H, W]."""
    red, green, blue = frames.split(1, dim=-3)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _film(light: Tensor) -> Tensor:
    """The tracer's soft shoulder: x / (1 + x⁴)^¼."""
    square = light.square()
    return light * torch.rsqrt(torch.sqrt(1 + square.square()))


def _to_light(frames: Tensor) -> Tensor:
    """Invert gamma and film curve."""
    linear = (frames.clamp(0, 1) ** _GAMMA).clamp(max=_BRIGHTEST)
    square = linear.square()
    return linear * torch.rsqrt(torch.sqrt(1 - square.square()))


def _falloff(frames: Tensor, vignette: Tensor) -> Tensor:
    """[B, 1, 1, H, W] light that reaches each pixel."""
    height, width = frames.shape[-2:]
    y = torch.linspace(-1, 1, height, device=frames.device)[:, None]
    x = torch.linspace(-1, 1, width, device=frames.device)[None]
    # r is 1 in the corner; sides count by their length
    radius2 = (x.square() * width**2 + y.square() * height**2) / (width**2 + height**2)
    return 1 / (1 + _wide(vignette) * radius2).square()


def _spread(frames: Tensor, deviation: Tensor) -> Tensor:
    """Gaussian blur of [B, T, C, H, W], its deviation [B] in pixels; 0 leaves a clip as it is."""
    taps = torch.arange(-_TAPS, _TAPS + 1, device=frames.device)
    weights = torch.exp(-taps.square() / (2 * deviation.clamp_min(1e-3).square()[:, None]))
    weights = weights / weights.sum(dim=1, keepdim=True)
    for axis in (-1, -2):
        margins = (_TAPS, _TAPS, 0, 0) if axis == -1 else (0, 0, _TAPS, _TAPS)
        padded = F.pad(frames.flatten(0, 1), margins, mode="replicate").unflatten(0, frames.shape[:2])
        size = frames.shape[axis]
        parts = (padded.narrow(axis, tap, size) * _wide(weights[:, tap]) for tap in range(2 * _TAPS + 1))
        frames = sum(parts, torch.zeros_like(frames))
    return frames


def _demosaiced(noise: Tensor) -> Tensor:
    """White noise of unit variance, smoothed over 3 x 3 pixels, of unit variance again."""
    for axis in (-1, -2):
        noise = (0.2 * noise.roll(1, axis) + 0.6 * noise + 0.2 * noise.roll(-1, axis)) / math.sqrt(0.44)
    return noise


def _defocus(light: Tensor, metres: Tensor, aperture: Tensor) -> Tensor:
    """Blur what is out of focus: the disc of a thin lens, its deviation a quarter of its diameter.

    ``metres`` [B, T, H, W] is the depth. Sharp surfaces do not spill over blurred ones: a pixel counts in a blur as far
    as it is blurred itself.
    """
    batch, frames, height, width = metres.shape
    middle = metres[:, 0, height // 4 : height - height // 5, width // 4 : width - width // 4]
    focus = middle.flatten(1).quantile(0.25, dim=1)[:, None, None, None]
    diameter = (0.9 * max(height, width)) * aperture[:, None, None, None] * (1 / metres - 1 / focus).abs()
    deviation = (diameter / 4).clamp(max=_DEFOCUS_LEVELS[-1])[:, :, None]
    result, lower = light, 0.0
    for level in _DEFOCUS_LEVELS:
        weight = (deviation / level).clamp(0.02, 1)
        both = _blur(torch.cat([light * weight, weight], dim=2).flatten(0, 1), level).unflatten(0, (batch, frames))
        share = ((deviation - lower) / (level - lower)).clamp(0, 1)
        result = result + share * (both[:, :, :3] / both[:, :, 3:] - result)
        lower = level
    return result


def _blur(pictures: Tensor, deviation: float) -> Tensor:
    """Gaussian blur of [N, C, H, W] by one deviation; wide ones on a reduced picture."""
    factor = 2 if deviation >= 2 and min(pictures.shape[-2:]) >= 32 else 1
    small = F.avg_pool2d(pictures, factor) if factor > 1 else pictures
    reach = round(2.5 * deviation / factor)
    taps = torch.arange(-reach, reach + 1, device=pictures.device, dtype=pictures.dtype)
    kernel = torch.exp(-taps.square() / (2 * (deviation / factor) ** 2))
    kernel = (kernel / kernel.sum()).expand(small.shape[1], 1, 1, -1)
    channels = small.shape[1]
    small = F.conv2d(F.pad(small, (reach, reach, 0, 0), mode="replicate"), kernel, groups=channels)
    small = F.conv2d(F.pad(small, (0, 0, reach, reach), mode="replicate"), kernel.transpose(2, 3), groups=channels)
    if factor == 1:
        return small
    return F.interpolate(small, size=pictures.shape[-2:], mode="bilinear", align_corners=False)
