"""Stored forms of weights: error bounds and strictness."""

import pytest
import torch
from torch import nn

from lyra.hub.storage import SCALE, dequantize, pack, quantize, unpack
from lyra.structures import InputError


class Mixed(nn.Module):
    """One of everything: linear, convolution, a raw table, a norm, statistics, a counter."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.linear = nn.Linear(80, 64)
        self.conv = nn.Conv2d(32, 64, 3)
        self.norm = nn.LayerNorm(64)
        self.table = nn.Parameter(torch.randn(100, 64, generator=generator))
        self.register_buffer("mean", torch.randn(64, generator=generator))
        self.register_buffer("steps", torch.tensor(7))
        with torch.no_grad():
            for part in (self.linear, self.conv):
                part.weight.normal_(generator=generator)
                part.weight.mul_(10.0 ** torch.linspace(-6, 3, 64).view(-1, *[1] * (part.weight.dim() - 1)))


def test_int8_error_is_within_half_a_step_of_each_channel() -> None:
    weight = Mixed().conv.weight.detach()
    steps, scale = quantize(weight)
    assert steps.dtype == torch.int8
    assert scale.shape == (64,)
    error = (dequantize(steps, scale) - weight).abs().flatten(1).amax(dim=1)
    bound = weight.abs().flatten(1).amax(dim=1) / 254
    assert bool((error <= bound * 1.001).all())
    assert bool((error > bound * 0.5).all())


def test_zero_channels_stay_zero() -> None:
    weight = torch.randn(4, 8)
    weight[2] = 0
    restored = dequantize(*quantize(weight))
    assert bool((restored[2] == 0).all())
    assert bool(restored.isfinite().all())


@pytest.mark.parametrize(
    ("storage", "large", "table"),
    [("int8", torch.int8, torch.float16), ("fp16",) + (torch.float16,) * 2, ("fp32",) + (torch.float32,) * 2],
)
def test_which_form_each_tensor_takes(storage: str, large: torch.dtype, table: torch.dtype) -> None:
    packed = pack(Mixed(), storage)  # type: ignore[arg-type]
    assert packed["linear.weight"].dtype == packed["conv.weight"].dtype == large
    assert packed["table"].dtype == table
    for name in ("linear.bias", "conv.bias", "norm.weight", "mean"):
        assert packed[name].dtype == torch.float32
    assert packed["steps"].dtype == torch.int64
    assert ("linear.weight" + SCALE in packed) == (storage == "int8")


@pytest.mark.parametrize(("storage", "tolerance"), [("int8", 1 / 254), ("fp16", 2**-11), ("fp32", 0.0)])
def test_round_trip(storage: str, tolerance: float) -> None:
    source = Mixed()
    restored = unpack(pack(source, storage), source.state_dict(), "file")  # type: ignore[arg-type]
    for name, value in source.state_dict().items():
        if name in ("linear.weight", "conv.weight", "table"):
            largest = value.abs().flatten(1).amax(dim=1).view(-1, *[1] * (value.dim() - 1))
            assert bool(((restored[name] - value).abs() <= tolerance * 1.001 * largest + 6e-8 * (tolerance > 0)).all())
        else:
            assert torch.equal(restored[name], value)


def test_values_beyond_half_precision_are_kept_in_full() -> None:
    source = Mixed()
    with torch.no_grad():
        source.table[0, 0] = 1e6
    packed = pack(source, "fp16")
    assert packed["table"].dtype == torch.float32
    assert packed["table"][0, 0] == 1e6


def test_diverged_weights_are_refused() -> None:
    source = Mixed()
    with torch.no_grad():
        source.linear.bias[3] = torch.nan
    with pytest.raises(InputError, match=r"linear\.bias"):
        pack(source, "int8")


def test_an_unknown_storage_is_refused() -> None:
    with pytest.raises(InputError, match="int4"):
        pack(Mixed(), "int4")  # type: ignore[arg-type]


def test_all_missing_and_surplus_names_are_listed() -> None:
    source = Mixed()
    packed = pack(source, "int8")
    del packed["norm.weight"], packed["conv.bias"]
    packed["extra"] = torch.zeros(1)
    with pytest.raises(InputError, match=r"missing: conv\.bias, norm\.weight; surplus: extra"):
        unpack(packed, source.state_dict(), "file")


def test_shapes_and_number_types_must_fit() -> None:
    source = Mixed()
    good = pack(source, "int8")
    wrong: dict[str, dict[str, torch.Tensor]] = {
        r"norm\.weight has shape": {"norm.weight": torch.ones(65)},
        "steps is torch.float32": {"steps": torch.tensor(7.0)},
        r"norm\.bias is torch.int32": {"norm.bias": torch.zeros(64, dtype=torch.int32)},
        "scale is absent or malformed": {"linear.weight" + SCALE: torch.ones(3)},
    }
    for message, change in wrong.items():
        with pytest.raises(InputError, match=message):
            unpack(good | change, source.state_dict(), "file")
    without_scale = {name: value for name, value in good.items() if name != "conv.weight" + SCALE}
    with pytest.raises(InputError, match=r"conv\.weight is int8 but its scale"):
        unpack(without_scale, source.state_dict(), "file")
