"""Values to plain JSON data and back, by their type annotations.

Frozen dataclasses become objects, tuples lists, enums their values. Fields that hold their default
are left out, so that adding a field with a default changes neither old traces nor content digests.
Decoding is strict: an unknown key, a missing one or a wrong type raises `DecodeError`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


class DecodeError(ValueError):
    """The data is not an encoding of that type."""


def parse_json(text: str | bytes) -> Json:
    """The JSON value of a text; ValueError if it is none, or nests deeper than can be read."""
    try:
        return cast(Json, json.loads(text))
    except RecursionError:
        raise DecodeError("it nests too deeply") from None


def encode(value: object) -> Json:
    """The value as JSON data. TypeError for what is neither value, container nor scalar."""
    if isinstance(value, Enum):
        return cast(Json, value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        entries = cast(Mapping[str, object], value)
        return {str(key): encode(each) for key, each in entries.items()}
    if isinstance(value, (tuple, list)):
        return [encode(each) for each in cast(Sequence[object], value)]
    if is_dataclass(value):
        return {
            each.name: encode(content)
            for each in fields(value)
            if (content := getattr(value, each.name)) != _default(each)
        }
    raise TypeError(f"a `{type(value).__name__}` is not plain data")


def decode(kind: type[T], data: Json) -> T:
    """The value of type `kind` that `data` encodes."""
    return cast(T, _decode(kind, data))


def _default(each: "Field[Any]") -> object:
    if each.default_factory is not MISSING:
        return each.default_factory()
    return each.default


def _decode(kind: object, data: Json) -> object:
    origin = get_origin(kind)
    if origin is not None:
        return _decode_generic(origin, get_args(kind), data)
    if isinstance(kind, NewType):
        return _decode(kind.__supertype__, data)
    return _decode_plain(cast(type[object], kind), data)


def _decode_generic(origin: object, arguments: Sequence[object], data: Json) -> object:
    if origin is Union or origin is UnionType:
        return _decode_union(arguments, data)
    if origin is tuple:
        return tuple(_decode(arguments[0], each) for each in _a_list(data))
    if origin is Mapping:
        return {key: _decode(arguments[1], each) for key, each in _an_object(data).items()}
    raise TypeError(f"fields of type `{origin}` cannot be decoded")


def _decode_plain(kind: type[object], data: Json) -> object:
    if issubclass(kind, Enum):
        return _decode_enum(kind, data)
    if is_dataclass(kind):
        return _decode_dataclass(kind, data)
    return _decode_scalar(kind, data)


def _decode_union(kinds: Sequence[object], data: Json) -> object:
    if data is None and NoneType in kinds:
        return None
    for kind in kinds:
        try:
            return _decode(kind, data)
        except DecodeError:
            continue
    raise DecodeError(f"{data!r} is none of {kinds}")


def _decode_enum(kind: type[Enum], data: Json) -> Enum:
    try:
        return kind(data)
    except ValueError as error:
        raise DecodeError(str(error)) from error


def _decode_dataclass(kind: type[object], data: Json) -> object:
    given, hints = _an_object(data), _hints(kind)
    if unknown := given.keys() - hints.keys():
        raise DecodeError(f"`{kind.__name__}` has no field `{min(unknown)}`")
    try:
        return kind(**{name: _decode(hints[name], each) for name, each in given.items()})
    except (TypeError, ValueError) as error:
        raise DecodeError(f"no `{kind.__name__}`: {error}") from error


@cache
def _hints(kind: type[object]) -> Mapping[str, object]:
    """The annotations of a dataclass, resolved; the cache is by type and so bounded by the code."""
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(cast(Any, kind))}


def _decode_scalar(kind: type[object], data: Json) -> object:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if type(data) is not kind and not (data is None and kind is NoneType):
        raise DecodeError(f"{data!r} is no {kind.__name__}")
    return data


def _a_list(data: Json) -> Sequence[Json]:
    if not isinstance(data, (list, tuple)):
        raise DecodeError(f"{data!r} is no list")
    return cast(Sequence[Json], data)


def _an_object(data: Json) -> Mapping[str, Json]:
    if not isinstance(data, Mapping):
        raise DecodeError(f"{data!r} is no object")
    return cast(Mapping[str, Json], data)
