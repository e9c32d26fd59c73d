"""Number grids with one solution, by how many cells are blank."""

from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Final

from mull.core.errors import BadInputError
from mull.puzzles import Constraint
from mull.puzzles.constraint import BLANK, NUM_CELLS, Cells, conflict, placement, shown_grid
from mull.tasks.example import Example, Form, example_of
from mull.tasks.split import Split, in_held_out_bucket

BLANKS: Final = {1: 4, 2: 6, 3: 8, 4: 10}
"""Level to the number of blank cells."""
LEVELS: Final = range(1, 5)


def draw_grid(level: int, rng: Random, split: Split) -> Constraint:
    """A grid of the split with exactly one solution."""
    while True:
        puzzle = Constraint(_blanked(_random_solution(rng), BLANKS[level], rng))
        is_test = in_held_out_bucket(puzzle.cells)
        if puzzle.cells.count(BLANK) == BLANKS[level] and is_test == (split == "test"):
            return puzzle


def draw(level: int, rng: Random, split: Split) -> Example:
    """One problem; its reference is the sixteen digits of the solution."""
    puzzle = draw_grid(level, rng, split)
    reference = int("".join(map(str, next(solutions(puzzle.cells)))))
    group = shown_grid(puzzle.cells)
    return example_of(puzzle, reference=reference, level=level, split=split, group=group)


def sample_text(level: int, form: Form, rng: Random, split: Split) -> tuple[str, str]:
    """A statement and a right completion of it."""
    puzzle = draw_grid(level, rng, split)
    return puzzle.statement, write_grid(puzzle, form, rng)


def write(example: Example, form: Form, rng: Random) -> str:
    """A right completion; the order of the digits is random."""
    puzzle = Constraint.parse(example.problem.statement)
    if puzzle is None:
        raise BadInputError(f"example `{example.id}` states no grid")
    return write_grid(puzzle, form, rng)


def write_grid(puzzle: Constraint, form: Form, rng: Random) -> str:
    """One digit a line (`reasoning`), or the whole grid."""
    solution = next(solutions(puzzle.cells))
    if form == "direct":
        return f"<think></think> {shown_grid(solution)}"
    blanks = [cell for cell in range(NUM_CELLS) if puzzle.cells[cell] == BLANK]
    rng.shuffle(blanks)
    return "\n".join(f" {placement(cell, solution[cell])}" for cell in blanks)


def solutions(cells: Cells) -> Iterator[Cells]:
    """Every completion of a grid, smallest digits first."""
    if BLANK not in cells:
        yield cells
        return
    cell = cells.index(BLANK)
    for digit in range(1, 5):
        after = (*cells[:cell], digit, *cells[cell + 1 :])
        if not conflict(after, cell):
            yield from solutions(after)


@cache
def _all_solutions() -> tuple[Cells, ...]:
    """All 288 complete grids."""
    return tuple(solutions((BLANK,) * NUM_CELLS))


@cache
def _holding(cell: int, digit: int) -> int:
    """Which complete grids hold this digit there, one bit a grid."""
    return sum(1 << each for each, cells in enumerate(_all_solutions()) if cells[cell] == digit)


def _random_solution(rng: Random) -> Cells:
    return _all_solutions()[int(rng.random() * len(_all_solutions()))]


def _blanked(solution: Cells, wanted: int, rng: Random) -> Cells:
    """The solution with cells blanked in random order, as many as keep it the only one."""
    cells = solution
    for cell in rng.sample(range(NUM_CELLS), NUM_CELLS):
        if cells.count(BLANK) == wanted:
            break
        fewer = (*cells[:cell], BLANK, *cells[cell + 1 :])
        if _num_solutions(fewer) == 1:
            cells = fewer
    return cells


def _num_solutions(cells: Cells) -> int:
    left = (1 << len(_all_solutions())) - 1
    for cell, digit in enumerate(cells):
        if digit != BLANK:
            left &= _holding(cell, digit)
    return left.bit_count()
