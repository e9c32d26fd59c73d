"""The generated tasks by name: evaluation examples, and text to train on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Final, get_args

from mull.core.errors import BadInputError, UnknownNameError
from mull.core.seeds import derive_seed
from mull.tasks import (
    chain,
    code,
    constraint,
    countdown,
    entailment,
    letters,
    logic,
    multiply,
    plan,
)
from mull.tasks.example import Example, Form
from mull.tasks.split import Split

TRIES_FOR_NEW_GROUP: Final = 500
TRIES_FOR_NEW_PROBLEM: Final = 20_000


@dataclass(frozen=True, slots=True)
class Task:
    """One generated family."""

    name: str
    levels: range
    draw: Callable[[int, Random, Split], Example]
    sample_text: Callable[[int, Form, Random, Split], tuple[str, str]]
    write: Callable[[Example, Form, Random], str]


TASKS: Final[Mapping[str, Task]] = MappingProxyType(
    {
        "countdown": Task(
            "countdown", countdown.LEVELS, countdown.draw, countdown.sample_text, countdown.write
        ),
        "multiply": Task(
            "multiply", multiply.LEVELS, multiply.draw, multiply.sample_text, multiply.write
        ),
        "chain": Task("chain", chain.LEVELS, chain.draw, chain.sample_text, chain.write),
        "letters": Task(
            "letters", letters.LEVELS, letters.draw, letters.sample_text, letters.write
        ),
        "logic": Task("logic", logic.LEVELS, logic.draw, logic.sample_text, logic.write),
        "entailment": Task(
            "entailment",
            entailment.LEVELS,
            entailment.draw,
            entailment.sample_text,
            entailment.write,
        ),
        "constraint": Task(
            "constraint",
            constraint.LEVELS,
            constraint.draw,
            constraint.sample_text,
            constraint.write,
        ),
        "code": Task("code", code.LEVELS, code.draw, code.sample_text, code.write),
        "plan": Task("plan", plan.LEVELS, plan.draw, plan.sample_text, plan.write),
    }
)


def task_named(name: str) -> Task:
    """The task of that name. Raises UnknownNameError."""
    try:
        return TASKS[name]
    except KeyError:
        raise UnknownNameError("task", name, TASKS) from None


def generate(task: str, level: int, count: int, seed: int, split: Split = "train") -> list[Example]:
    """`count` different examples: the same list for the same seed, and the start of a longer one.

    Examples of one list differ in their group (numbers, word) as long as new groups are found.
    Raises UnknownNameError or BadInputError for a task, level, split or count that cannot be had.
    """
    chosen = _checked(task, level, split)
    rng = Random(derive_seed(seed, "generate", task, level, split))
    examples = list[Example]()
    drawn = _Drawn()
    while len(examples) < count:
        candidates = (chosen.draw(level, rng, split) for _ in range(TRIES_FOR_NEW_PROBLEM))
        example = drawn.first_new(candidates)
        if example is None:
            raise BadInputError(
                f"found only {len(examples)} different {split} problems of `{task}` level {level}",
                hint=f"ask for at most {len(examples)}, or for a higher level",
            )
        examples.append(example)
    return examples


@dataclass(slots=True)
class _Drawn:
    """What one list of examples already holds; owned by the call that makes the list."""

    groups: set[str] = field(default_factory=set[str])
    ids: set[str] = field(default_factory=set[str])
    patience: int = TRIES_FOR_NEW_GROUP
    """Tries for a new group before a new problem will do; zero once they have been in vain."""

    def first_new(self, candidates: Iterable[Example]) -> Example | None:
        """The first of a new group or, after many tries, of a new problem; None without one."""
        for attempt, example in enumerate(candidates):
            if attempt >= self.patience:
                self.patience = 0
            is_new_problem = self.patience == 0 and example.id not in self.ids
            if is_new_problem or example.group not in self.groups:
                self.groups.add(example.group)
                self.ids.add(example.id)
                return example
        return None


def write_trace(example: Example, form: Form, rng: Random) -> str:
    """A right completion of the example as models are to write it, without the end of turn.

    Raises BadInputError when there is none in that form (a countdown that needs fractions).
    """
    return task_named(example.task).write(example, form, rng)


def sample_text(
    family: str, level: int, form: Form, rng: Random, split: Split = "train"
) -> tuple[str, str]:
    """A fresh statement and a right completion of it.

    A training text shows no held-out problem, neither as its start nor, in `countdown` and `chain`,
    as a state on the way. Raises UnknownNameError or BadInputError for what cannot be had.
    """
    if form not in get_args(Form):
        raise UnknownNameError("form", form, get_args(Form))
    return _checked(family, level, split).sample_text(level, form, rng, split)


def _checked(name: str, level: int, split: str) -> Task:
    task = task_named(name)
    if level not in task.levels:
        raise BadInputError(
            f"task `{name}` has no level {level}",
            hint=f"use a level from {task.levels[0]} to {task.levels[-1]}",
        )
    if split not in get_args(Split):
        raise UnknownNameError("split", split, get_args(Split))
    return task
