"""Configs to JSON values and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from lyra.hub import config_from_dict, config_to_dict
from lyra.structures import InputError


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    width: int = 3
    rate: float = 0.1


@dataclass(frozen=True)
class Other:
    depth: int = 1


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = Inner()
    choice: Inner | Other | None = None
    widths: tuple[int, ...] = (1, 2)
    pair: tuple[int, str] = (1, "a")
    stages: tuple[Inner, ...] = ()
    table: dict[str, tuple[int, int]] = field(default_factory=dict)
    mode: Literal["a", "b", 3] = "a"
    colour: Colour = Colour.RED
    path: Path | None = None
    flags: list[bool] = field(default_factory=list)
    anything: Any = None
    free: Mapping[str, float] = field(default_factory=dict)


def test_round_trip_through_json_text() -> None:
    config = Outer(
        name="é",
        inner=Inner(5, 2.0),
        choice=Other(7),
        widths=(),
        pair=(4, "z"),
        stages=(Inner(1), Inner(2, 1e-9)),
        table={"x": (1, 2)},
        mode=3,
        path=Path("a/b"),
        flags=[True, False],
        anything=[1, {"k": None}],
        free={"p": 1.5},
    )
    assert config_from_dict(Outer, json.loads(json.dumps(config_to_dict(config)))) == config


def test_defaults_and_whole_numbers_for_floats() -> None:
    assert config_from_dict(Outer, {"name": "n", "inner": {"rate": 2}}) == Outer("n", Inner(rate=2.0))
    assert isinstance(config_from_dict(Inner, {"rate": 2}).rate, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "missing fields name"),
        ({"name": "n", "wdth": 1, "x": 2}, "unknown fields wdth, x"),
        ({"name": 3}, r"Outer\.name: expected str"),
        ({"name": "n", "inner": {"width": 1.5}}, r"Outer\.inner\.width: expected int"),
        ({"name": "n", "inner": {"width": True}}, "expected int"),
        ({"name": "n", "inner": 4}, "expected an object"),
        ({"name": "n", "pair": [1]}, "expected 2 values"),
        ({"name": "n", "widths": 1}, "expected a list"),
        ({"name": "n", "widths": [1, "2"]}, r"widths\[1\]"),
        ({"name": "n", "mode": "c"}, "expected one of 'a', 'b', 3"),
        ({"name": "n", "colour": "blue"}, "known: 'red'"),
        ({"name": "n", "choice": {"height": 2}}, "fits none of"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config_from_dict(Outer, values)


def test_a_refusal_of_the_config_itself_is_an_input_error() -> None:
    @dataclass(frozen=True)
    class Picky:
        size: int = 1

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError("size must not be negative")

    with pytest.raises(InputError, match="Picky: size must not be negative"):
        config_from_dict(Picky, {"size": -1})


def test_values_without_a_json_form_are_refused() -> None:
    with pytest.raises(TypeError, match="no JSON form"):
        config_to_dict({"a": object()})
