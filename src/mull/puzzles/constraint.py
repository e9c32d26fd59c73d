"""Small number grids: four rows, four columns and four boxes, each with the digits 1 to 4."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from mull.core.errors import ProblemNotUnderstoodError
from mull.core.problem import AnswerKind
from mull.puzzles.puzzle import Ruling
from mull.puzzles.reading import (
    MAX_ANSWER_CHARS,
    match_statement,
    one_line,
    shown,
    split_completion,
    step_lines,
    wording_key,
)

SIZE: Final = 4
NUM_CELLS: Final = SIZE * SIZE
BLANK: Final = 0

_ROW: Final = r"[1-4_]{4}"
_GRID: Final = rf"{_ROW}(?: ?/ ?{_ROW}){{3}}"
_PHRASINGS: Final = (
    re.compile(
        rf"(?:fill|solve)(?: the)?(?: grid| sudoku)?:? (?P<grid>{_GRID})(?: with .{{1,200}})?"
    ),
)
_PLACEMENT = re.compile(r"r([1-4]) ?c([1-4]) ?(?:=|:|is) ?([1-4])")
_FULL = re.compile(r"[1-4]{16}")
_GROUPS: Final = tuple(
    [tuple(range(SIZE * row, SIZE * row + SIZE)) for row in range(SIZE)]
    + [tuple(range(column, NUM_CELLS, SIZE)) for column in range(SIZE)]
    + [
        tuple(SIZE * (2 * down + row) + 2 * right + column for row in (0, 1) for column in (0, 1))
        for down in (0, 1)
        for right in (0, 1)
    ]
)
"""The cells of each row, column and box."""
NEIGHBOURS: Final = tuple(
    tuple({other for group in _GROUPS if cell in group for other in group} - {cell})
    for cell in range(NUM_CELLS)
)
"""For each cell those that must hold another digit."""

Cells = tuple[int, ...]
"""Sixteen digits row by row; 0 is blank."""


class _IllegalPlacementError(ValueError):
    """A digit cannot stand there; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """Complete a grid in which some digits are given."""

    cells: Cells

    name: ClassVar[str] = "constraint"
    example: ClassVar[str] = (
        "Fill the grid 1_3_ / _4__ / __4_ / 4__1 with 1 to 4 so that no row, column or 2x2 box "
        "repeats a digit. Write one digit a line, as r1c2 = 3, or the whole grid."
    )
    answer_kind: ClassVar[AnswerKind] = AnswerKind.PUZZLE

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a statement; see `Puzzle.parse`."""
        match = match_statement(_PHRASINGS, text)
        if match is None:
            return None
        digits = re.sub(r"[ /]", "", match["grid"]).replace("_", str(BLANK))
        cells = tuple(map(int, digits))
        if any(cells[cell] and conflict(cells, cell) for cell in range(NUM_CELLS)):
            raise ProblemNotUnderstoodError(
                f"the grid `{shown(match['grid'])}` repeats a digit in a row, column or box",
                hint="give a grid whose digits differ where they must",
            )
        return cls(cells)

    @property
    def statement(self) -> str:
        """The canonical wording."""
        return (
            f"Fill the grid {shown_grid(self.cells)} with 1 to 4 so that no row, column or 2x2 box "
            "repeats a digit. Write one digit a line, as r1c2 = 3, or the whole grid."
        )

    def check_step(self, done: Sequence[str], line: str) -> Ruling:
        """Rule on the next digit: its cell is blank and no neighbour holds it."""
        try:
            cells = _place(self._after(step_lines("\n".join(done))), one_line(line))
        except _IllegalPlacementError as error:
            return Ruling.reject(str(error))
        return Ruling.accept(f"{cells.count(BLANK)} cells are blank")

    def check_answer(self, text: str) -> Ruling:
        """Rule on a complete grid, or on the digits that complete it."""
        try:
            cells = self._read(text)
        except _IllegalPlacementError as error:
            return Ruling.reject(str(error))
        if BLANK in cells:
            return Ruling.reject(f"{cells.count(BLANK)} cells are blank")
        return Ruling.accept(f"the grid {shown_grid(cells)} is complete")

    def state_key(self, done: Sequence[str]) -> str | None:
        """The grid so far; None after an illegal digit."""
        try:
            return shown_grid(self._after(step_lines("\n".join(done))))
        except _IllegalPlacementError:
            return None

    def answer_key(self, text: str) -> str | None:
        """The grid it comes to."""
        try:
            return shown_grid(self._read(text))
        except _IllegalPlacementError:
            return wording_key(text)

    def _after(self, lines: Sequence[str]) -> Cells:
        cells = self.cells
        for line in lines:
            cells = _place(cells, line)
        return cells

    def _read(self, text: str) -> Cells:
        """The grid an answer comes to. Raises _IllegalPlacementError at the first broken rule."""
        if len(text) > MAX_ANSWER_CHARS:
            raise _IllegalPlacementError(f"it is longer than {MAX_ANSWER_CHARS} characters")
        answer = split_completion(text).answer
        if answer is None or not answer.strip():
            raise _IllegalPlacementError("there is no answer")
        whole = re.sub(r"[\s/|]", "", answer)
        if not _FULL.fullmatch(whole):
            return self._after(step_lines(answer))
        cells = tuple(map(int, whole))
        for cell in range(NUM_CELLS):
            if self.cells[cell] not in (BLANK, cells[cell]):
                raise _IllegalPlacementError(f"{_name(cell)} is given as {self.cells[cell]}")
            if conflict(cells, cell):
                raise _IllegalPlacementError(f"{cells[cell]} is repeated beside {_name(cell)}")
        return cells


def conflict(cells: Cells, cell: int) -> bool:
    """Whether a neighbour of the cell holds the same digit."""
    return any(cells[other] == cells[cell] for other in NEIGHBOURS[cell])


def shown_grid(cells: Cells) -> str:
    """`1_3_ / _4__ / __4_ / 4__1`."""
    digits = "".join(map(str, cells)).replace(str(BLANK), "_")
    return " / ".join(digits[start : start + SIZE] for start in range(0, NUM_CELLS, SIZE))


def placement(cell: int, digit: int) -> str:
    """`r1c2 = 3`."""
    return f"{_name(cell)} = {digit}"


def _name(cell: int) -> str:
    return f"r{cell // SIZE + 1}c{cell % SIZE + 1}"


def _place(cells: Cells, line: str) -> Cells:
    match = _PLACEMENT.fullmatch(" ".join(line[:40].lower().split()))
    if match is None:
        raise _IllegalPlacementError(f"`{shown(line)}` is no digit such as `r1c2 = 3`")
    row, column, digit = map(int, match.groups())
    cell = SIZE * (row - 1) + column - 1
    if cells[cell] != BLANK:
        raise _IllegalPlacementError(f"{_name(cell)} already holds {cells[cell]}")
    after = (*cells[:cell], digit, *cells[cell + 1 :])
    if conflict(after, cell):
        raise _IllegalPlacementError(f"`{shown(line)}` repeats a digit of its row, column or box")
    return after
