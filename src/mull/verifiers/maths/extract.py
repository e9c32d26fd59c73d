"""Finds the final answer in what a model wrote. Linear time, bounded, nothing evaluated."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from mull.verifiers.maths.formulas import Formula, formula_at, formulas_in

THINK: Final = "<think>"
END_THINK: Final = "</think>"
MAX_WINDOW_CHARS: Final = 8_000
"""How much of the end of a completion is looked at: an answer stands at the end."""
_MAX_SPAN: Final = 2_500
"""The longest answer that is read."""
_MAX_TAIL: Final = 2_000
"""How much of the end is searched for an answer that nothing marks."""
_MAX_PARTS: Final = 32
_MAX_MARKS: Final = 16
"""How many marks, from the last one back, are tried: a text may deny some."""

_BOXED = re.compile(r"\\f?boxed\b\s*|\\framebox\b\s*")
_STATED = re.compile(
    r"(?:\banswers?\b(?: (?:to|of) [^\n:.]{1,80}?)?[\s*_]{0,4}(?:\bis\b|\bare\b|:|=)|#### )"
    r"[\s*_:]{0,8}(?:\\?[\"'“])?",
    re.IGNORECASE,
)
_NEGATION_BEFORE = re.compile(
    r"(?:\bnot|n't|\bnever|\brather than|\binstead of|\bwrong|\bincorrect(?:ly)?)"
    r"[\s*_$:({\[\\]{0,6}(?:boxed\{)?$",
    re.IGNORECASE,
)
_NEGATION_AFTER = re.compile(r"[\s*_]{0,4}(?:not|never)\b", re.IGNORECASE)
_DENIED_AFTER = re.compile(
    r"[\s*_$.})\]\\]{0,6}\b(?:(?:is|are|was)(?: not|n't)(?: the| a)?"
    r"(?: final| right| correct)*(?: answer)?|is (?:wrong|incorrect|false))\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,^])-?(?=\.?[0-9])(?:[0-9]{1,3}(?:[, ][0-9]{3}){1,6}(?![0-9])|[0-9]{1,60})?"
    r"(?:\.[0-9]{1,60})?(?:/[0-9]{1,60})?(?:\s?(?:\\?%|percent\b|pct\b))?"
)
_SENTENCE_END = re.compile(r"(?<![0-9])\.(?=\s|$)|(?<=[0-9])\.(?=\s|$)|\n|;\s")
_BETWEEN_BOXES = re.compile(r"[\s$,;.]*(?:\\?(?:text\{)?\s*(?:and|or)\s*\}?|\\quad|\\,)?[\s$,;.]*")
_LINK = re.compile(r"\s{0,3}(?:,\s{0,3}(?:and|or)?|and|or)\s{0,3}")
_LONG_WORD = re.compile(r"(?<![\\A-Za-z])(?!and\b|or\b)[A-Za-z]{3,}")
_ALGEBRA = re.compile(r"(?=.*[A-Za-z])(?:(?<![A-Za-z])[A-Za-z](?![A-Za-z])|[0-9.+\-*/^() ])+")
"""Names of one letter, numbers and signs."""
_OPERATION = re.compile(r"[+*^]|[0-9)]\(|[0-9][A-Za-z]|[A-Za-z)] ?/|[A-Za-z0-9)] ?- ?[A-Za-z0-9(]")
_SHORT = re.compile(r"[*_(]{0,2}[A-Za-z]{1,20}[*_).]{0,3}")
"""A completion of one word is its own answer."""
_PROSE: Final = frozenset(
    {"correct", "right", "wrong", "incorrect", "the", "a", "an", "not", "above", "below", "as"}
    | {"follows", "given", "that", "it", "this", "unknown", "thus", "therefore", "found", "clear"}
)


class Where(StrEnum):
    """How an answer was marked, from the clearest mark to none."""

    BOXED = "boxed"
    STATED = "stated"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Extracted:
    """The answer as written, without its mark."""

    text: str
    where: Where


class _Found(NamedTuple):
    position: int
    extracted: Extracted


def visible_text(text: str) -> str:
    """What follows the reasoning. Thinking is no answer, nor is thinking that never ended."""
    _, end, after = text.rpartition(END_THINK)
    answer = after if end else text
    return answer.partition(THINK)[0]


def extract_answer(text: str) -> Extracted | None:
    """The final answer of a completion; None where nothing is answered or all is denied.

    Of boxed and stated answers ("the answer is", "####") the later one counts; only where there is
    neither, the last formula or number does. What the text itself denies ("not 5") is no answer.
    """
    visible = visible_text(text)
    found = _extract_from(visible[-MAX_WINDOW_CHARS:])
    box = -1 if found else visible.rfind("\\boxed")
    # A model that babbles on after its answer still gave one.
    return found if box < 0 else _extract_from(visible[max(0, box - 100) : box + _MAX_SPAN])


def _extract_from(window: str) -> Extracted | None:
    marked = [found for found in (_last_boxed(window), _last_stated(window)) if found]
    if marked:
        return max(marked, key=lambda found: found.position).extracted
    return _last_value(window)


def _is_denied(window: str, start: int, end: int) -> bool:
    return bool(
        _NEGATION_BEFORE.search(window[max(0, start - 24) : start])
        or _DENIED_AFTER.match(window[end : end + 48])
    )


def _last_boxed(window: str) -> _Found | None:
    boxes = list(_BOXED.finditer(window))[-_MAX_MARKS:]
    first: int | None = None
    position = 0
    parts: list[str] = []
    for box in reversed(boxes):
        content, end = _braced(window, box.end())
        if first is None:
            if not content.strip() or _is_denied(window, box.start(), end):
                continue
            position = box.start()
        elif not _BETWEEN_BOXES.fullmatch(window[end:first]) or not content.strip():
            break
        first = box.start()
        parts.append(content.strip())
    if first is None:
        return None
    return _Found(position, Extracted(", ".join(reversed(parts)), Where.BOXED))


def _braced(window: str, start: int) -> tuple[str, int]:
    """The content of the group at `start` and its end; a box never closed ends with its line."""
    if window[start : start + 1] != "{":
        token = re.compile(r"\S*").match(window, start)
        end = token.end() if token else start
        return window[start:end].rstrip("$.,)"), end
    depth = 0
    for index in range(start, min(len(window), start + _MAX_SPAN)):
        if window[index] in "{}" and (index == 0 or window[index - 1] != "\\"):
            depth += 1 if window[index] == "{" else -1
            if depth == 0:
                return window[start + 1 : index], index + 1
    line_end = window.find("\n", start, start + _MAX_SPAN)
    end = line_end if line_end >= 0 else min(len(window), start + _MAX_SPAN)
    return window[start + 1 : end].rstrip("$"), end


def _last_stated(window: str) -> _Found | None:
    for mark in reversed(list(_STATED.finditer(window))[-64:]):
        if _NEGATION_AFTER.match(window, mark.end()) or _denied_mark(window, mark):
            continue
        content, end = _stated_content(window, mark.end())
        if content and not _is_denied(window, mark.end(), end):
            return _Found(mark.start(), Extracted(content, Where.STATED))
    return None


def _denied_mark(window: str, mark: re.Match[str]) -> bool:
    before = window[max(0, mark.start() - 24) : mark.start()]
    return bool(_NEGATION_BEFORE.search(before) or re.search(r"\b(?:wrong|incorrect)\s$", before))


def _stated_content(window: str, start: int) -> tuple[str, int]:
    formula = formula_at(window, start)
    if formula:
        return _joined_formulas(window, formula)
    found = _SENTENCE_END.search(window, start, start + _MAX_SPAN)
    end = found.start() if found else min(len(window), start + _MAX_SPAN)
    content = window[start:end].strip(" \t*_`\"'$")
    nested = formulas_in(content)
    if nested and len(content) - (nested[0].end - nested[0].start) > 12:
        return _joined_formulas(content, nested[0])[0], end
    has_value = any(char.isdigit() or char == "\\" for char in content)
    if not has_value and (len(content) > 40 or _starts_with_prose(content)):
        return "", end
    if has_value and not nested and len(_LONG_WORD.findall(content)) > 2:
        value = _last_value(content)
        return (value.text if value else ""), end
    return content, end


def _joined_formulas(window: str, formula: Formula) -> tuple[str, int]:
    """`$1$ and $2$` is one answer of two parts."""
    parts, end = [formula.inside], formula.end
    while len(parts) < _MAX_PARTS:
        link = _LINK.match(window, end)
        following = formula_at(window, link.end()) if link else None
        if following is None:
            break
        parts.append(following.inside)
        end = following.end
    return ", ".join(parts), end


def _starts_with_prose(content: str) -> bool:
    words = content.lower().replace(",", " ").split()
    return not words or (words[0] in _PROSE and len(content) > 1)


def _last_value(window: str) -> Extracted | None:
    tail = window[-_MAX_TAIL:]
    if _is_bare(tail.strip()):
        return Extracted(tail.strip(), Where.LAST)
    if _SHORT.fullmatch(tail.strip()):
        return Extracted(tail.strip(" \n*_."), Where.LAST)
    formulas = formulas_in(tail)
    numbers = [_as_formula(match) for match in _NUMBER.finditer(tail)]
    formula, number = _last_standing(tail, formulas), _last_standing(tail, numbers)
    if formula and (number is None or number.start < formula.end):
        return Extracted(formula.inside, Where.LAST)
    return Extracted(number.inside, Where.LAST) if number else None


def _as_formula(number: re.Match[str]) -> Formula:
    return Formula(number.start(), number.end(), number.group().strip())


def _last_standing(tail: str, values: Sequence[Formula]) -> Formula | None:
    """The last value not denied, with those it is listed with: a list is no single answer."""
    for index in range(len(values) - 1, -1, -1):
        last = values[index]
        if _is_denied(tail, last.start, last.end):
            continue
        parts = [last.inside]
        while index and len(parts) < _MAX_PARTS:
            before = values[index - 1]
            if not _LINK.fullmatch(tail[before.end : values[index].start]):
                break
            parts.append(before.inside)
            index -= 1  # noqa: PLW2901  (it is returned at once)
        return Formula(values[index].start, last.end, ", ".join(reversed(parts)))
    return None


def _is_bare(text: str) -> bool:
    """Whether all of it is one unmarked piece of maths: a fraction in LaTeX, or `x^2 + 2x + 1`."""
    if not 0 < len(text) <= 100:
        return False
    if "\\" not in text:
        is_algebra = _ALGEBRA.fullmatch(text) and _OPERATION.search(text)
        return bool(is_algebra) and text.count("(") == text.count(")")
    return _LONG_WORD.search(text) is None and re.search(r"[$\n]|\\[(\[]", text) is None
