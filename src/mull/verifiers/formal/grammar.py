"""The language of claims, and its bounded parser. Nothing is ever evaluated here.

    claims   := claim (";" | newline) claim ...        all of them together
    claim    := "int" names | "bool" names | formula
    formula  := implies (("<->" | "iff") implies)*
    implies  := or (("->" | "implies") implies)?
    or       := and (("or" | "|") and)*
    and      := not (("and" | "&") not)*
    not      := ("not" | "!" | "~") not | relation
    relation := sum (("=" | "!=" | "<" | "<=" | ">" | ">=") sum)+ | "distinct" "(" sums ")" | sum
    sum      := product (("+" | "-") product)*
    product  := power (("*" | "/" | "%") power)*
    power    := "-" power | atom ("^" digits)?
    atom     := number | name | "true" | "false" | "(" formula ")"

Names are real numbers unless `int` declares them whole or they stand where a truth value must.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

MAX_CHARS: Final = 4_000
MAX_NODES: Final = 1_000
MAX_DEPTH: Final = 60
MAX_DIGITS: Final = 30
MAX_POWER: Final = 16

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z_0-9]{0,40})"
    r"|(?P<sign><->|->|<=|>=|!=|==|\*\*|[-+*/%^=<>()!~&|,]))"
)
_SPELLINGS: Final = {
    "iff": "<->", "implies": "->", "or": "|", "and": "&", "not": "!", "~": "!", "==": "=",
    "**": "^",
}  # fmt: skip
_TYPOGRAPHIC: Final = {
    "\u2227": "&", "\u2228": "|", "\u00ac": "!", "\u2192": "->", "\u2194": "<->", "\u2264": "<=",
    "\u2265": ">=", "\u2260": "!=", "\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-",
    "\u21d2": "->", "\u21d4": "<->",
}  # fmt: skip
RELATIONS: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})
CONNECTIVES: Final = frozenset({"<->", "->", "|", "&", "!"})


class ClaimError(ValueError):
    """The text is no claim of this grammar; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Number:
    """A literal, as written."""

    literal: str


@dataclass(frozen=True, slots=True)
class Name:
    """A variable; `true` and `false` are constants."""

    name: str


@dataclass(frozen=True, slots=True)
class Node:
    """An operator and what it applies to; `-` of one operand is a negative."""

    operator: str
    operands: tuple[Formula, ...]


Formula = Number | Name | Node


@dataclass(frozen=True, slots=True)
class Claims:
    """Formulas that are claimed together, and what is declared of their names."""

    formulas: tuple[Formula, ...]
    whole: frozenset[str] = frozenset()
    """Names declared `int`."""
    truths: frozenset[str] = frozenset()
    """Names declared `bool`."""


def parse_claims(text: str) -> Claims:
    """Read claims. Raises ClaimError with the reason; never anything else."""
    claims = parse_premises(text)
    if not claims.formulas:
        raise ClaimError("there is no claim, such as `x + 1 > x`")
    return claims


def parse_premises(text: str) -> Claims:
    """Read claims that are assumed: there may be declarations alone, or nothing."""
    if len(text) > MAX_CHARS:
        raise ClaimError(f"it has {len(text)} characters; at most {MAX_CHARS} are read")
    for sign, plain in _TYPOGRAPHIC.items():
        text = text.replace(sign, plain)
    formulas, whole, truths = list[Formula](), set[str](), set[str]()
    nodes = _Count()
    for part in re.split(r"[;\n]", text):
        tokens = _tokens(part)
        if tokens[:1] == ["int"]:
            whole.update(_names(tokens[1:]))
        elif tokens[:1] == ["bool"]:
            truths.update(_names(tokens[1:]))
        elif tokens:
            formulas.append(_Parser(tokens, nodes).read())
    return Claims(tuple(formulas), frozenset(whole), frozenset(truths))


def _tokens(text: str) -> list[str]:
    tokens, position = list[str](), 0
    text = text.strip().removesuffix(".").rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ClaimError(f"`{text[position : position + 20].strip()}` is not of this grammar")
        token = match[match.lastgroup or 0]
        if len(token) > MAX_DIGITS and match["number"]:
            raise ClaimError(f"`{token[:12]}...` has more than {MAX_DIGITS} digits")
        tokens.append(_SPELLINGS.get(token.lower(), token))
        position = match.end()
    return tokens


def _names(tokens: list[str]) -> list[str]:
    names = [each for each in tokens if each != ","]
    if not all(re.fullmatch("[A-Za-z_][A-Za-z_0-9]*", name) for name in names):
        raise ClaimError("a declaration lists names, as in `int x y`")
    return names


@dataclass(slots=True)
class _Count:
    """Nodes of all the formulas of one text."""

    nodes: int = 0


@dataclass(slots=True)
class _Parser:
    """Recursive descent over the tokens of one formula; used once and dropped."""

    tokens: list[str]
    count: _Count
    position: int = 0
    depth: int = 0
    operands: list[Formula] = field(default_factory=list[Formula])

    def read(self) -> Formula:
        formula = self._formula()
        if self._peek():
            raise ClaimError(f"`{self._peek()}` follows a complete claim")
        return formula

    def _peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self.position += 1
        return token

    def _take(self, *signs: str) -> str:
        return self._next() if self._peek() in signs else ""

    def _node(self, operator: str, *operands: Formula) -> Formula:
        self.count.nodes += 1
        if self.count.nodes > MAX_NODES:
            raise ClaimError(f"there are more than {MAX_NODES} operations")
        return Node(operator, operands)

    def _formula(self) -> Formula:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ClaimError(f"it nests deeper than {MAX_DEPTH}")
        formula = self._chain(self._implies, "<->")
        self.depth -= 1
        return formula

    def _chain(self, part: Callable[[], Formula], *signs: str) -> Formula:
        formula = part()
        while sign := self._take(*signs):
            formula = self._node(sign, formula, part())
        return formula

    def _implies(self) -> Formula:
        parts = [self._chain(self._and, "|")]
        while self._take("->"):
            parts.append(self._chain(self._and, "|"))
        formula = parts.pop()
        while parts:
            formula = self._node("->", parts.pop(), formula)
        return formula

    def _and(self) -> Formula:
        return self._chain(self._not, "&")

    def _not(self) -> Formula:
        negations = 0
        while self._take("!"):
            negations += 1
        formula = self._relation()
        for _ in range(negations):
            formula = self._node("!", formula)
        return formula

    def _relation(self) -> Formula:
        terms = [self._sum()]
        relations = list[Formula]()
        while sign := self._take(*RELATIONS):
            terms.append(self._sum())
            relations.append(self._node(sign, terms[-2], terms[-1]))
        if not relations:
            return terms[0]
        return relations[0] if len(relations) == 1 else self._node("&", *relations)

    def _sum(self) -> Formula:
        return self._chain(self._product, "+", "-")

    def _product(self) -> Formula:
        return self._chain(self._power, "*", "/", "%")

    def _power(self) -> Formula:
        negations = 0
        while self._take("-"):
            negations += 1
        formula = self._atom()
        if self._take("^"):
            exponent = self._next()
            if not exponent.isdigit() or int(exponent[:4]) > MAX_POWER:
                raise ClaimError(f"an exponent is a whole number up to {MAX_POWER}")
            formula = self._node("^", formula, Number(exponent))
        for _ in range(negations):
            formula = self._node("-", formula)
        return formula

    def _atom(self) -> Formula:
        token = self._next()
        if token == "(":  # noqa: S105  (a bracket)
            formula = self._formula()
            self._expect(")")
            return formula
        if token == "distinct":  # noqa: S105
            return self._distinct()
        if token[:1].isdigit():
            return Number(token)
        if token[:1].isalpha() or token[:1] == "_":
            return Name(token)
        raise ClaimError(f"`{token}` stands where a value should" if token else "it ends too early")

    def _distinct(self) -> Formula:
        self._expect("(")
        terms = [self._sum()]
        while self._take(","):
            terms.append(self._sum())
        self._expect(")")
        return self._node("distinct", *terms)

    def _expect(self, sign: str) -> None:
        if self._next() != sign:
            raise ClaimError(f"a `{sign}` is missing")
