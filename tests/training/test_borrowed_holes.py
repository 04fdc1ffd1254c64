"""Holes that the frame decoder's photographs borrow."""

import torch

from lyra.training.borrowed_holes import RIM, borrowed_holes


def test_the_rim_of_a_hole_is_known_and_its_middle_is_made_up() -> None:
    picture = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 32, 48, dtype=torch.bool)
    mask[:, 8:24, 16:32] = False
    mask[:, :, 44:] = False  # beyond the border of what the photo showed: no edge, no rim
    shown = borrowed_holes(picture, mask)
    same = (shown == picture).all(dim=1)[0]
    assert same[mask[0]].all()
    rim = torch.zeros_like(same)
    rim[8:24, 16:32] = True
    inner = slice(8 + RIM, 24 - RIM), slice(16 + RIM, 32 - RIM)
    rim[inner] = False
    assert same[rim].all()
    assert not same[inner].any() and not same[:, 44:].any()
    assert float(shown.amin()) >= 0 and float(shown.amax()) <= 1
