"""The teacher of the main road is that of the library: weights and estimates."""

from dataclasses import replace

import pytest
import torch

from lyra.hub import load_model
from lyra.models.depth import DepthNet
from lyra.models.teacher import SwiftTeacher, Teacher, TeacherConfig, TeacherInputs
from lyra.structures import InputError

SMALL = TeacherConfig(latent_channels=4, heads=3, head_dim=20, layers=2, text_dim=8, adaln_lora_dim=4)


def pair(config: TeacherConfig) -> tuple[Teacher, SwiftTeacher]:
    """The library's network with random weights, those of its norms too, and ours with the same."""
    torch.manual_seed(0)
    teacher, swift = Teacher(config).eval(), SwiftTeacher(config).eval()
    for parameter in teacher.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.3)
    swift.load_state_dict(teacher.state_dict())
    return teacher, swift


def inputs(batch: int, text: bool, grid: tuple[int, int, int] = (3, 4, 6)) -> TeacherInputs:
    generator = torch.Generator().manual_seed(batch)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    told = draw(batch, 5, 8) if text else None
    mask = torch.arange(5).expand(batch, 5) < 3 if text else None
    return TeacherInputs(draw(batch, 4, 1, *grid[1:]), draw(batch, 1, 4, *grid), draw(batch, 1, 8, *grid), told, mask)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("text", [False, True], ids=["no_text", "text"])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_estimates_are_those_of_the_library(batch, text, scale):
    teacher, swift = pair(replace(SMALL, rope_scale=(scale, 1.0, scale)))
    given = inputs(batch, text)
    x = 3 * torch.randn(batch, 4, 3, 4, 6, generator=torch.Generator().manual_seed(9))
    sigma = torch.linspace(0.5, 4, batch)
    with torch.no_grad():
        wanted, found = (net.network(x, sigma, given) for net in (teacher, swift))
    assert float(wanted.std()) > 0.5
    assert torch.allclose(found, wanted, atol=2e-5 * float(wanted.abs().max()))


def test_text_and_time_matter():
    _, swift = pair(SMALL)
    x = torch.randn(1, 4, 3, 4, 6, generator=torch.Generator().manual_seed(9))
    told = inputs(1, True)
    sigma = torch.ones(1)
    plain = swift.network(x, sigma, replace(told, text=None, text_mask=None))
    assert (swift.network(x, sigma, told) - plain).abs().max() > 0.1
    assert (swift.network(x, 3 * sigma, replace(told, text=None, text_mask=None)) - plain).abs().max() > 0.1


def test_bfloat16_rounds_and_no_more():
    teacher, swift = pair(SMALL)
    given, sigma = inputs(1, True), torch.ones(1)
    x = torch.randn(1, 4, 3, 4, 6, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        exact = teacher.network(x, sigma, given)
        with torch.autocast("cpu", torch.bfloat16):
            errors = [(net.network(x, sigma, given).float() - exact).pow(2).mean().sqrt() for net in (teacher, swift)]
    assert 0 < float(errors[1]) < 1.3 * float(errors[0])


def test_the_hub_builds_it_from_the_embedded_weights():
    assert type(load_model("teacher/nano", kind=SwiftTeacher)) is SwiftTeacher
    with pytest.raises(InputError, match="is a Teacher; a DepthNet is needed"):
        load_model("teacher/nano", kind=DepthNet)


def test_learnable_positions_are_left_to_the_library():
    teacher, swift = pair(replace(SMALL, learnable_positions=True))
    given, x = inputs(1, False), torch.randn(1, 4, 3, 4, 6, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        assert torch.equal(swift.network(x, torch.ones(1), given), teacher.network(x, torch.ones(1), given))
