"""Between Gaussians and the plain arrays that every file format packs: checks on the way out and on the way in."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lyra.structures import Gaussians, InputError

SH_C0 = 0.28209479177387814
"""Degree-0 spherical harmonic: colour = 0.5 + SH_C0 x coefficient."""

_UNIT_TOLERANCE = 1e-6
_SHORTEST_QUATERNION = 1e-12
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrays:
    """Gaussians as float32 arrays on the CPU, activated like `lyra.structures.Gaussians`: same names, same shapes."""

    means: np.ndarray
    quats: np.ndarray
    scales: np.ndarray
    opacities: np.ndarray
    colors: np.ndarray


def arrays_of(gaussians: Gaussians, writer: str) -> Arrays:
    """The arrays to write; a quaternion without length becomes the identity.

    Args:
        gaussians: what the caller of the writer gave.
        writer: name of the function that writes, for messages.

    Raises:
        ValueError: there are none, or a value is not finite.
    """
    if len(gaussians) == 0:
        raise ValueError(f"{writer}: there are no Gaussians to write")
    fields = {
        name: getattr(gaussians, name).detach().float().cpu().numpy()
        for name in ("means", "quats", "scales", "opacities", "colors")
    }
    for name, array in fields.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{writer}: {name} holds values that are not finite")
    no_length = np.einsum("ni,ni->n", fields["quats"], fields["quats"]) <= _SHORTEST_QUATERNION**2
    if no_length.any():
        fields["quats"] = np.where(no_length[:, None], np.array([1, 0, 0, 0], np.float32), fields["quats"])
    return Arrays(**fields)


def checked_gaussians(
    path: Path,
    what: str,
    means: np.ndarray,
    quats: np.ndarray,
    scales: np.ndarray,
    opacities: np.ndarray,
    colors: np.ndarray,
) -> Gaussians:
    """Gaussians out of the activated values of a file.

    Quaternions are normalised (one without length becomes the identity), opacities and colours clamped to 0…1.
    Gaussians with values that are not finite or with a negative scale are left out, and reported through `logging`.

    Args:
        path: the file, for messages.
        what: what messages call the file, such as ``PLY file``.
        means, quats, scales, opacities, colors: float32 arrays of the reader, [N, 3], [N, 4], [N, 3], [N], [N, 3]; they
            are used up (the result shares their memory).

    Raises:
        InputError: no Gaussian is left.
    """
    means_, quats_, scales_, opacities_, colors_ = map(torch.from_numpy, (means, quats, scales, opacities, colors))
    length = torch.linalg.vector_norm(quats_, dim=1, keepdim=True)
    length = torch.where((length - 1).abs() < _UNIT_TOLERANCE, 1.0, length)  # unit ones come back bit by bit
    if not bool((length > _SHORTEST_QUATERNION).all()):  # NaN comes here too, and is left out below
        short = length <= _SHORTEST_QUATERNION
        quats_ = torch.where(short, torch.tensor([1.0, 0.0, 0.0, 0.0]), quats_)
        length = torch.where(short, 1.0, length)
    quats_ /= length
    gaussians = Gaussians(means_, quats_, scales_, opacities_, colors_)
    # NaN and infinity stay in a sum, and float32 values cannot overflow in float64
    total = sum(float(each.sum(dtype=torch.float64)) for each in (means_, length, scales_, opacities_, colors_))
    if not math.isfinite(total) or bool(scales_.min() < 0):
        valid = torch.isfinite(means_.sum(1) + length[:, 0] + scales_.sum(1) + opacities_ + colors_.sum(1))
        valid &= scales_.amin(1) >= 0
        if not bool(valid.any()):
            raise InputError(f"{what} {path} holds no finite Gaussian; export it again")
        left_out = int((~valid).sum())
        _log.warning("%s: %d Gaussians with values that are not finite are left out", path, left_out)
        gaussians = gaussians[valid]
    gaussians.opacities.clamp_(0, 1)
    gaussians.colors.clamp_(0, 1)
    return gaussians
