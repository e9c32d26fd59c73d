"""Plain data as JSON and back: what crosses the border of the sandbox is a value, never an object.

Numbers, text, None, lists, tuples, sets and mappings keep their type; anything else becomes an
`Opaque` that equals nothing. Decoding builds only these types, whatever the other side sends.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

MAX_DEPTH: Final = 100
_SEQUENCES: Final[Mapping[str, type[Collection[object]]]] = {
    "l": list, "t": tuple, "s": set, "z": frozenset,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Opaque:
    """A value that is no plain data. Equal to nothing but itself."""

    type_name: str


def encode(value: object, depth: int = 0) -> object:
    """A JSON shape of the value. Subclasses of plain types are sent as the plain type."""
    match value:
        case None | True | False:
            return value
        case str():
            return str.__str__(value)
        case int() | float() | complex() | bytes():
            return _encode_number(value)
        case _:
            return _encode_container(value, depth)


def _encode_number(value: complex | bytes) -> object:
    if isinstance(value, int):
        # In base 16 a number of any length is written and read in linear time.
        return ["i", hex(int(value))]
    if isinstance(value, float):
        return ["f", repr(float(value))]
    if isinstance(value, bytes):
        return ["b", bytes.hex(value)]
    return ["c", repr(value.real), repr(value.imag)]


def _encode_container(value: object, depth: int) -> object:
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            pairs = cast("Mapping[object, object]", value)
            return ["d", *([encode(k, depth + 1), encode(v, depth + 1)] for k, v in pairs.items())]
        for mark, kind in _SEQUENCES.items():
            if isinstance(value, kind):
                items = list(cast("Iterable[object]", value))
                return [mark, *(encode(item, depth + 1) for item in items)]
    return ["o", type(value).__name__[:80]]


def decode(shape: object) -> object:
    """The value of a JSON shape. ValueError where it is no shape that `encode` makes."""
    if shape is None or isinstance(shape, bool | str):
        return shape
    if not isinstance(shape, list) or not shape:
        raise ValueError("no shape of plain data")
    mark, *parts = cast("list[object]", shape)
    return _decode_marked(mark, parts)


def _decode_marked(mark: object, parts: list[object]) -> object:
    kind = _SEQUENCES.get(str(mark))
    if kind is not None:
        return cast("Callable[[Iterable[object]], object]", kind)(map(decode, parts))
    if mark == "d":
        pairs = cast("list[tuple[object, object]]", parts)
        return {decode(key): decode(value) for key, value in pairs}
    if mark == "o":
        return Opaque(str(parts[0]) if parts else "")
    return _decode_number(mark, [str(part) for part in parts])


def _decode_number(mark: object, digits: list[str]) -> object:
    match mark, digits:
        case "i", [whole]:
            return int(whole, 16)
        case "f", [decimal]:
            return float(decimal)
        case "c", [real, imaginary]:
            return complex(float(real), float(imaginary))
        case "b", [pairs]:
            return bytes.fromhex(pairs)
        case _:
            raise ValueError(f"no shape of plain data: `{str(mark)[:20]}`")


def loads(line: bytes) -> object:
    """The value in one line from the other side; an `Opaque` where there is none."""
    try:
        return decode(json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return Opaque("unreadable")


def same_value(first: object, second: object, *, tolerance: float = 0.0) -> bool:
    """Python's equality of plain data; floats within `tolerance`, in either sense, are equal."""
    if tolerance > 0.0 and isinstance(first, int | float) and isinstance(second, int | float):
        return first == second or math.isclose(first, second, rel_tol=tolerance, abs_tol=tolerance)
    if tolerance > 0.0 and isinstance(first, list | tuple) and isinstance(second, list | tuple):
        left, right = cast("Sequence[object]", first), cast("Sequence[object]", second)
        if isinstance(left, list) != isinstance(right, list) or len(left) != len(right):
            return False
        pairs = zip(left, right, strict=True)
        return all(same_value(one, other, tolerance=tolerance) for one, other in pairs)
    return bool(first == second)
