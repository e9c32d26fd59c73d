"""Values to plain JSON data and back, by their type annotations.

Frozen dataclasses become objects, tuples lists, enums their values. Fields that hold their default
are left out, so that adding a field with a default changes neither old traces nor content digests.
Decoding is strict: an unknown key, a missing one or a wrong type raises `DecodeError`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Final, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

_PLAIN: Final = frozenset({NoneType, bool, int, float, str})
"""What is JSON as it is, and most of every event."""


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
    if type(value) in _PLAIN:
        return cast(Json, value)
    if isinstance(value, Enum):
        return cast(Json, value.value)
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        entries = cast(Mapping[str, object], value)
        return {str(key): encode(each) for key, each in entries.items()}
    if isinstance(value, (tuple, list)):
        return [encode(each) for each in cast(Sequence[object], value)]
    return {
        name: content if type(content) in _PLAIN else encode(content)
        for name, default in _defaults(type(value))
        if (content := getattr(value, name)) != default
    }


@cache
def _defaults(kind: type[object]) -> Sequence[tuple[str, object]]:
    """The fields of a dataclass, and what need not be written of them; the cache is by type."""
    if not is_dataclass(kind):
        raise TypeError(f"a `{kind.__name__}` is not plain data")
    return tuple((each.name, _default(each)) for each in fields(kind))


def _default(each: "Field[Any]") -> object:
    if each.default_factory is not MISSING:
        return each.default_factory()
    return each.default


def decode(kind: type[T], data: Json) -> T:
    """The value of type `kind` that `data` encodes."""
    return cast(T, _decoder(kind)(data))


@cache
def _decoder(kind: object) -> "_Decoder":
    """What decodes values of a type; the cache is by type and so bounded by the code."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Union or origin is UnionType:
        return partial(_decode_union, arguments)
    if origin is tuple:
        return partial(_decode_tuple, _decoder(arguments[0]))
    if origin is Mapping:
        return partial(_decode_mapping, _decoder(arguments[1]))
    if origin is not None:
        return partial(_refuse, kind)
    return _plain_decoder(kind)


def _plain_decoder(kind: object) -> "_Decoder":
    if isinstance(kind, NewType):
        return _decoder(kind.__supertype__)
    plain = cast(type[object], kind)
    if issubclass(plain, Enum):
        return partial(_decode_enum, plain)
    return partial(_decode_dataclass if is_dataclass(plain) else _decode_scalar, plain)


def _refuse(kind: object, data: Json) -> object:  # noqa: ARG001  (a decoder's signature)
    """A type may have fields that are no data, as a rule of its own that a caller passes."""
    raise TypeError(f"fields of type `{kind}` cannot be decoded")


def _decode_tuple(inner: "_Decoder", data: Json) -> object:
    if not isinstance(data, (list, tuple)):
        raise DecodeError(f"{data!r} is no list")
    return tuple(inner(each) for each in data)


def _decode_mapping(inner: "_Decoder", data: Json) -> object:
    return {key: inner(each) for key, each in _an_object(data).items()}


def _decode_union(kinds: Sequence[object], data: Json) -> object:
    if data is None and NoneType in kinds:
        return None
    for kind in kinds:
        try:
            return _decoder(kind)(data)
        except DecodeError:
            continue
    raise DecodeError(f"{data!r} is none of {kinds}")


def _decode_enum(kind: type[Enum], data: Json) -> Enum:
    try:
        return kind(data)
    except ValueError as error:
        values = ", ".join(str(each.value) for each in kind)
        raise DecodeError(f"{data!r} is none of {values}") from error


def _decode_dataclass(kind: type[object], data: Json) -> object:
    given, decoders = _an_object(data), _fields(kind)
    try:
        return kind(**{name: decoders[name](each) for name, each in given.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(_fault(kind, given) or f"no `{kind.__name__}`: {error}") from error


def _fault(kind: type[object], given: Mapping[str, Json]) -> str | None:
    """Which field is the fault; None where each is right for itself."""
    decoders = _fields(kind)
    if unknown := [name for name in given if name not in decoders]:
        return f"`{kind.__name__}` has no field `{unknown[0]}`"
    if missing := [name for name in _needed(kind) if name not in given]:
        return f"`{kind.__name__}` lacks its `{missing[0]}`"
    for name, each in given.items():
        try:
            decoders[name](each)
        except DecodeError as error:
            return f"no `{kind.__name__}`: `{name}`: {error}"
    return None


@cache
def _needed(kind: type[object]) -> tuple[str, ...]:
    """The fields without a default."""
    found = fields(cast(Any, kind))
    return tuple(each.name for each in found if _default(each) is MISSING)


@cache
def _fields(kind: type[object]) -> "Mapping[str, _Decoder]":
    """What decodes the fields of a dataclass, by their annotations."""
    hints = get_type_hints(kind)
    return {each.name: _decoder(hints[each.name]) for each in fields(cast(Any, kind))}


def _decode_scalar(kind: type[object], data: Json) -> object:
    if type(data) is kind:
        return data
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not (data is None and kind is NoneType):
        raise DecodeError(f"{data!r} is no {kind.__name__}")
    return data


def _an_object(data: Json) -> Mapping[str, Json]:
    if not isinstance(data, Mapping):
        raise DecodeError(f"{data!r} is no object")
    return cast(Mapping[str, Json], data)


_Decoder = Callable[[Json], object]
