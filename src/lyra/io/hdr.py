"""Pictures whose code values mean light beyond white, brought into sRGB."""

import torch
from torch import Tensor

PQ, HLG = 16, 18
"""Transfer characteristics of SMPTE ST 2084 and ARIB STD-B67, as numbered in ITU-T H.273."""
_WHITE_NITS = 203.0
"""Diffuse white of HDR pictures, ITU-R BT.2408."""
_KNEE = 0.75
_BT2020_TO_BT709 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))


def tone_mapped(rgb: Tensor, transfer: int) -> Tensor:
    """sRGB of an HDR picture in BT.2020 colours: white stays white, what is brighter is pressed into the top quarter.

    Args:
        rgb: [3, H, W] code values 0…1.
        transfer: `PQ` or `HLG`.

    Returns:
        [3, H, W] sRGB 0…1.

    Raises:
        ValueError: another transfer.
    """
    light = _pq_light(rgb) if transfer == PQ else _hlg_light(rgb) if transfer == HLG else None
    if light is None:
        raise ValueError(f"tone_mapped: transfer {transfer} is neither PQ ({PQ}) nor HLG ({HLG})")
    matrix = torch.tensor(_BT2020_TO_BT709, dtype=rgb.dtype, device=rgb.device)
    linear = torch.einsum("ij,jhw->ihw", matrix, light).clamp(min=0)
    over = (linear - _KNEE).clamp(min=0)
    room = 1 - _KNEE
    linear = torch.where(linear > _KNEE, _KNEE + room * over / (over + room), linear)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=1e-8) ** (1 / 2.4) - 0.055)


def _pq_light(code: Tensor) -> Tensor:
    """Linear light, 1 is diffuse white: the EOTF of SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = code.clamp(0, 1) ** (1 / m2)
    return 1e4 / _WHITE_NITS * ((power - c1).clamp(min=0) / (c2 - c3 * power)) ** (1 / m1)


def _hlg_light(code: Tensor) -> Tensor:
    """Linear light, 1 is diffuse white (code 0.75, ITU-R BT.2408): the inverse OETF of ARIB STD-B67."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    code = code.clamp(0, 1)
    scene = torch.where(code <= 0.5, code.square() / 3, (torch.exp((code - c) / a) + b) / 12)
    return scene / ((torch.exp(torch.tensor((0.75 - c) / a)) + b) / 12).to(scene)
