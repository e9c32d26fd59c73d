"""Exact answers to "can the target still be reached?" for countdown states, in two arithmetics.

A state is a multiset of numbers at hand. Every derivation is an expression tree over the numbers,
so a target is reachable from a state exactly when some split of the state into two parts has a
value on each side that one operation joins to the target. Small states keep a table of all their
values; for larger ones the values of the smaller part are taken from its table, and the value that
the other part must have is searched for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import gcd
from typing import Final

from mull.puzzles.derivation import Derivation, DerivationError
from mull.puzzles.expression import Expression, Leaf, Operation, Operator, canonical, render
from mull.tasks.walk import MAX_VALUE

TABLE_SIZE: Final = 4
"""States of up to this size keep a table of all their values in exact arithmetic."""

Ratio = tuple[int, int]
"""A rational in lowest terms, denominator positive: several times faster than `Fraction`."""
RatioState = tuple[Ratio, ...]
"""Sorted (as pairs), so that equal multisets are equal keys."""


class Arithmetic(StrEnum):
    """Which intermediate values are allowed."""

    EXACT = "exact"
    """All fractions, negative ones too: the rule of the game."""
    WHOLE = "whole"
    """Whole numbers from 0 to 999: the rule of traces and of blind play."""


def ratio(numerator: int, denominator: int) -> Ratio:
    """In lowest terms; the denominator must not be zero."""
    if denominator == 1:
        return numerator, 1
    divisor = gcd(numerator, denominator)
    if denominator < 0:
        divisor = -divisor
    return numerator // divisor, denominator // divisor


def exact_results(left: Ratio, right: Ratio) -> Iterator[Ratio]:
    """Every value of one operation on the two, in either order."""
    (a, b), (c, d) = left, right
    if b == d == 1:  # most values are whole, and whole values need no reducing
        yield a + c, 1
        yield a - c, 1
        yield c - a, 1
        yield a * c, 1
    else:
        cross, other, below = a * d, c * b, b * d
        yield ratio(cross + other, below)
        difference = ratio(cross - other, below)
        yield difference
        yield -difference[0], difference[1]
        yield ratio(a * c, below)
    if c:
        yield ratio(a * d, b * c)
    if a:
        yield ratio(c * b, d * a)


def whole_results(left: Ratio, right: Ratio) -> Iterator[Ratio]:
    """Every value of one legal operation of a trace on the two."""
    larger, smaller = max(left[0], right[0]), min(left[0], right[0])
    if larger + smaller <= MAX_VALUE:
        yield larger + smaller, 1
    yield larger - smaller, 1
    if larger * smaller <= MAX_VALUE:
        yield larger * smaller, 1
    if smaller and larger % smaller == 0:
        yield larger // smaller, 1


def joins(known: Ratio, target: Ratio) -> Iterator[tuple[Operator, bool, Ratio]]:
    """Every operation that makes the target of `known` and one other value.

    Yields the operator, whether `known` stands on the left, and the other value. Zero times or over
    anything is left to the caller.
    """
    (a, b), (t, u) = known, target
    cross, other, below = t * b, a * u, u * b
    yield "+", True, ratio(cross - other, below)
    yield "-", True, ratio(other - cross, below)
    yield "-", False, ratio(cross + other, below)
    if a:
        yield "*", True, ratio(t * b, u * a)
        yield "/", False, ratio(t * a, u * b)
        if t:
            yield "/", True, ratio(a * u, b * t)


# A state has at most six numbers, so this keeps a handful of small tuples.
@lru_cache(maxsize=16)
def _cuts(size: int) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Every way to cut positions in two parts, the smaller part first, each way once."""
    positions = range(size)
    halves = [part for count in range(1, size // 2 + 1) for part in combinations(positions, count)]
    # Where both parts have half of the positions, each way would come twice.
    kept = (part for part in halves if 2 * len(part) < size or 0 in part)
    return tuple((part, tuple(i for i in positions if i not in part)) for part in kept)


def splits(state: RatioState) -> set[tuple[RatioState, RatioState]]:
    """Every way to cut the state in two multisets, the smaller one first."""
    return {
        (tuple(state[i] for i in small), tuple(state[i] for i in large))
        for small, large in _cuts(len(state))
    }


@dataclass(slots=True)
class CountdownSolver:
    """Answers for one arithmetic, with a memory of what was worked out that its maker owns."""

    arithmetic: Arithmetic = Arithmetic.EXACT
    max_tables: int = 4_096
    """Tables kept before the memory is emptied; one of four numbers holds some thousand values."""
    max_answers: int = 1_000_000
    """Answers of the backward search kept before the memory is emptied."""
    _tables: dict[RatioState, frozenset[Ratio]] = field(
        default_factory=dict[RatioState, frozenset[Ratio]], repr=False
    )
    _answers: dict[tuple[RatioState, Ratio], bool] = field(
        default_factory=dict[tuple[RatioState, Ratio], bool], repr=False
    )

    @property
    def num_tables(self) -> int:
        """How many states the memory holds a table of."""
        return len(self._tables)

    def reachable(self, numbers: Sequence[int | Fraction], target: int | Fraction) -> bool:
        """Whether the numbers, each used once, can make the target; one number must equal it.

        In whole arithmetic a number outside 0 to 999 can reach nothing. Raises ValueError when
        there are no numbers.
        """
        if not numbers:
            raise ValueError("reachable() needs at least one number")
        self._forget_if_full()
        return self._reachable(_state(numbers), _pair(target))

    def solutions(self, numbers: Sequence[int], target: int) -> Iterator[str]:
        """Every solution as an expression, once up to commutation and association."""
        seen = set[str]()
        self._forget_if_full()
        for tree in self._trees(_state(numbers), _pair(target)):
            key = canonical(tree)
            if key not in seen:
                seen.add(key)
                yield render(tree)

    def solution(self, numbers: Sequence[int], target: int) -> str | None:
        """One solution; None where there is none."""
        return next(self.solutions(numbers, target), None)

    def successors(self, numbers: Sequence[int | Fraction]) -> set[tuple[Fraction, ...]]:
        """Every state after one move, ascending."""
        return {_fractions(state) for state in self._successors(_state(numbers))}

    def label_states(
        self, numbers: Sequence[int | Fraction], target: int | Fraction
    ) -> dict[tuple[Fraction, ...], bool]:
        """For the start and every state of play: whether the target can still be reached.

        States are ascending. Four numbers have about a thousand, five tens of thousands, six far
        too many: ask `reachable` for the states that occur.
        """
        goal, labels = _pair(target), dict[RatioState, bool]()
        waiting = [_state(numbers)]
        while waiting:
            state = waiting.pop()
            if state not in labels:
                self._forget_if_full()
                labels[state] = self._reachable(state, goal)
                waiting.extend(self._successors(state))
        return {_fractions(state): label for state, label in labels.items()}

    def label_lines(self, numbers: Sequence[int], target: int, lines: Sequence[str]) -> list[bool]:
        """For each line of a derivation: is it legal, and can the target still be reached?"""
        derivation, labels = Derivation.start(numbers), list[bool]()
        for line in lines:
            try:
                derivation = derivation.advance(line)
            except DerivationError:
                return labels + [False] * (len(lines) - len(labels))
            labels.append(self.reachable(derivation.remaining, target))
        return labels

    def _successors(self, state: RatioState) -> Iterator[RatioState]:
        for first, second in combinations(range(len(state)), 2):
            rest = [value for index, value in enumerate(state) if index not in (first, second)]
            for value in self._results(state[first], state[second]):
                yield tuple(sorted((*rest, value)))

    def _results(self, left: Ratio, right: Ratio) -> Iterator[Ratio]:
        exact = self.arithmetic is Arithmetic.EXACT
        return exact_results(left, right) if exact else whole_results(left, right)

    def _forget_if_full(self) -> None:
        if len(self._tables) > self.max_tables or len(self._answers) > self.max_answers:
            self._tables.clear()
            self._answers.clear()

    def _has_table(self, size: int) -> bool:
        # Whole values are at most a thousand a state, so every state can keep them.
        return self.arithmetic is Arithmetic.WHOLE or size <= TABLE_SIZE

    def _values(self, state: RatioState) -> frozenset[Ratio]:
        """Every value that the state can make."""
        known = self._tables.get(state)
        if known is None:
            known = self._tables[state] = frozenset(self._compute_values(state))
        return known

    def _compute_values(self, state: RatioState) -> set[Ratio]:
        if len(state) == 1:
            return {state[0]} if self._is_allowed(state[0]) else set()
        results = exact_results if self.arithmetic is Arithmetic.EXACT else whole_results
        values = set[Ratio]()
        for small, large in splits(state):
            others = self._values(large)
            for left in self._values(small):
                for right in others:
                    values.update(results(left, right))
        return values

    def _is_allowed(self, value: Ratio) -> bool:
        is_whole = value[1] == 1 and 0 <= value[0] <= MAX_VALUE
        return is_whole or self.arithmetic is Arithmetic.EXACT

    def _reachable(self, state: RatioState, target: Ratio) -> bool:
        if self._has_table(len(state)):
            return target in self._values(state)
        known = self._answers.get((state, target))
        if known is None:
            known = any(
                self._joins_to(small, large, target)
                for small, large in sorted(splits(state), key=_larger_side)
            )
            self._answers[state, target] = known
        return known

    def _joins_to(self, small: RatioState, large: RatioState, target: Ratio) -> bool:
        """Whether a value of the small part and one of the large part make the target."""
        for known in self._values(small):
            if not known[0] and not target[0]:
                return True  # zero times whatever the large part makes
            if any(self._reachable(large, other) for _, _, other in joins(known, target)):
                return True
        return False

    def _trees(self, state: RatioState, target: Ratio) -> Iterator[Expression]:
        if len(state) == 1:
            if state[0] == target:
                yield Leaf(target[0])
            return
        for small, large in sorted(splits(state), key=_larger_side):
            for known in sorted(self._values(small)):
                yield from self._joined_trees(small, large, known, target)

    def _joined_trees(
        self, small: RatioState, large: RatioState, known: Ratio, target: Ratio
    ) -> Iterator[Expression]:
        for operator, known_is_left, other in self._all_joins(large, known, target):
            if self._reachable(large, other):
                for first in self._trees(small, known):
                    for second in self._trees(large, other):
                        pair = (first, second) if known_is_left else (second, first)
                        yield Operation(operator, *pair)

    def _all_joins(
        self, large: RatioState, known: Ratio, target: Ratio
    ) -> Iterator[tuple[Operator, bool, Ratio]]:
        """The joins, and the products and quotients of zero that `joins` leaves out."""
        yield from joins(known, target)
        if not known[0] and not target[0]:
            for other in sorted(self._values(large)):
                yield "*", True, other
                if other[0]:
                    yield "/", True, other


def _larger_side(split: tuple[RatioState, RatioState]) -> int:
    """Even splits first: both their sides have tables, so they cost least."""
    return len(split[1])


def _fractions(state: RatioState) -> tuple[Fraction, ...]:
    return tuple(sorted(Fraction(*value) for value in state))


def _pair(number: int | Fraction) -> Ratio:
    return number.numerator, number.denominator


def _state(numbers: Sequence[int | Fraction]) -> RatioState:
    return tuple(sorted(map(_pair, numbers)))
