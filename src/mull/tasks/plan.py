"""Water jug problems by the length of their shortest plan, found by breadth-first search."""

from collections.abc import Iterator
from random import Random
from typing import Final

from mull.core.errors import BadInputError
from mull.puzzles import Plan
from mull.tasks.example import Example, Form, example_of
from mull.tasks.split import Split, in_held_out_bucket

LENGTHS: Final = {1: (2, 3), 2: (4, 5), 3: (6, 9)}
"""Level to the fewest and the most steps of the shortest plan."""
LEVELS: Final = range(1, 4)
MAX_JUG: Final = 24

_State = tuple[int, ...]


def draw_plan(level: int, rng: Random, split: Split) -> Plan:
    """Jugs of the split and an amount whose shortest plan has the level's length."""
    shortest, longest = LENGTHS[level]
    while True:
        num_jugs = 2 + int(rng.random() * 2)
        jugs = tuple(sorted(rng.sample(range(2, MAX_JUG + 1), num_jugs)))
        puzzle = Plan(jugs, 1 + int(rng.random() * jugs[-1]))
        if in_held_out_bucket((*jugs, puzzle.target)) != (split == "test"):
            continue
        steps = shortest_plan(puzzle)
        if steps is not None and shortest <= len(steps) <= longest:
            return puzzle


def draw(level: int, rng: Random, split: Split) -> Example:
    """One problem."""
    puzzle = draw_plan(level, rng, split)
    group = f"{' '.join(map(str, puzzle.jugs))} {puzzle.target}"
    return example_of(puzzle, reference=puzzle.target, level=level, split=split, group=group)


def sample_text(level: int, form: Form, rng: Random, split: Split) -> tuple[str, str]:
    """A statement and a shortest plan."""
    puzzle = draw_plan(level, rng, split)
    return puzzle.statement, write_plan(puzzle, form)


def write(example: Example, form: Form, rng: Random) -> str:  # noqa: ARG001 (one way to write it)
    """A shortest plan."""
    puzzle = Plan.parse(example.problem.statement)
    if puzzle is None:
        raise BadInputError(f"example `{example.id}` states no plan")
    return write_plan(puzzle, form)


def write_plan(puzzle: Plan, form: Form) -> str:
    """The steps, one a line; without thoughts in both forms, since a plan is its own reasoning."""
    steps = shortest_plan(puzzle)
    if steps is None:
        raise BadInputError(f"`{puzzle.statement}` has no plan")
    lines = "\n".join(f" {step}" for step in steps)
    return lines if form == "reasoning" else f"<think></think>{lines}"


def shortest_plan(puzzle: Plan) -> list[str] | None:
    """The first of the shortest plans; None where no jug can ever hold the amount."""
    start: _State = (0,) * len(puzzle.jugs)
    came: dict[_State, tuple[_State, str] | None] = {start: None}
    queue: list[_State] = [start]
    for state in queue:
        if puzzle.target in state:
            return _steps_to(state, came)
        for step, after in _moves(puzzle.jugs, state):
            if after not in came:
                came[after] = state, step
                queue.append(after)
    return None


def _steps_to(state: _State, came: dict[_State, tuple[_State, str] | None]) -> list[str]:
    steps = list[str]()
    while (origin := came[state]) is not None:
        state, step = origin
        steps.append(step)
    return steps[::-1]


def _moves(jugs: tuple[int, ...], state: _State) -> Iterator[tuple[str, _State]]:
    """Every step and what it leads to, those that change nothing included."""
    for source, held in enumerate(state):
        yield f"fill {jugs[source]}", _with(state, {source: jugs[source]})
        yield f"empty {jugs[source]}", _with(state, {source: 0})
        for into in range(len(jugs)):
            if into != source:
                moved = min(held, jugs[into] - state[into])
                after = _with(state, {source: held - moved, into: state[into] + moved})
                yield f"pour {jugs[source]} into {jugs[into]}", after


def _with(state: _State, changed: dict[int, int]) -> _State:
    return tuple(changed.get(jug, litres) for jug, litres in enumerate(state))
