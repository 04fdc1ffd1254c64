"""Depth of clips: pictures that the network measured in different units come back in one."""

import torch

from lyra.geometry.constants import FAR_DEPTH
from lyra.models.depth import clip_depth, steady_depth


def scene() -> torch.Tensor:
    """[1, 3, 24, 40] depth of a standing camera: ground and sky, and a near thing that crosses the picture."""
    ground = torch.linspace(4, 1, 24)[:, None].expand(24, 40).clone()
    ground[:6] = FAR_DEPTH
    clip = ground.repeat(1, 3, 1, 1)
    for frame in range(3):
        clip[0, frame, 10:, 4 + 10 * frame : 14 + 10 * frame] = 0.7
    return clip


def test_units_that_jump_are_brought_to_that_of_the_first_picture():
    truth = scene()
    measured = truth * torch.tensor([1.0, 1.3, 0.6])[None, :, None, None]
    measured[truth == FAR_DEPTH] = FAR_DEPTH
    assert torch.allclose(steady_depth(measured), truth, rtol=1e-5)


def test_sky_is_no_measure_and_a_picture_without_anything_in_common_stays():
    depth = scene()
    depth[0, 1] = FAR_DEPTH
    depth[0, 1, :6] = 2.0
    steady = steady_depth(depth)
    assert torch.allclose(steady[0, 1, :6], torch.tensor(2.0)) and (steady[0, 1, 6:] == FAR_DEPTH).all()


def test_every_picture_of_a_clip_is_measured_alone():
    class Brightness:
        """Stands for a network whose unit follows the picture's brightness."""

        def infer(self, rgb, settled=True, thorough=True):
            return scene()[0].repeat(2, 1, 1) * rgb.mean(dim=(1, 2, 3))[:, None, None], None, None

    rgb = torch.tensor([0.5, 0.6, 0.9, 0.2, 0.4, 0.1])[:, None, None, None].expand(6, 3, 24, 40).unflatten(0, (2, 3))
    depth = clip_depth(Brightness(), rgb)
    surface = scene()[0, 0] < FAR_DEPTH
    ratio = depth[:, :, surface] / scene()[0][:, surface]
    assert torch.allclose(ratio, torch.tensor([0.5, 0.2])[:, None, None].expand_as(ratio), rtol=1e-4)
