"""bfloat16 where a machine has units for it, float32 elsewhere and on request."""

import pytest
import torch

from lyra.nn import precision, reduced_precision

CPU = torch.device("cpu")


def product_type(exact: bool = False) -> torch.dtype:
    with reduced_precision(CPU, exact):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


@pytest.mark.parametrize(("has", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_processors_with_the_units_use_them_unless_asked_not_to(monkeypatch, has, expected):
    monkeypatch.setattr(precision, "processor_has_bfloat16", lambda: has)
    assert product_type() == expected
    assert product_type(exact=True) == torch.float32


def test_an_older_torch_that_cannot_tell_has_none(monkeypatch):
    for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, question, raising=False)
    precision.processor_has_bfloat16.cache_clear()
    assert not precision.processor_has_bfloat16()
    precision.processor_has_bfloat16.cache_clear()
