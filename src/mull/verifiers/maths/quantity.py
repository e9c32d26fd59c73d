"""Numbers with units, read exactly: the cheap comparison that settles most answers."""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

_MAX_CHARS: Final = 200
_LENGTHS: Final = {"mm": "1/1000", "cm": "1/100", "m": "1", "km": "1000", "in": "127/5000",
                   "ft": "381/1250", "yd": "1143/1250", "mi": "201168/125"}  # fmt: skip
_OTHERS: Final = {
    "mg": ("mass", "1/1000"), "g": ("mass", "1"), "kg": ("mass", "1000"),
    "oz": ("mass", "45359237/1600000"), "lb": ("mass", "45359237/100000"),
    "s": ("time", "1"), "min": ("time", "60"), "h": ("time", "3600"), "day": ("time", "86400"),
    "cent": ("money", "1/100"), "dollar": ("money", "1"), "degree": ("angle", "1"),
}  # fmt: skip
_SPELLINGS: Final = {
    "millimeter": "mm", "centimeter": "cm", "meter": "m", "kilometer": "km", "inch": "in",
    "foot": "ft", "yard": "yd", "mile": "mi", "milligram": "mg", "gram": "g", "kilogram": "kg",
    "ounce": "oz", "pound": "lb", "second": "s", "sec": "s", "minute": "min", "hour": "h",
    "hr": "h", "millimetre": "mm", "centimetre": "cm", "metre": "m", "kilometre": "km",
    "feet": "ft", "inche": "in",
}  # fmt: skip
_COUNT: Final = "count"
_NUMBER_WORDS: Final = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6,
                        "billion": 10**9, "trillion": 10**12}  # fmt: skip
_PERCENT: Final = frozenset({"%", "percent", "pct", "percentage"})
_POWERS: Final = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}

_LATEX_NOISE = re.compile(
    r"\\(?:left|right|displaystyle|,|!|;|:|>|quad|qquad|limits)(?![A-Za-z])|\\ |~|\{,\}"
)
_TEXT_GROUP = re.compile(
    r"\\(?:text|textbf|textit|mbox|mathrm|mathbf|rm|bf|hbox|textrm)\s?\{([^{}]*)\}"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s?(?:\{([^{}]+)\}|([0-9]))\s?(?:\{([^{}]+)\}|([0-9]))")
_DECIMAL: Final = (
    r"(?:[0-9]{1,3}(?:[, ][0-9]{3}){1,12}(?:\.[0-9]{0,60})?"
    r"|[0-9]{1,80}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})"
)
_MIXED: Final = r"(?P<whole>[0-9]{1,30})\s(?P<mixed>[0-9]{1,30}/[0-9]{1,30})"
_VALUE = re.compile(
    rf"(?P<sign>[-+]?)\s?(?P<currency>[€£$])?\s?(?:{_MIXED}"
    rf"|(?P<top>{_DECIMAL})\s?/\s?(?P<low>-?{_DECIMAL})|(?P<plain>{_DECIMAL}))"
    r"(?:\s?(?:\\times|\\cdot|x|\*)\s?10\s?\^\s?\{?(?P<power>-?[0-9]{1,3})\}?"
    r"|[eE](?P<exp>[-+]?[0-9]{1,3}))?(?P<unit>.{0,60})",
    re.DOTALL,
)
_ASSIGNMENT = re.compile(r"\(?[A-Za-z][A-Za-z_0-9]{0,12}(?:\([A-Za-z0-9]{1,4}\))?\s?=\s?")
_UNIT_WORD = re.compile(
    r"(?:(square|cubic|sq|cu)\.?\s)?([A-Za-z]{1,20})\.?\s?(?:\^\s?\{?([23])\}?)?"
)
_SIGNS: Final = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00b2": "^2", "\u00b3": "^3"})
"""Minus signs, dashes and raised digits as plain text writes them."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number counts, in base units of its dimension."""

    dimension: str
    """`length^2`, `mass`, `percent`; a word of its own for what no table knows ("apples")."""
    factor: Fraction


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact number and the unit written behind it, if any."""

    value: Fraction
    unit: Unit | None = None
    is_rounded: bool = False
    """Written with a decimal point: it may stand for something close to it."""


def plain_text(text: str) -> str:
    """The text without LaTeX that only sets type, in NFKC, with single blanks."""
    folded = unicodedata.normalize("NFKC", text[: 10 * _MAX_CHARS].translate(_SIGNS))
    # `\!` and `{,}` only separate thousands, so the blank they leave must not split the number.
    folded = re.sub(r",\\!\s?|\{,\}", ",", folded)
    folded = folded.replace("\\$", "$").replace("\\%", "%").replace("$", " ")
    folded = re.sub(r"\^\s?\{?\s?\\circ\s?\}?|°|\\degree", " degree", folded)
    folded = _TEXT_GROUP.sub(r" \1 ", _LATEX_NOISE.sub(" ", folded))
    return " ".join(folded.split()).rstrip(" .")


def quantity_of(text: str) -> Quantity | None:
    """The exact quantity this text states; None where it is anything but one number and a unit."""
    if len(text) > _MAX_CHARS:
        return None
    money = re.match(r"\s*[-+]?\s?\\?\$\s?[0-9.]", text) is not None and text.count("$") == 1
    plain = plain_text(text)
    assigned = _ASSIGNMENT.match(plain)
    plain = plain[assigned.end() :] if assigned else plain
    match = _VALUE.fullmatch(_FRACTION.sub(_written_out, plain).strip())
    if match is None:
        return None
    value = _value_of(match)
    unit = _unit_of(match["unit"].strip(" .{}")) if match["unit"].strip(" .{}") else None
    if value is None or unit is _NOT_A_UNIT:
        return None
    if money and unit is None:
        unit = _unit_of("dollar")
    if unit is not None and unit.dimension == _COUNT:
        value, unit = value * unit.factor, None
    return Quantity(value, unit, is_rounded="." in plain)


def _written_out(match: re.Match[str]) -> str:
    top, low = match[1] or match[2], match[3] or match[4]
    return f" {top.strip()}/{low.strip()}"


def _value_of(match: re.Match[str]) -> Fraction | None:
    if match["mixed"]:
        top, low = match["mixed"].split("/")
        value = _ratio(top, low)
        value = None if value is None else value + int(match["whole"])
    elif match["top"]:
        value = _ratio(match["top"], match["low"])
    else:
        value = _decimal(match["plain"])
    power = int(match["power"] or match["exp"] or 0)
    if value is None:
        return None
    return (-value if match["sign"] == "-" else value) * Fraction(10) ** power


def _decimal(literal: str) -> Fraction | None:
    # "1,22" may be a decimal comma or a pair; only groups of three are thousands.
    return Fraction(literal.replace(",", "").replace(" ", "").rstrip(".") or "0")


def _ratio(top: str, low: str) -> Fraction | None:
    negative = low.startswith("-")
    divisor = _decimal(low.lstrip("-"))
    dividend = _decimal(top)
    if not divisor or dividend is None:
        return None
    return -dividend / divisor if negative else dividend / divisor


_NOT_A_UNIT: Final = Unit("", Fraction(0))


def _unit_of(text: str) -> Unit:
    """The unit these words name; `_NOT_A_UNIT` where they are mathematics, not a unit."""
    if text.lower() in _PERCENT:
        return Unit("percent", Fraction(1, 100))
    match = _UNIT_WORD.fullmatch(text)
    if match is None:
        return _NOT_A_UNIT
    power = _POWERS.get(match[1] or "", 0) or int(match[3] or 1)
    name = unit_name(match[2])
    if name in _NUMBER_WORDS:
        return Unit(_COUNT, Fraction(_NUMBER_WORDS[name]))
    if name in _LENGTHS:
        dimension = "length" if power == 1 else f"length^{power}"
        return Unit(dimension, Fraction(_LENGTHS[name]) ** power)
    if name in _OTHERS:
        dimension, factor = _OTHERS[name]
        return Unit(dimension, Fraction(factor))
    # One letter that no table knows is a variable: `4t` is no number of t.
    return _NOT_A_UNIT if len(name) < 3 else Unit(name, Fraction(1))


def unit_name(word: str) -> str:
    """The short name of a unit; the singular of a word that is none."""
    lower = word.lower() if len(word) > 2 else word
    if lower in _LENGTHS or lower in _OTHERS:
        return lower
    singular = lower[:-1] if lower.endswith("s") and len(lower) > 3 else lower
    return _SPELLINGS.get(lower) or _SPELLINGS.get(singular) or singular
