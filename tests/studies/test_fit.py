"""The fit against the same steps written out, with nothing left out for speed."""

import pytest
import torch
import torch.nn.functional as F

from lyra.geometry import intrinsics_from_fov, invert_rigid, trajectory_c2w
from lyra.metrics import ssim
from lyra.raster import rasterize
from lyra.structures import Gaussians
from lyra.studies.fit import optimise

HEIGHT, WIDTH = 32, 48
USUAL = {"means": 1.6e-4, "scales": 5e-3, "quats": 1e-3, "opacities": 5e-2, "colors": 2.5e-3}


def plainly(start: Gaussians, pictures, c2w, K, steps: int) -> Gaussians:
    """Adam by its formula (Kingma and Ba 2015), depth drawn as well, every camera looked through."""
    leaves = {
        "means": start.means.clone(), "scales": start.scales.log(), "quats": start.quats.clone(),
        "opacities": torch.logit(start.opacities), "colors": start.colors.clone(),
    }  # fmt: skip
    moments = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in leaves.items()}
    order = torch.randint(len(pictures), (steps,)).tolist()
    for step, number in enumerate(order):
        leaves = {name: value.detach().requires_grad_() for name, value in leaves.items()}
        image, _, _ = rasterize(
            leaves["means"], leaves["quats"], leaves["scales"].exp(), leaves["opacities"].sigmoid(), leaves["colors"],
            invert_rigid(c2w)[number][None], K[number][None], HEIGHT, WIDTH,
        )  # fmt: skip
        picture = pictures[number][None]
        loss = 0.8 * F.l1_loss(image, picture) + 0.2 * (1 - ssim(image, picture).mean())
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        with torch.no_grad():
            for name, gradient in zip(leaves, gradients, strict=True):
                rate = USUAL[name] * (0.01 ** (step / steps) if name == "means" else 1)
                first, second = moments[name]
                first.mul_(0.9).add_(0.1 * gradient)
                second.mul_(0.999).add_(0.001 * gradient**2)
                root = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-15
                leaves[name] = leaves[name] - rate * first / (1 - 0.9 ** (step + 1)) / root
    return Gaussians(
        leaves["means"], F.normalize(leaves["quats"], dim=-1), leaves["scales"].exp(), leaves["opacities"].sigmoid(),
        leaves["colors"].clamp(0, 1),
    )  # fmt: skip


def scene(device: str):
    """Overlapping Gaussians, ten cameras, and pictures of noise that no Gaussians show."""
    generator = torch.Generator().manual_seed(3)
    count = 300
    means = torch.rand(count, 3, generator=generator) - torch.tensor([0.5, 0.5, -0.7])
    start = Gaussians(
        means, F.normalize(torch.randn(count, 4, generator=generator), dim=-1),
        0.03 + 0.05 * torch.rand(count, 3, generator=generator), torch.full((count,), 0.6),
        torch.rand(count, 3, generator=generator),
    )  # fmt: skip
    c2w = torch.cat([trajectory_c2w(name, 5, 0.3) for name in ("left", "up")]).float()
    K = intrinsics_from_fov(torch.tensor(1.2), HEIGHT, WIDTH).expand(len(c2w), 3, 3)
    pictures = torch.rand(len(c2w), 3, HEIGHT // 4, WIDTH // 4, generator=generator)
    pictures = F.interpolate(pictures, size=(HEIGHT, WIDTH), mode="bilinear")
    return start.to(device), pictures.to(device), c2w.to(device), K.to(device)


def agree(device: str, steps: int, share: float) -> None:
    given = scene(device)
    torch.manual_seed(1)
    quick = optimise(*given, steps, lambda line: None)
    torch.manual_seed(1)
    slow = plainly(*given, steps)
    for name, rate in USUAL.items():
        ours, theirs, before = (getattr(gaussians, name) for gaussians in (quick, slow, given[0]))
        moved = (theirs - before).abs().mean()
        assert moved > rate / 4, name
        assert (ours - theirs).abs().mean() < share * moved, name


def test_it_makes_the_steps_of_the_formula():
    agree("cpu", 25, 1e-3)


@pytest.mark.gpu
def test_it_does_so_on_a_gpu():
    agree("cuda", 25, 2e-2)


def test_few_steps_are_told_one_by_one():
    lines: list[str] = []
    optimise(*scene("cpu"), 3, lines.append)
    assert [line.split(":")[0] for line in lines] == [f"  step {n} of 3" for n in (1, 2, 3)]
