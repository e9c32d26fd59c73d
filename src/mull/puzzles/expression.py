"""Arithmetic expressions over whole numbers: a bounded parser, exact values, canonical forms.

The parser knows `+ - * /`, their typographic signs and parentheses. It never evaluates text: it
builds a tree, and the tree is evaluated with exact fractions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, cast

from mull.puzzles.reading import shown

Operator = Literal["+", "-", "*", "/"]

OPERATORS: Final[tuple[Operator, ...]] = ("+", "-", "*", "/")
MAX_LEAVES: Final = 16
MAX_DEPTH: Final = 24
MAX_DIGITS: Final = 9
# Multiplication sign, middle dot, division sign, minus sign.
_SIGNS: Final = str.maketrans({"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-"})
_TOKEN: Final = re.compile(r"[0-9]+|[-+*/()]|\S")


class ExpressionError(ValueError):
    """The text is no expression of this grammar; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A number as it stands in the statement."""

    value: int


@dataclass(frozen=True, slots=True)
class Operation:
    """Two expressions joined by one operator."""

    operator: Operator
    left: Expression
    right: Expression


Expression = Leaf | Operation


def plain_signs(text: str) -> str:
    """The text with typographic signs written as the four ASCII operators."""
    return text.translate(_SIGNS)


def combine(operator: Operator, left: Fraction, right: Fraction) -> Fraction | None:
    """The exact result of one operation; None for a division by zero."""
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    return left / right if right else None


def evaluate(expression: Expression) -> Fraction | None:
    """The exact value; None when some divisor is zero."""
    if isinstance(expression, Leaf):
        return Fraction(expression.value)
    left, right = evaluate(expression.left), evaluate(expression.right)
    if left is None or right is None:
        return None
    return combine(expression.operator, left, right)


def leaves(expression: Expression) -> Iterator[int]:
    """The numbers used, from left to right."""
    if isinstance(expression, Leaf):
        yield expression.value
    else:
        yield from leaves(expression.left)
        yield from leaves(expression.right)


def render(expression: Expression) -> str:
    """The expression for people: `(13 - 9) * (10 - 4)`, every compound operand in parentheses."""
    if isinstance(expression, Leaf):
        return str(expression.value)
    left, right = _operand(expression.left), _operand(expression.right)
    return f"{left} {expression.operator} {right}"


def _operand(expression: Expression) -> str:
    text = render(expression)
    return text if isinstance(expression, Leaf) else f"({text})"


def canonical(expression: Expression) -> str:
    """A text equal for expressions that differ only by commutation and association.

    Sums are flattened to added and subtracted terms, products to factors and divisors; each group
    is sorted. Values are not compared: `2 * 12` and `4 * 6` stay different.
    """
    if isinstance(expression, Leaf):
        return str(expression.value)
    sign = "+" if expression.operator in "+-" else "*"
    kept, inverted = _terms(expression, sign)
    inverse = "-" if sign == "+" else "/"
    head = sign.join(sorted(kept))
    return f"({head}{''.join(inverse + term for term in sorted(inverted))})"


def _terms(expression: Expression, sign: str) -> tuple[list[str], list[str]]:
    """The operands of a flattened sum (`+`) or product (`*`): those kept and those inverted."""
    inverse = "-" if sign == "+" else "/"
    if isinstance(expression, Leaf) or expression.operator not in (sign, inverse):
        return [canonical(expression)], []
    kept, inverted = _terms(expression.left, sign)
    right_kept, right_inverted = _terms(expression.right, sign)
    if expression.operator == inverse:
        right_kept, right_inverted = right_inverted, right_kept
    return kept + right_kept, inverted + right_inverted


def parse_expression(text: str) -> Expression:
    """Read one expression. Raises ExpressionError with the reason; never anything else.

    The caller bounds the length of the text; leaves, depth and digits are bounded here.
    """
    return _Parser(_TOKEN.findall(plain_signs(text))).read()


class _Parser:
    """Recursive descent over a list of tokens; used for one text and dropped."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0
        self._num_leaves = 0

    def read(self) -> Expression:
        if not self._tokens:
            raise ExpressionError("there is no expression")
        expression = self._sum(0)
        if self._peek():
            raise ExpressionError(f"`{shown(self._peek())}` follows a complete expression")
        return expression

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token

    def _sum(self, depth: int) -> Expression:
        expression = self._product(depth)
        while self._peek() in ("+", "-"):
            operator = cast(Operator, self._next())
            expression = Operation(operator, expression, self._product(depth))
        return expression

    def _product(self, depth: int) -> Expression:
        expression = self._atom(depth)
        while self._peek() in ("*", "/"):
            operator = cast(Operator, self._next())
            expression = Operation(operator, expression, self._atom(depth))
        return expression

    def _atom(self, depth: int) -> Expression:
        symbol = self._next()
        if symbol == "(":
            return self._group(depth + 1)
        if not symbol:
            raise ExpressionError("the expression ends where a number should stand")
        if not (symbol.isascii() and symbol.isdigit()):
            raise ExpressionError(f"`{shown(symbol)}` stands where a number should")
        self._num_leaves += 1
        if self._num_leaves > MAX_LEAVES:
            raise ExpressionError(f"there are more than {MAX_LEAVES} numbers")
        if len(symbol) > MAX_DIGITS:
            raise ExpressionError(f"`{symbol[:MAX_DIGITS]}...` has more than {MAX_DIGITS} digits")
        return Leaf(int(symbol))

    def _group(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise ExpressionError(f"parentheses are nested deeper than {MAX_DEPTH}")
        expression = self._sum(depth)
        if self._next() != ")":
            raise ExpressionError("a `(` is not closed")
        return expression
