"""Every name that the package promises exists, and no other appears."""

import pytest

import lyra


@pytest.mark.parametrize("name", lyra.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(lyra, name) is not None
    assert name in dir(lyra)


def test_an_unknown_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="no attribute 'generat'"):
        _ = lyra.generat
