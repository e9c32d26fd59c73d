"""Random legal play in whole numbers from 0 to 999, and the lines that write it down."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from random import Random
from typing import Final, NamedTuple

from mull.puzzles.expression import OPERATORS, Operator

MAX_VALUE: Final = 999
"""Every value of a trace is one token of the shipped tokenizer: 0 to 999."""


class Move(NamedTuple):
    """Two of the numbers at hand and their result; `left` is the larger one."""

    left: int
    operator: Operator
    right: int
    result: int
    state: tuple[int, ...]
    """The numbers at hand afterwards, ascending, the result among them."""


def whole_result(left: int, operator: Operator, right: int) -> int | None:
    """The result where it is whole and from 0 to 999, else None. Needs `left >= right >= 0`."""
    if operator == "+":
        result = left + right
    elif operator == "-":
        result = left - right
    elif operator == "*":
        result = left * right
    elif right and left % right == 0:
        result = left // right
    else:
        return None
    return result if result <= MAX_VALUE else None


def make_move(values: Sequence[int], pair: tuple[int, int], operator: Operator) -> Move | None:
    """The move on the values at two different positions; None where it is not legal."""
    first, second = pair
    left, right = values[first], values[second]
    if left < right:
        left, right = right, left
    result = whole_result(left, operator, right)
    if result is None:
        return None
    rest = [value for index, value in enumerate(values) if index not in pair]
    return Move(left, operator, right, result, tuple(sorted((*rest, result))))


def legal_moves(values: Sequence[int]) -> list[Move]:
    """Every legal move, pair by pair; equal numbers at different positions count apart."""
    pairs = combinations(range(len(values)), 2)
    moves = (make_move(values, pair, operator) for pair in pairs for operator in OPERATORS)
    return [move for move in moves if move is not None]


def random_move(values: Sequence[int], rng: Random) -> Move:
    """A move drawn uniformly from the legal ones. There always is one: a difference is legal."""
    # Drawing again until a move is legal is uniform over the legal ones, and faster than listing
    # them; so is `int(rng.random() * n)` than `rng.randrange(n)`, and its bias is nothing here.
    while True:
        first = int(rng.random() * len(values))
        second = int(rng.random() * (len(values) - 1))
        pair = (first, second + (second >= first))
        move = make_move(values, pair, OPERATORS[int(rng.random() * 4)])
        if move is not None:
            return move


def random_walk(numbers: Sequence[int], rng: Random) -> list[Move]:
    """Blind legal play until one number is left."""
    values = tuple(numbers)
    moves = list[Move]()
    while len(values) > 1:
        moves.append(random_move(values, rng))
        values = moves[-1].state
    return moves


def states_of(numbers: Sequence[int], moves: Iterable[Move]) -> list[tuple[int, ...]]:
    """The start and every state that the moves pass through."""
    return [tuple(numbers), *(move.state for move in moves)]


def write_move(move: Move) -> str:
    """The line of one move, without its newline: ` 13 - 9 = 4 left 4 4 10`."""
    line = f" {move.left} {move.operator} {move.right} = {move.result}"
    return line if len(move.state) == 1 else f"{line} left {' '.join(map(str, move.state))}"


def write_moves(moves: Iterable[Move]) -> str:
    """The derivation as models write it; its last line has no newline."""
    return "\n".join(map(write_move, moves))
