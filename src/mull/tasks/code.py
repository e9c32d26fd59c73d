"""Small programming problems: one function on a list of whole numbers, made of simple operations.

The generator's own implementation is a chain of Python functions, never text. The statement shows a
few calls with their values; the reference holds hidden ones, which only a grader sees.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final, cast

from mull.core.errors import BadInputError
from mull.core.problem import AnswerKind, Problem
from mull.core.seeds import derive_seed
from mull.tasks.example import Example
from mull.tasks.split import Split, in_held_out_bucket

LEVELS: Final = range(1, 5)
"""The level is the number of operations before the last one."""
NUM_EXAMPLES: Final = 3
NUM_HIDDEN: Final = 20
MAX_LENGTH: Final = 8
MAX_VALUE: Final = 20

Numbers = list[int]


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a function, in words, in Python, and as it is computed here."""

    words: str
    source: str
    """Of an expression over `xs`."""
    apply: Callable[[Numbers], Numbers]


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of the list at last."""

    words: str
    source: str
    apply: Callable[[Numbers], int | Numbers]


OPERATIONS: Final = (
    Operation("reverse the list", "xs[::-1]", lambda xs: xs[::-1]),
    Operation("sort it in ascending order", "sorted(xs)", sorted),
    Operation("keep only the even numbers", "[x for x in xs if x % 2 == 0]",
              lambda xs: [x for x in xs if x % 2 == 0]),
    Operation("keep only the positive numbers", "[x for x in xs if x > 0]",
              lambda xs: [x for x in xs if x > 0]),
    Operation("double every number", "[2 * x for x in xs]", lambda xs: [2 * x for x in xs]),
    Operation("square every number", "[x * x for x in xs]", lambda xs: [x * x for x in xs]),
    Operation("add to every number its index, counted from 0",
              "[x + i for i, x in enumerate(xs)]", lambda xs: [x + i for i, x in enumerate(xs)]),
    Operation("remove repeated numbers, keeping the first of each",
              "list(dict.fromkeys(xs))", lambda xs: list(dict.fromkeys(xs))),
    Operation("drop the first number, if there is one", "xs[1:]", lambda xs: xs[1:]),
    Operation("keep every second number, starting with the first", "xs[::2]", lambda xs: xs[::2]),
    Operation("replace every number by the sum of all numbers up to it, itself included",
              "[sum(xs[: i + 1]) for i in range(len(xs))]", lambda xs: list(accumulate(xs))),
    Operation("replace every number by its absolute value", "[abs(x) for x in xs]",
              lambda xs: [abs(x) for x in xs]),
)  # fmt: skip
ENDINGS: Final = (
    Ending("return the list", "xs", lambda xs: xs),
    Ending("return the sum", "sum(xs)", sum),
    Ending("return how many numbers there are", "len(xs)", len),
    Ending("return the largest number, or 0 if there is none", "max(xs, default=0)",
           lambda xs: max(xs, default=0)),
    Ending("return the difference between the largest and the smallest number, or 0 if there is "
           "none", "max(xs, default=0) - min(xs, default=0)",
           lambda xs: max(xs, default=0) - min(xs, default=0)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Function:
    """A function as the generator knows it."""

    operations: tuple[Operation, ...]
    ending: Ending

    def __call__(self, numbers: Sequence[int]) -> int | Numbers:
        """What it returns, by our own implementation."""
        values = list(numbers)
        for operation in self.operations:
            values = operation.apply(values)
        return self.ending.apply(values)

    @property
    def words(self) -> str:
        """As a problem states it."""
        steps = [operation.words for operation in self.operations]
        return f"{', then '.join(steps)}, and {self.ending.words}"

    @property
    def source(self) -> str:
        """As a right program writes it."""
        lines = [f"    xs = {operation.source}" for operation in self.operations]
        return "\n".join(["def solve(xs):", *lines, f"    return {self.ending.source}"]) + "\n"


def generate_code(level: int, count: int, seed: int, split: Split = "train") -> list[Example]:
    """`count` different problems: the same list for the same seed. Raises BadInputError."""
    if level not in LEVELS:
        raise BadInputError(
            f"task `code` has no level {level}",
            hint=f"use a level from {LEVELS[0]} to {LEVELS[-1]}",
        )
    rng = Random(derive_seed(seed, "generate", "code", level, split))
    examples: dict[str, Example] = {}
    for _ in range(1_000 + 200 * count):
        if len(examples) == count:
            break
        example = draw(level, rng, split)
        examples.setdefault(example.group, example)
    if len(examples) < count:
        raise BadInputError(
            f"found only {len(examples)} different {split} problems of `code` level {level}",
            hint=f"ask for at most {len(examples)}, or for a higher level",
        )
    return list(examples.values())


def draw(level: int, rng: Random, split: Split) -> Example:
    """One problem of the split."""
    while True:
        operations = tuple(rng.sample(OPERATIONS, level))
        function = Function(operations, ENDINGS[int(rng.random() * len(ENDINGS))])
        if in_held_out_bucket(map(ord, function.words)) != (split == "test"):
            continue
        inputs = [_numbers(rng) for _ in range(NUM_EXAMPLES + NUM_HIDDEN)]
        if len({str(function(numbers)) for numbers in inputs}) > NUM_EXAMPLES:
            return _example(function, inputs, level, split)


def _numbers(rng: Random) -> Numbers:
    length = int(rng.random() * (MAX_LENGTH + 1))
    return [int(rng.random() * (2 * MAX_VALUE + 1)) - MAX_VALUE for _ in range(length)]


def _example(function: Function, inputs: list[Numbers], level: int, split: Split) -> Example:
    shown = "\n".join(f">>> solve({given})\n{function(given)}" for given in inputs[:NUM_EXAMPLES])
    statement = (
        "Write a Python function `solve(xs)` that takes a list of whole numbers and does this: "
        f"{function.words}. Answer with the function in one fenced block.\n\n{shown}"
    )
    hidden = [(given, function(given)) for given in inputs[NUM_EXAMPLES:]]
    metadata = {"level": str(level), "split": split, "family": "code"}
    problem = Problem.of(statement, AnswerKind.CODE, metadata)
    return Example(problem, json.dumps(hidden), "code", level, split, function.words)


def hidden_cases(example: Example) -> list[tuple[str, object]]:
    """The hidden calls of a problem and their values, for a grader that can run programs."""
    pairs = cast("list[tuple[Numbers, object]]", json.loads(example.reference))
    return [(f"solve({given})", value) for given, value in pairs]


def write_program(example: Example) -> str:
    """A right program, read back from the words. BadInputError for another family's example."""
    *steps, last = example.group.replace(", and return", ", then return").split(", then ")
    by_words = {operation.words: operation for operation in OPERATIONS}
    endings = {ending.words: ending for ending in ENDINGS}
    if last not in endings or not all(step in by_words for step in steps):
        raise BadInputError(f"example `{example.id}` states no function")
    return Function(tuple(by_words[step] for step in steps), endings[last]).source
