"""Where the formulas of a text are, between dollars or LaTeX brackets, in linear time."""

import re
from typing import Final, NamedTuple

MAX_FORMULA_CHARS: Final = 2_000
_OPENER = re.compile(r"\$\$|\$|\\\(|\\\[")
_CLOSERS: Final = {"$$": "$$", "$": "$", "\\(": "\\)", "\\[": "\\]"}


class Formula(NamedTuple):
    """One marked formula of a text."""

    start: int
    end: int
    """Past its closing mark."""
    inside: str
    """Without its marks, stripped."""


def formulas_in(text: str) -> list[Formula]:
    """Every closed formula, in order. A mark that is never closed opens nothing."""
    found: list[Formula] = []
    unclosed: set[str] = set()
    position = 0
    while opener := _OPENER.search(text, position):
        position = opener.end()
        mark = opener.group()
        # Once a closer is missing it is missing for good: looking again would be quadratic.
        end = -1 if mark in unclosed else text.find(_CLOSERS[mark], position)
        if end < 0:
            unclosed.add(mark)
        elif 0 < end - position <= MAX_FORMULA_CHARS and text[position:end].strip():
            inside = text[position:end].strip()
            position = end + len(mark)
            found.append(Formula(opener.start(), position, inside))
    return found


def formula_at(text: str, start: int) -> Formula | None:
    """The formula that begins exactly here, if one does."""
    opener = _OPENER.match(text, start)
    if opener is None:
        return None
    end = text.find(_CLOSERS[opener.group()], opener.end(), opener.end() + MAX_FORMULA_CHARS)
    inside = text[opener.end() : end].strip() if end >= 0 else ""
    return Formula(start, end + len(opener.group()), inside) if inside else None
