"""Knights and knaves with exactly one solution, by number of people."""

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Final

from mull.core.errors import BadInputError
from mull.puzzles import Logic
from mull.puzzles.logic import NAMES, WORDS, Claim, kind_word
from mull.puzzles.logic import Form as ClaimForm
from mull.tasks.example import Example, Form, example_of
from mull.tasks.split import Split, in_held_out_bucket

LEVELS: Final = range(1, 5)
"""The level is two less than the number of people."""
_FORMS: Final[tuple[ClaimForm, ...]] = tuple(WORDS)


def draw_people(level: int, rng: Random, split: Split) -> Logic:
    """People of the split whose claims fit exactly one way."""
    names = NAMES[: level + 2]
    while True:
        puzzle = Logic(tuple(_claim(speaker, names, rng) for speaker in names))
        numbers = map(ord, "".join(map(str, puzzle.claims)))
        if in_held_out_bucket(numbers) == (split == "test") and len(solutions(puzzle)) == 1:
            return puzzle


def _claim(speaker: str, names: str, rng: Random) -> Claim:
    form = _FORMS[int(rng.random() * len(_FORMS))]
    if form in ("knight", "knave"):
        others = [name for name in names if name != speaker]
        return Claim(speaker, form, (others[int(rng.random() * len(others))],))
    return Claim(speaker, form, tuple(sorted(rng.sample(names, 2))))


def draw(level: int, rng: Random, split: Split) -> Example:
    """One problem; its reference has one bit a person, the first person's lowest, 1 for knights."""
    puzzle = draw_people(level, rng, split)
    (kinds,) = solutions(puzzle)
    reference = sum(knight << place for place, knight in enumerate(kinds))
    group = " ".join(map(str, puzzle.claims))
    return example_of(puzzle, reference=reference, level=level, split=split, group=group)


def sample_text(level: int, form: Form, rng: Random, split: Split) -> tuple[str, str]:
    """A statement and a right completion of it."""
    puzzle = draw_people(level, rng, split)
    return puzzle.statement, write_kinds(puzzle, form)


def write(example: Example, form: Form, rng: Random) -> str:  # noqa: ARG001 (one way to write it)
    """A right completion."""
    puzzle = Logic.parse(example.problem.statement)
    if puzzle is None:
        raise BadInputError(f"example `{example.id}` states no knights")
    return write_kinds(puzzle, form)


def write_kinds(puzzle: Logic, form: Form) -> str:
    """One person a line (`reasoning`), or all on one line."""
    (kinds,) = solutions(puzzle)
    people = zip(puzzle.people, kinds, strict=True)
    said = [f"{name} {kind_word(knight=knight)}" for name, knight in people]
    if form == "direct":
        return f"<think></think> {', '.join(said)}"
    return "\n".join(f" {line}" for line in said)


def solutions(puzzle: Logic) -> list[tuple[bool, ...]]:
    """Every way in which all claims fit, in the order of the people."""
    return list(_solutions(puzzle))


def _solutions(puzzle: Logic) -> Iterator[tuple[bool, ...]]:
    for kinds in product((False, True), repeat=len(puzzle.people)):
        by_name = dict(zip(puzzle.people, kinds, strict=True))
        if all(claim.holds(by_name) == by_name[claim.speaker] for claim in puzzle.claims):
            yield kinds
