"""Entailment problems, half of which hold, with derivations and counterexamples."""

from collections.abc import Iterable, Mapping
from random import Random
from typing import Final

from mull.core.errors import BadInputError
from mull.puzzles import Entailment
from mull.puzzles.entailment import LETTERS, Clause, Literal, resolvents, shown_clause
from mull.tasks.example import Example, Form, example_of
from mull.tasks.split import Split, in_held_out_bucket

SIZES: Final = {1: (3, 3), 2: (4, 5), 3: (5, 7)}
"""Level to the number of letters and of clauses."""
LEVELS: Final = range(1, 4)
MAX_LITERALS: Final = 3

Parents = Mapping[Clause, tuple[Clause, Clause] | None]
"""From every clause that is known to the two it was resolved from; None for a given one."""


def draw_entailment(level: int, rng: Random, split: Split) -> Entailment:
    """Clauses of the split, consistent, whose goal is not given and follows half of the time."""
    num_letters, num_clauses = SIZES[level]
    wants = rng.random() < 0.5
    while True:
        given = tuple(_clause(LETTERS[:num_letters], rng) for _ in range(num_clauses))
        goal = (LETTERS[int(rng.random() * num_letters)], rng.random() < 0.5)
        puzzle = Entailment(given, goal)
        numbers = map(ord, f"{'; '.join(map(shown_clause, given))} {shown_clause([goal])}")
        if in_held_out_bucket(numbers) != (split == "test") or not _is_worth_it(puzzle):
            continue
        if (counterexample(puzzle) is None) == wants:
            return puzzle


def _clause(letters: str, rng: Random) -> Clause:
    size = 1 + int(rng.random() * min(MAX_LITERALS, len(letters)))
    return frozenset((letter, rng.random() < 0.5) for letter in rng.sample(letters, size))


def _is_worth_it(puzzle: Entailment) -> bool:
    """All clauses differ, can be true together, and do not simply state or leave out the goal."""
    mentioned = {letter for clause in puzzle.given for letter, _ in clause}
    is_stated = frozenset({puzzle.goal}) in puzzle.given
    differ = len(set(puzzle.given)) == len(puzzle.given)
    return puzzle.goal[0] in mentioned and not is_stated and differ and _is_consistent(puzzle)


def _is_consistent(puzzle: Entailment) -> bool:
    return _rows(puzzle.given, puzzle.letters) != 0


def draw(level: int, rng: Random, split: Split) -> Example:
    """One problem; its reference is 1 where the goal follows and 0 where it does not."""
    puzzle = draw_entailment(level, rng, split)
    given = "; ".join(sorted(map(shown_clause, puzzle.given)))
    return example_of(
        puzzle,
        reference=int(counterexample(puzzle) is None),
        level=level,
        split=split,
        group=f"{given} => {shown_clause([puzzle.goal])}",
    )


def sample_text(level: int, form: Form, rng: Random, split: Split) -> tuple[str, str]:
    """A statement and a right completion of it."""
    puzzle = draw_entailment(level, rng, split)
    return puzzle.statement, write_proof(puzzle, form)


def write(example: Example, form: Form, rng: Random) -> str:  # noqa: ARG001 (one way to write it)
    """A right completion."""
    puzzle = Entailment.parse(example.problem.statement)
    if puzzle is None:
        raise BadInputError(f"example `{example.id}` states no entailment")
    return write_proof(puzzle, form)


def write_proof(puzzle: Entailment, form: Form) -> str:
    """A derivation and `yes`, or `no` and a counterexample; without thoughts in both forms."""
    values = counterexample(puzzle)
    if values is None:
        lines = [*derivation(puzzle), "yes"]
    else:
        said = (f"{letter} {str(value).lower()}" for letter, value in values.items())
        lines = [f"no: {', '.join(said)}"]
    text = "\n".join(f" {line}" for line in lines)
    return text if form == "reasoning" else f"<think></think>{text}"


def counterexample(puzzle: Entailment) -> dict[str, bool] | None:
    """Values for which everything given is true and the goal false; None where it follows."""
    letters = puzzle.letters
    rows = _rows(puzzle.given, letters) & ~_rows([frozenset({puzzle.goal})], letters)
    if not rows:
        return None
    row = (rows & -rows).bit_length() - 1
    return {letter: bool(row >> place & 1) for place, letter in enumerate(letters)}


def _rows(clauses: Iterable[Clause], letters: str) -> int:
    """The rows of the truth table in which all clauses are true, one bit a row."""
    num_rows = 1 << len(letters)
    every = (1 << num_rows) - 1
    truths = {
        letter: sum(1 << row for row in range(num_rows) if row >> place & 1)
        for place, letter in enumerate(letters)
    }
    left = every
    for clause in clauses:
        true = 0
        for letter, plainly in clause:
            true |= truths[letter] if plainly else ~truths[letter]
        left &= true
    return left & every


def derivation(puzzle: Entailment) -> list[str]:
    """The resolutions that lead to the goal, which must follow; no line in vain."""
    parents: dict[Clause, tuple[Clause, Clause] | None] = dict.fromkeys(puzzle.given)
    wanted: tuple[Clause, ...] = (frozenset({puzzle.goal}), frozenset[Literal]())
    while not (reached := [clause for clause in wanted if clause in parents]):
        known = sorted(parents, key=lambda clause: (len(clause), shown_clause(clause)))
        found = {
            result: (first, second)
            for first in known
            for second in known
            for result in resolvents(first, second)
            if result not in parents
        }
        parents |= found
    return _lines_to(reached[0], parents)


def _lines_to(clause: Clause, parents: Parents) -> list[str]:
    lines = list[str]()
    origin = parents[clause]
    if origin is None:
        return lines
    first, second = origin
    for parent in origin:
        lines += [line for line in _lines_to(parent, parents) if line not in lines]
    return [*lines, f"{shown_clause(first)}, {shown_clause(second)} => {shown_clause(clause)}"]
