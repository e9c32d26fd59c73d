"""What is too large to be worth evaluating, read off the text in linear time."""

import re
from typing import Final

MAX_ANSWER_CHARS: Final = 2_000
MAX_DEPTH: Final = 50
"""Nested brackets."""
MAX_MAGNITUDE: Final = 10_000
"""Largest exponent, and largest number a factorial or a binomial may be taken of."""

_INTEGER: Final = r"([0-9][0-9,]{0,60})"
_EXPONENT = re.compile(rf"(?:\^|\*\*)[\s{{(]{{0,8}}[-+]?{_INTEGER}")
_FACTORIAL = re.compile(rf"{_INTEGER}[\s}})]{{0,8}}!")
_BINOMIAL = re.compile(rf"\\[dt]?binom\s?{{\s?{_INTEGER}")
_BOUND = re.compile(rf"\\(?:sum|prod)[^^]{{0,80}}\^\s?{{?\s?{_INTEGER}")
_TOWER = re.compile(r"(?:\^|\*\*)[^\s^*+\-/=,]{0,40}(?:\^|\*\*)[^\s^*+\-/=,]{0,40}(?:\^|\*\*)")
_POWERED_POWER = re.compile(
    r"[0-9][\s})]{0,4}(?:\^|\*\*)[\s{(]{0,4}[0-9.]{1,20}[\s})]{0,4}(?:\^|\*\*)"
)
_OPERANDS: Final = (_EXPONENT, _FACTORIAL, _BINOMIAL, _BOUND)


def why_too_large(text: str) -> str | None:
    """The reason not to evaluate this text; None where it is small enough to try."""
    if len(text) > MAX_ANSWER_CHARS:
        return f"it has {len(text)} characters; at most {MAX_ANSWER_CHARS} are looked at"
    if _depth(text) > MAX_DEPTH:
        return f"it nests deeper than {MAX_DEPTH}"
    if _TOWER.search(text) or _POWERED_POWER.search(text):
        return "it is a tower of powers"
    if any(_is_large(match.group(1)) for pattern in _OPERANDS for match in pattern.finditer(text)):
        return f"an exponent, factorial, binomial or bound exceeds {MAX_MAGNITUDE}"
    return None


def _is_large(digits: str) -> bool:
    return int(digits.replace(",", "")) > MAX_MAGNITUDE


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth -= 1
    return deepest
