"""Config dataclasses to plain JSON values and back, checked against their annotations."""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from lyra.structures import InputError

T = TypeVar("T")


def config_to_dict(config: Any) -> Any:
    """Plain JSON value of a config: dataclasses become objects, tuples become lists, enums their values, paths text.

    Raises:
        TypeError: a value has no JSON form.
    """
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        names = [field.name for field in dataclasses.fields(config) if field.init]
        return {name: config_to_dict(getattr(config, name)) for name in names}
    if isinstance(config, Enum):
        return config_to_dict(config.value)
    if config is None or isinstance(config, bool | int | float | str):
        return config
    if isinstance(config, Path):
        return config.as_posix()
    if isinstance(config, Mapping):
        return {str(key): config_to_dict(value) for key, value in config.items()}
    if isinstance(config, Sequence | set | frozenset) and not isinstance(config, bytes):
        return [config_to_dict(value) for value in config]
    raise TypeError(f"a config value of type {type(config).__name__} has no JSON form")


def config_from_dict(config_type: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Build the dataclass ``config_type`` from a plain object; absent fields take their defaults.

    Args:
        config_type: the dataclass to build; fields may be nested dataclasses, tuples, lists, dicts, unions, literals.
        values: field name to plain value.
        where: what is being read, for messages.

    Raises:
        InputError: an unknown or missing field, or a value that does not fit its annotation; the message names it.
    """
    where = where or config_type.__name__
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: expected an object with the fields of {config_type.__name__}, got {values!r}")
    fields = {field.name: field for field in dataclasses.fields(config_type) if field.init}  # type: ignore[arg-type]
    surplus = sorted(set(values) - set(fields))
    if surplus:
        raise InputError(f"{where}: unknown fields {', '.join(surplus)}; known: {', '.join(fields)}")
    hints = get_type_hints(config_type)
    arguments = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    missing = [
        name
        for name, field in fields.items()
        if name not in arguments
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(f"{where}: missing fields {', '.join(missing)}")
    try:
        return config_type(**arguments)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the annotation ``hint`` asks."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{where}: expected one of {', '.join(map(repr, arguments))}, got {value!r}")
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return config_from_dict(hint, value, where)
    container = origin or hint
    if container in (tuple, list, set, frozenset, Sequence):
        return _convert_sequence(container, arguments, value, where)
    if container in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: expected an object, got {value!r}")
        inner = arguments[1] if arguments else Any
        return {key: _convert(inner, item, f"{where}.{key}") for key, item in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_union(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in hints:
        return None
    errors = []
    for hint in hints:
        if hint is type(None):
            continue
        try:
            return _convert(hint, value, where)
        except InputError as error:
            errors.append(str(error))
    raise InputError(errors[0] if len(errors) == 1 else f"{where}: {value!r} fits none of {', '.join(map(str, hints))}")


def _convert_sequence(container: Any, hints: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise InputError(f"{where}: expected a list, got {value!r}")
    build = tuple if container is Sequence else container
    if container is tuple and hints and hints[-1] is not Ellipsis:
        if len(hints) != len(value):
            raise InputError(f"{where}: expected {len(hints)} values, got {len(value)}")
        inner = list(hints)
    else:
        inner = [hints[0] if hints else Any] * len(value)
    return build(_convert(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(inner, value, strict=True)))


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (bool, int, float, str):
        if type(value) is not hint:
            raise InputError(f"{where}: expected {hint.__name__}, got {value!r}")
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError as error:
            raise InputError(f"{where}: {error}; known: {', '.join(repr(member.value) for member in hint)}") from error
    raise InputError(f"{where}: a field of type {hint} cannot be read from JSON")
