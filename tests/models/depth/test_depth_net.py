"""Shapes, training behaviour and inference of the depth network."""

import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lyra.models.depth import DepthConfig, DepthNet, DepthPrediction, depth_loss
from lyra.structures import InputError


@pytest.fixture
def network() -> DepthNet:
    torch.manual_seed(0)
    return DepthNet()


@pytest.mark.parametrize(("height", "width"), [(64, 96), (96, 64), (32, 32), (160, 32)])
@torch.no_grad()
def test_output_shapes(network: DepthNet, height: int, width: int) -> None:
    prediction = network(torch.rand(2, 3, height, width))
    assert prediction.log_depth.shape == prediction.sky_logit.shape == (2, height, width)
    assert prediction.log_focal.shape == (2,)
    assert all(value.isfinite().all() for value in vars(prediction).values())


@pytest.mark.parametrize("shape", [(1, 3, 64, 60), (1, 3, 33, 64), (3, 64, 64), (1, 1, 64, 64)])
def test_other_shapes_are_refused(network: DepthNet, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        network(torch.zeros(shape))


def test_fits_its_budget(network: DepthNet) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) <= 5_200_000


def test_every_parameter_learns(network: DepthNet) -> None:
    # The last layers start at zero and hide those before them for one step.
    for layer in (network.decoder.fine_output, network.decoder.focal[-1]):
        nn.init.normal_(layer.weight, std=0.1)
    prediction = network.train()(torch.rand(2, 3, 64, 64))
    truth = 1 + torch.rand(2, 64, 64)
    depth_loss(prediction, truth, torch.rand(2, 64, 64) > 0.5, torch.tensor([0.6, 0.8]))["total"].backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_context_reaches_the_whole_picture(network: DepthNet) -> None:
    picture = torch.rand(1, 3, 64, 256, requires_grad=True)
    network.eval()(picture).log_depth[0, 32, 4].backward()
    assert picture.grad is not None and picture.grad[..., 250:].abs().max() > 0


def test_refinement_sees_single_pixels(network: DepthNet) -> None:
    nn.init.normal_(network.decoder.fine_output.weight, std=0.3)
    with torch.no_grad():
        stripes = (torch.arange(64) % 2).float().expand(1, 3, 64, 64)
        log_depth = network.eval()(stripes).log_depth[0, 16:48, 16:48]
    # Odd and even columns differ by more than bilinear upsampling from half resolution can make them.
    assert log_depth.diff(n=2, dim=1).abs().mean() > 1e-2


def test_frozen_statistics_stay_and_gains_learn(network: DepthNet) -> None:
    statistics = {name: b.clone() for name, b in network.named_buffers()}
    network.train()
    network(torch.rand(2, 3, 64, 64)).log_depth.mean().backward()
    assert all(torch.equal(b, statistics[name]) for name, b in network.named_buffers())
    gain = network.encoder.stem[1].weight
    assert gain.requires_grad and gain.grad is not None and gain.grad.abs().sum() > 0

    network.freeze_batchnorm(False)
    network(torch.rand(2, 3, 64, 64))
    assert not torch.equal(network.encoder.stem[1].running_mean, statistics["encoder.stem.1.running_mean"])


def test_overfits_one_picture(network: DepthNet) -> None:
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    box = (x > 0.3) & (x < 0.6) & (y > 0.4) & (y < 0.8)
    sky = (y < 0.3) & ~box
    depth = torch.where(box, 1.0, 1.5 / (0.2 + y))
    rgb = torch.stack([box.float(), y, sky.float()])[None]
    truth = (depth[None], sky[None], torch.tensor([0.8]))
    optimiser = torch.optim.AdamW(network.train().parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        terms = depth_loss(network(rgb), *truth)
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
        losses.append(terms["total"].item())
    assert losses[-1] < 0.25 * losses[0]
    estimated, estimated_sky, fov_x = network.eval().infer(rgb)
    assert (estimated_sky[0] == sky).float().mean() > 0.95
    scaled = (depth / depth[~sky].median())[~sky & ~estimated_sky[0]]
    assert (estimated[0][~sky & ~estimated_sky[0]] / scaled).log().abs().mean() < 0.2
    assert abs(float(fov_x) - 2 * math.atan(0.5 / 0.8)) < 0.2


class _Fixed(DepthNet):
    """A network whose prediction is given."""

    def __init__(self, prediction: DepthPrediction) -> None:
        super().__init__()
        self.prediction = prediction

    def forward(self, rgb: torch.Tensor) -> DepthPrediction:
        return self.prediction


def test_inference_normalises_over_the_surface() -> None:
    log_depth = torch.tensor([[0.5, 1.0, 8.0, -9.0, 2.0, 7.0], [3.0, 3.0, 3.0, 3.0, 3.0, 3.0]])[:, None]
    sky_logit = torch.tensor([[-1.0, -1.0, -1.0, -1.0, -1.0, 4.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]])[:, None]
    network = _Fixed(DepthPrediction(log_depth, sky_logit, torch.tensor([math.log(0.5), math.log(1.0)])))
    depth, sky, fov_x = network.infer(torch.zeros(2, 3, 1, 6), settled=False, thorough=False)
    # The surface is 0.5, 1, 8, -9 and 2, its median 1; the sky's 7 does not count.
    expected = torch.tensor([[math.exp(-0.5), 1.0, 30.0, 0.05, math.e, 30.0], [30.0] * 6])[:, None]
    torch.testing.assert_close(depth, expected)
    assert sky.tolist() == [[[False] * 5 + [True]], [[True] * 6]]
    torch.testing.assert_close(fov_x, torch.tensor([math.pi / 2, 2 * math.atan(0.5)]))


class _Leaning(DepthNet):
    """Reads log depth off the red channel, but too far towards the right, and in a unit that depends on the size."""

    def forward(self, rgb: torch.Tensor) -> DepthPrediction:
        width = rgb.shape[-1]
        lean = 0.3 * torch.linspace(-1, 1, width)
        sky = 4 * (rgb[:, 1] - 0.5) + torch.linspace(-1, 1, width)
        return DepthPrediction(rgb[:, 0] + lean + width / 10, sky, torch.full((len(rgb),), width / 64).log())


def test_what_leans_to_one_side_cancels_between_a_picture_and_its_mirror_image() -> None:
    y = torch.linspace(0, 1, 64)[:, None].expand(64, 64)
    rgb = torch.stack([y, 1 - y, y])[None]
    network = _Leaning()
    once, often = network(rgb), network.look_again(rgb)
    rows = slice(4, -4)  # the border of a picture that was made larger and smaller again is not what it was
    residual = (often.log_depth - rgb[:, 0])[:, rows, rows]
    assert float((residual - residual.mean()).abs().max()) < 0.02
    residual = (once.log_depth - rgb[:, 0])[:, rows, rows]
    assert float((residual - residual.mean()).abs().max()) > 0.2
    assert ((often.sky_logit > 0)[0] == (y < 0.5)).float().mean() > 0.95
    torch.testing.assert_close(often.log_focal.exp(), torch.tensor([1.5**0.5]))  # widths 64 and 96: the nearest to 80
    assert torch.equal(network.infer(rgb, settled=False)[1], often.sky_logit > 0)


def test_starts_at_a_focal_length_of_the_long_side(network: DepthNet) -> None:
    with torch.no_grad():
        landscape = network(torch.rand(1, 3, 32, 64)).log_focal
        portrait = network(torch.rand(1, 3, 64, 32)).log_focal
    torch.testing.assert_close(landscape.exp(), torch.tensor([1.0]))
    torch.testing.assert_close(portrait.exp(), torch.tensor([2.0]))


@torch.no_grad()
def test_keeps_float32_outputs_under_autocast(network: DepthNet) -> None:
    rgb = torch.rand(1, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = network.eval()(rgb)
    assert {value.dtype for value in vars(prediction).values()} == {torch.float32}
    torch.testing.assert_close(prediction.log_depth, network(rgb).log_depth, rtol=0.05, atol=0.05)


def test_config_shapes_the_network() -> None:
    small = DepthNet(DepthConfig(width=32, context_width=64, context_heads=2, context_blocks=1, freeze_batchnorm=False))
    with torch.no_grad():
        assert small.train()(torch.rand(2, 3, 32, 64)).log_depth.shape == (2, 32, 64)
    assert small.encoder.stem[1].training


def test_encoder_file_must_be_whole(network: DepthNet, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("encoder")
    state = {name: value.half() for name, value in network.encoder.state_dict().items() if value.is_floating_point()}
    save_file(state, folder / "whole.safetensors")
    other = DepthNet()
    other.load_encoder(folder / "whole.safetensors")
    torch.testing.assert_close(other.encoder.stem[0].weight, network.encoder.stem[0].weight, rtol=1e-3, atol=1e-4)
    state.pop("stem.0.weight")
    save_file(state, folder / "torn.safetensors")
    with pytest.raises(InputError, match=r"missing stem\.0\.weight, surplus nothing; "):
        other.load_encoder(folder / "torn.safetensors")
    (folder / "text.safetensors").write_text("no tensors")
    for name in ("text", "absent"):
        with pytest.raises(InputError, match="convert_efficientnet"):
            other.load_encoder(folder / f"{name}.safetensors")
