"""Equality that needs no algebra: numbers, units, percentages, choices, words."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from mull.verifiers.finding import Finding
from mull.verifiers.maths.quantity import Quantity, Unit, plain_text, quantity_of, unit_name

_METHOD: Final = "exact"
_PERCENT_WORDS = re.compile(r"\bper ?cent(?:age)?\b|%")
_ASKED_UNIT = re.compile(r"\b(?:in|how many|number of) (?:(square|cubic) )?([a-z]{1,20})\b")
_CHOICE = re.compile(r"\(?\s?([A-Za-z])\s?\)?[.:]?")
_WORDS = re.compile(r"[^\W\d_]+(?:[ '\-][^\W\d_]+)*")
_ALTERNATIVE = re.compile(r"\s(?:or|and)\s|\s?(?:,|;)\s(?:or |and )?", re.IGNORECASE)
_SEVERAL: Final = re.compile(
    r"\bor\b|\band\b|[,;{]|\\pm|\\cup|\\begin|\\text\s?\{\s?(?:or|and)", re.IGNORECASE
)
_DECIMAL_COMMA = re.compile(r"(-?[0-9]{1,12}),([0-9]{2})")
_MAX_ALTERNATIVES: Final = 8
_CLOSE: Final = Fraction(1, 1_000)
"""Decimals nearer than this, relative to the reference, may be roundings: not ruled on here."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the problem says about the form of its answer."""

    percent: bool | None = None
    """Whether it names percentages; None where there is no statement to read."""
    unit: str | None = None
    """The unit it asks for, as `cm` or `length^2` of one; None where it names none."""

    @classmethod
    def of(cls, statement: str) -> "Asked":
        """Read a problem's statement."""
        text = statement[:20_000].lower()
        units = [match for match in _ASKED_UNIT.finditer(text) if _is_known(match[2])]
        last = units[-1] if units else None
        unit = f"{last[1]} {last[2]}" if last and last[1] else last and last[2]
        return cls(bool(_PERCENT_WORDS.search(text)), unit)


def _is_known(word: str) -> bool:
    found = quantity_of(f"1 {unit_name(word)}") if len(word) > 2 else None
    return found is not None and found.unit is not None and found.unit.dimension != unit_name(word)


def compare_exactly(answer: str, reference: str, asked: Asked) -> Finding | None:
    """A finding where numbers, units, a choice or words settle it; None where algebra must."""
    if answer.strip() == reference.strip() and answer.strip():
        return Finding.accept("the same text", _METHOD)
    gold = _quantity(reference)
    if gold is not None:
        given = _quantity(answer)
        if given is not None:
            return _compare_quantities(given, gold, asked)
        return _compare_alternatives(answer, reference, asked)
    return _compare_words(answer, reference)


def _quantity(text: str) -> Quantity | None:
    """As `quantity_of`, with `1,22` for 1.22: nobody lists answers like that."""
    comma = _DECIMAL_COMMA.fullmatch(text.strip())
    return quantity_of(f"{comma[1]}.{comma[2]}" if comma else text)


def _compare_alternatives(answer: str, reference: str, asked: Asked) -> Finding | None:
    """An answer that hedges between numbers is right only if each of them is."""
    if _SEVERAL.search(reference) and not re.fullmatch(r"[-0-9,. $\\!{}]+", reference):
        return None
    plain = plain_text(answer)
    pieces = [piece for piece in _ALTERNATIVE.split(plain, _MAX_ALTERNATIVES) if piece]
    if len(pieces) > _MAX_ALTERNATIVES:
        return Finding.reject("it lists answers where one is asked", _METHOD)
    if len(pieces) < 2 or any(quantity_of(piece) is None for piece in pieces):
        return None
    findings = [compare_exactly(piece, reference, asked) for piece in pieces]
    if all(finding is not None and finding.is_accepted for finding in findings):
        return Finding.accept("every alternative is right", _METHOD)
    return Finding.reject(f"it gives {len(pieces)} answers where one is asked", _METHOD)


def _compare_quantities(given: Quantity, gold: Quantity, asked: Asked) -> Finding | None:
    if asked.unit is not None:
        given, gold = _with_asked_unit(given, asked.unit), _with_asked_unit(gold, asked.unit)
    if _is_percent(given) or _is_percent(gold):
        return _compare_percentages(given, gold, asked)
    if given.unit and gold.unit:
        if given.unit.dimension != gold.unit.dimension:
            return _compare_dimensions(given.unit, gold.unit)
        given = Quantity(given.value * given.unit.factor, None, given.is_rounded)
        gold = Quantity(gold.value * gold.unit.factor, None, gold.is_rounded)
    return _compare_values(given, gold, given.value)


def _with_asked_unit(quantity: Quantity, unit: str) -> Quantity:
    if quantity.unit is not None:
        return quantity
    asked = quantity_of(f"1 {unit}")
    return Quantity(quantity.value, asked.unit if asked else None, quantity.is_rounded)


def _compare_dimensions(given: Unit, gold: Unit) -> Finding | None:
    known = {"mass", "time", "money", "angle"}
    if all(
        unit.dimension in known or unit.dimension.startswith("length") for unit in (given, gold)
    ):
        return Finding.reject(f"it counts {given.dimension}, not {gold.dimension}", "units")
    return Finding.unknown(f"nobody knows whether {given.dimension} is {gold.dimension}", "units")


def _is_percent(quantity: Quantity) -> bool:
    return quantity.unit is not None and quantity.unit.dimension == "percent"


def _compare_percentages(given: Quantity, gold: Quantity, asked: Asked) -> Finding | None:
    """`28%` is 0.28. It is also 28 where the problem asks for percent, or where nobody knows."""
    if _is_percent(given) and _is_percent(gold):
        return _compare_values(given, gold, given.value)
    other = gold if _is_percent(given) else given
    if other.unit is not None:
        return Finding.reject("only one of the two is a percentage", "units")
    if asked.percent is not False and given.value == gold.value:
        return Finding.accept("the same number of percent", "units")
    share = given.value / 100 if _is_percent(given) else given.value * 100
    return _compare_values(given, gold, share)


def _compare_values(given: Quantity, gold: Quantity, value: Fraction) -> Finding | None:
    if value == gold.value:
        return Finding.accept("the same number", _METHOD)
    is_exact = not (given.is_rounded or gold.is_rounded)
    if is_exact or abs(value - gold.value) > abs(gold.value) * _CLOSE:
        return Finding.reject("another number", _METHOD)
    return None


def _compare_words(answer: str, reference: str) -> Finding | None:
    given, gold = plain_text(answer), plain_text(reference)
    choices = _CHOICE.fullmatch(given), _CHOICE.fullmatch(gold)
    if choices[0] and choices[1] and _is_choice(reference):
        same = choices[0][1].lower() == choices[1][1].lower()
        return (
            Finding.accept("the same choice", _METHOD)
            if same
            else Finding.reject("another choice", _METHOD)
        )
    if given and given.casefold() == gold.casefold() and "\\" not in gold:
        return Finding.accept("the same words", _METHOD)
    if _is_prose(gold) and (_is_prose(given) or quantity_of(answer)):
        return Finding.reject("other words", _METHOD)
    return None


def _is_choice(reference: str) -> bool:
    return bool(re.search(r"\\text|\(|\\mathrm|\\mathbf", reference)) or reference.strip().isupper()


def _is_prose(plain: str) -> bool:
    """Words, not a product of variables: one of them has four letters."""
    return bool(_WORDS.fullmatch(plain)) and any(len(word) > 3 for word in plain.split())


def answer_class(text: str) -> str | None:
    """A name that equal answers share: of the exact value, else of the text. None where empty."""
    quantity = quantity_of(text)
    if quantity is not None:
        unit = quantity.unit
        if unit is None:
            return f"= {quantity.value}"
        return f"= {quantity.value * unit.factor} {unit.dimension}"
    plain = re.sub(r"\s", "", plain_text(text))
    plain = re.sub(r"\\[dtc]frac", r"\\frac", plain)
    return plain.casefold() if _is_prose(plain_text(text)) else plain or None
