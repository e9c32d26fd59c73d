"""Claims without variables: their exact value, in microseconds and in this process."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import pairwise
from operator import eq, ge, gt, le, lt, ne
from typing import Final

from mull.verifiers.formal.grammar import Formula, Name, Node, Number

MAX_BITS: Final = 4_096
"""Of a numerator or denominator; what would be larger has no value here."""
_COMPARE: Final[Mapping[str, Callable[[Fraction, Fraction], bool]]] = {
    "=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip

Value = Fraction | bool


class _OpenError(ValueError):
    """It has a variable, divides by zero, is too large or mixes numbers and truth values."""


def closed_value(formula: Formula) -> Value | None:
    """The exact value of a formula without variables; None where it has none."""
    try:
        return _value(formula)
    except _OpenError:
        return None


def _value(formula: Formula) -> Value:
    match formula:
        case Number(literal):
            return Fraction(literal)
        case Name("true" | "false" as name):
            return name == "true"
        case Name():
            raise _OpenError
        case Node(operator, operands):
            values = [_value(each) for each in operands]
            if operator in {"&", "|", "!", "->", "<->"}:
                return _connect(operator, [_truth(value) for value in values])
            return _bounded(_calculate(operator, [_number(value) for value in values]))


def _truth(value: Value) -> bool:
    if not isinstance(value, bool):
        raise _OpenError
    return value


def _number(value: Value) -> Fraction:
    if isinstance(value, bool):
        raise _OpenError
    return value


def _connect(operator: str, values: list[bool]) -> bool:
    first, last = values[0], values[-1]
    return {
        "&": all(values),
        "|": any(values),
        "!": not first,
        "->": not first or last,
        "<->": first == last,
    }[operator]


def _calculate(operator: str, values: list[Fraction]) -> Value:
    if operator in _COMPARE:
        return all(_COMPARE[operator](one, other) for one, other in pairwise(values))
    if operator == "distinct":
        return len(set(values)) == len(values)
    if len(values) == 1:
        return -values[0]
    left, right = values
    if operator in "/%" and not right:
        raise _OpenError
    if operator == "%" and not (left.denominator == right.denominator == 1):
        raise _OpenError
    calculations: Mapping[str, Callable[[], Fraction]] = {
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "/": lambda: left / right,
        "%": lambda: Fraction(left % right),
        "^": lambda: left ** int(right),
    }
    return calculations[operator]()


def _bounded(value: Value) -> Value:
    if isinstance(value, Fraction) and (
        max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS
    ):
        raise _OpenError
    return value
