"""Reading foreign JSON: what has another type than expected counts as absent."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from mull.core.codec import parse_json

Fields = Mapping[str, object]
"""A JSON object as it came; every value must be looked at before it is used."""

NOTHING: Final[Fields] = {}


def parse(text: str | bytes) -> object:
    """Any JSON value; ValueError if it is none that can be read."""
    return parse_json(text)


def fields_of(value: object) -> Fields:
    """The value as an object; empty if it is none."""
    return cast("Fields", value) if isinstance(value, dict) else NOTHING


def items_of(value: object) -> Sequence[object]:
    """The value as a list; empty if it is none."""
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def text_of(value: object) -> str:
    """The value as text; empty if it is none."""
    return value if isinstance(value, str) else ""


def count_of(value: object) -> int:
    """The value as a whole number of at least 0; 0 if it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def ids_of(value: object) -> tuple[int, ...]:
    """The value as token ids; empty if it is none."""
    return tuple(each for each in items_of(value) if isinstance(each, int))


def logprob_of(value: object) -> float:
    """The value as a log-probability; minus infinity if it is none."""
    return float(value) if isinstance(value, int | float) else float("-inf")
