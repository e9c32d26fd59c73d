"""Bounded reading of statements and of completions written by people and models.

Only ASCII digits count as digits, every length is bounded before any other work is done, and
nothing here evaluates text.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from mull.core.errors import ProblemNotUnderstoodError
from mull.puzzles.puzzle import Ruling

THINK: Final = "<think>"
END_THINK: Final = "</think>"

MAX_STATEMENT_CHARS: Final = 1_000
MAX_ANSWER_CHARS: Final = 2_000
MAX_INTEGER_DIGITS: Final = 18

# `\d` would let in the digits of every script, so patterns spell out the ASCII ones.
NUMBER: Final = r"-?[0-9]+(?:\.[0-9]+)?"
"""A number as people write it; `whole_number` says what is wrong with it."""
_SEPARATOR: Final = r"(?: ?[,;] ?(?:and )?| and | )"
NUMBER_LIST: Final = rf"{NUMBER}(?:{_SEPARATOR}{NUMBER}){{1,63}}"
"""Numbers separated by commas, blanks or "and"."""

_NUMBER = re.compile(NUMBER)
_DIGIT_GROUPS = re.compile(r"[0-9]+(?:[ ,][0-9]+)*")
_PROSE = re.compile(r"[A-Za-z]{2}")
_AROUND = " \n*_`$."
"""What people and models put around an answer."""
_LAST_NUMBER = re.compile(r"-?[0-9][0-9,.]*(?=[^0-9]*\Z)")
_UNSURE = re.compile(r"(?:\bnot|n't|\bor)\W*\Z", re.IGNORECASE)
"""Before a number: it is denied, or one of several."""


class Completion(NamedTuple):
    """A completion cut at its think marks."""

    lines: tuple[str, ...]
    """The lines of reasoning, stripped, without empty ones."""
    answer: str | None
    """The text after the reasoning; None while the reasoning has not ended."""


def match_statement(phrasings: Iterable[re.Pattern[str]], text: str) -> re.Match[str] | None:
    """The first phrasing that is the whole statement, in any case and spacing.

    Phrasings see lower case, single blanks and no closing punctuation. A text that is too long for
    a statement matches none.
    """
    if len(text) > MAX_STATEMENT_CHARS:
        return None
    collapsed = " ".join(text.lower().split()).strip(" .?!")
    return next(filter(None, (phrasing.fullmatch(collapsed) for phrasing in phrasings)), None)


def numbers_in(text: str) -> list[str]:
    """Every number in the text, as written."""
    return _NUMBER.findall(text)


def whole_number(literal: str, *, smallest: int, largest: int, what: str) -> int:
    """The value of a literal from a statement; `what` names its role in the error."""
    if not re.fullmatch(r"-?(?:0|[1-9][0-9]*)", literal) or len(literal) > MAX_INTEGER_DIGITS:
        shown = literal[:24]
        raise ProblemNotUnderstoodError(
            f"{what} `{shown}` is not a whole number",
            hint=f"write a whole number from {smallest} to {largest}",
        )
    value = int(literal)
    if not smallest <= value <= largest:
        raise ProblemNotUnderstoodError(
            f"{what} `{value}` is outside {smallest} to {largest}",
            hint=f"use a whole number from {smallest} to {largest}",
        )
    return value


def listed(numbers: tuple[int, ...]) -> str:
    """`4, 9, 10 and 13`: the numbers as a statement lists them. Needs at least two."""
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def split_completion(text: str) -> Completion:
    """Cut a completion at its think marks; text without marks is all answer."""
    if THINK not in text and END_THINK not in text:
        return Completion((), text)
    reasoning, mark, answer = text.rpartition(END_THINK)
    if not mark:
        reasoning, answer = answer, ""
    return Completion(step_lines(reasoning), answer if mark else None)


def one_line(text: str) -> str:
    """The text's one line, without marks and blanks around it; empty unless there is just one."""
    lines = step_lines(text)
    return lines[0] if len(lines) == 1 else ""


def step_lines(text: str) -> tuple[str, ...]:
    """The non-empty lines of some reasoning, without marks and blanks around them."""
    lines = (line.strip() for line in text.replace(THINK, "").split("\n"))
    return tuple(line for line in lines if line)


def joined_integer(text: str) -> int | None:
    """The non-negative integer that the text is, digits together or apart; else None."""
    digits = text.strip()
    if len(digits) > 4 * MAX_INTEGER_DIGITS or not _DIGIT_GROUPS.fullmatch(digits):
        return None
    joined = digits.replace(" ", "").replace(",", "")
    return int(joined) if len(joined) <= MAX_INTEGER_DIGITS else None


def stated_integer(text: str) -> int | None:
    """The non-negative integer that an answer is, or that its prose or equation ends with.

    `**42**`, `4 2`, `6 * 7 = 42`, `The product is 42.` None where that is no whole number or is
    denied or one of several, and for digits without words or an equals sign, which state nothing.
    """
    text = text.strip(_AROUND)
    whole = joined_integer(text)
    if whole is not None or len(text) > MAX_ANSWER_CHARS:
        return whole
    if not _PROSE.search(text):
        left, sign, right = one_line(text).rpartition("=")
        return joined_integer(right.strip(_AROUND)) if sign and left.strip() else None
    last = _LAST_NUMBER.search(text)
    if last is None or _UNSURE.search(text[: last.start()]):
        return None
    return joined_integer(last.group().rstrip(",."))


def rule_on_integer(text: str, value: int) -> Ruling:
    """Rule on a completion, or an answer alone, that should state `value`."""
    if len(text) > MAX_ANSWER_CHARS:
        return Ruling.reject(f"the answer is longer than {MAX_ANSWER_CHARS} characters")
    answer = split_completion(text).answer
    if answer is None:
        return Ruling.reject("the reasoning has not ended in an answer")
    claimed = stated_integer(answer)
    if claimed is None:
        return Ruling.reject(f"`{shown(answer)}` is not an integer")
    if claimed != value:
        return Ruling.reject(f"`{claimed}` is wrong")
    return Ruling.accept(f"the answer is {value}")


def integer_key(text: str) -> str | None:
    """The equality class of an answer that should be an integer.

    An answer that is no integer is a class of its own wording, so that a vote counts it and no rule
    is applied by stealth. None when there is no answer.
    """
    answer = text if len(text) > MAX_ANSWER_CHARS else split_completion(text).answer
    if answer is None:
        return None
    value = stated_integer(answer)
    return str(value) if value is not None else wording_key(answer)


def wording_key(text: str) -> str | None:
    """The equality class of an answer that no rule can read: its first words, in single blanks."""
    words = " ".join(text[:MAX_ANSWER_CHARS].split())
    # Keys are stored as UTF-8, which has no place for the halves of surrogate pairs.
    encodable = words.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"text:{encodable}" if words else None


def shown(text: str) -> str:
    """The text as an error may show it: printable, on one line, at most 40 characters."""
    line = " ".join(text[:80].split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= 40 else f"{line[:37]}..."
