"""Equations and comparisons inside a trace that exact arithmetic can settle."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from mull.verifiers.formal.exact import closed_value
from mull.verifiers.formal.grammar import ClaimError, Node, parse_claims

MAX_LINE_CHARS: Final = 1_000
MAX_LINES: Final = 400
"""Of one step; what comes after is not looked at."""

_TERM: Final = r"[-(]{0,4}[0-9](?:[0-9 .,()+\-*/\u00d7\u00b7\u00f7\u2212^]{0,120}[0-9)])?"
_SIGN: Final = r"\s{0,3}(?:<=|>=|!=|[=<>\u2264\u2265\u2260\u2248])\s{0,3}"
_CLAIM = re.compile(rf"{_TERM}(?:{_SIGN}{_TERM}){{1,4}}")
_LATEX: Final = (
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])"), "*"),
    (re.compile(r"\\div(?![A-Za-z])"), "/"),
    (re.compile(r"\\(?:left|right|,|;|!)|\$"), ""),
    (re.compile(r"\\[dt]?frac\s?\{([0-9]{1,30})\}\s?\{([0-9]{1,30})\}"), r"(\1/\2)"),
)
_BEFORE = re.compile(
    r"(?:^|[:;,.=]|=>|\b(?:so|then|get|gives|have|has|thus|since|and|because|therefore|is|that|"
    r"hence|as|with|see|i\.e\.))\s*$",
    re.IGNORECASE,
)
"""What may stand before a claim: after a word like `dozen` or a sign it would be half of one."""
_AFTER = re.compile(
    r"\s*(?:[%!^*/+(\\]|-\s*[0-9]|mod\b|modulo\b|dozen\b|percent\b|per\b|hundred\b|thousand\b|"
    r"million\b|billion\b|[=<>])",
    re.IGNORECASE,
)
_APART = re.compile(r"(?<![0-9.,])(?:[0-9] )+[0-9](?![0-9.,])")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")


@dataclass(frozen=True, slots=True)
class Assertion:
    """One claim of a trace, as written, and whether it is true."""

    text: str
    holds: bool


def assertions_in(text: str) -> list[Assertion]:
    """Every claim of closed arithmetic in a text, in order. Bounded; nothing is evaluated as code.

    A decimal that rounds the value beside it is not wrong. Digits written apart (`8 4 7`) are one
    number. What is only part of a claim (`3x = 12`, `50 = 10%`) is left alone.
    """
    lines = text.split("\n")[:MAX_LINES]
    return [found for line in lines for found in _in_line(line[:MAX_LINE_CHARS])]


def _in_line(line: str) -> Iterator[Assertion]:
    for pattern, plain in _LATEX:
        line = pattern.sub(plain, line)
    line = _APART.sub(lambda match: match[0].replace(" ", ""), line)
    for match in _CLAIM.finditer(line):
        if _BEFORE.search(line[: match.start()]) and not _AFTER.match(line, match.end()):
            holds = _holds(match[0])
            if holds is not None:
                yield Assertion(match[0].strip(), holds)


def _holds(text: str) -> bool | None:
    """Whether a chain of comparisons is true; None where it cannot be read."""
    plain = _THOUSANDS.sub("", text).replace("\u2248", "=")
    if "," in plain:
        return None
    try:
        (formula,) = parse_claims(plain).formulas
    except ClaimError:
        return None
    value = closed_value(formula)
    if value is not False:
        return value if isinstance(value, bool) else None
    return _is_rounding(formula) if isinstance(formula, Node) else False


def _is_rounding(formula: Node) -> bool:
    """Whether every equation of a false chain holds up to the last decimal that is written."""
    parts = formula.operands if formula.operator == "&" else (formula,)
    for part in parts:
        if closed_value(part) is True:
            continue
        if not isinstance(part, Node) or part.operator != "=":
            return False
        values = [closed_value(side) for side in part.operands]
        places = [len(_literal(side).partition(".")[2]) for side in part.operands]
        left, right = values
        if not isinstance(left, Fraction) or not isinstance(right, Fraction) or not any(places):
            return False
        if abs(left - right) > Fraction(1, 2 * 10 ** min(place for place in places if place)):
            return False
    return True


def _literal(side: object) -> str:
    return str(getattr(side, "literal", ""))
