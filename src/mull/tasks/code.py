"""Small programming problems: one function on a list of whole numbers, made of simple operations.

The generator's own implementation is a chain of Python functions, never text. The statement shows a
few calls with their values; the reference holds hidden ones as `assert` lines, which only a grader
sees. Calls are drawn from the function's words, so that one function is one problem.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final

from mull.core.errors import BadInputError
from mull.core.problem import AnswerKind, Problem
from mull.core.seeds import derive_seed
from mull.tasks.example import Example, Form
from mull.tasks.split import Split, in_held_out_bucket

LEVELS: Final = range(2, 6)
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


def _with(k: int) -> tuple[Operation, ...]:
    """The operations that a number is part of."""
    return (
        Operation(f"add {k} to every number", f"[x + {k} for x in xs]",
                  lambda xs: [x + k for x in xs]),
        Operation(f"multiply every number by {k}", f"[{k} * x for x in xs]",
                  lambda xs: [k * x for x in xs]),
        Operation(f"keep only the numbers greater than {k}", f"[x for x in xs if x > {k}]",
                  lambda xs: [x for x in xs if x > k]),
        Operation(f"keep only the numbers that are divisible by {k}",
                  f"[x for x in xs if x % {k} == 0]", lambda xs: [x for x in xs if x % k == 0]),
        Operation(f"drop the first {k} numbers, or all if there are fewer", f"xs[{k}:]",
                  lambda xs: xs[k:]),
    )  # fmt: skip


OPERATIONS: Final = (
    Operation("reverse the list", "xs[::-1]", lambda xs: xs[::-1]),
    Operation("sort it in ascending order", "sorted(xs)", sorted),
    Operation("keep only the positive numbers", "[x for x in xs if x > 0]",
              lambda xs: [x for x in xs if x > 0]),
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
    *(operation for number in range(2, 8) for operation in _with(number)),
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


def draw(level: int, rng: Random, split: Split) -> Example:
    """One problem; its reference has one `assert` a line."""
    while True:
        function = _function(level, rng, split)
        given = Random(derive_seed(0, "code", function.words))
        inputs = [_numbers(given) for _ in range(NUM_EXAMPLES + NUM_HIDDEN)]
        if len({str(function(numbers)) for numbers in inputs}) > NUM_EXAMPLES:
            return _example(function, inputs, level, split)


def sample_text(level: int, form: Form, rng: Random, split: Split) -> tuple[str, str]:
    """A statement and a right completion of it."""
    example = draw(level, rng, split)
    return example.problem.statement, write(example, form, rng)


def write(example: Example, form: Form, rng: Random) -> str:  # noqa: ARG001  (one way to write it)
    """A right program in a fenced block, read back from the words of the example's function.

    BadInputError for another family's example.
    """
    *steps, last = example.group.replace(", and return", ", then return").split(", then ")
    by_words = {operation.words: operation for operation in OPERATIONS}
    endings = {ending.words: ending for ending in ENDINGS}
    if last not in endings or not all(step in by_words for step in steps):
        raise BadInputError(f"example `{example.id}` states no function")
    source = Function(tuple(by_words[step] for step in steps), endings[last]).source
    return f"```python\n{source}```"


def _function(level: int, rng: Random, split: Split) -> Function:
    while True:
        operations = tuple(rng.sample(OPERATIONS, level))
        function = Function(operations, ENDINGS[int(rng.random() * len(ENDINGS))])
        if in_held_out_bucket(map(ord, function.words)) == (split == "test"):
            return function


def _numbers(rng: Random) -> Numbers:
    length = int(rng.random() * (MAX_LENGTH + 1))
    return [int(rng.random() * (2 * MAX_VALUE + 1)) - MAX_VALUE for _ in range(length)]


def _example(function: Function, inputs: list[Numbers], level: int, split: Split) -> Example:
    shown = "\n".join(f">>> solve({given})\n{function(given)}" for given in inputs[:NUM_EXAMPLES])
    statement = (
        "Write a Python function `solve(xs)` that takes a list of whole numbers and does this: "
        f"{function.words}. Answer with the function in one fenced block.\n\n{shown}"
    )
    hidden = [f"assert solve({given}) == {function(given)}" for given in inputs[NUM_EXAMPLES:]]
    metadata = {"level": str(level), "split": split, "family": "code"}
    problem = Problem.of(statement, AnswerKind.CODE, metadata)
    return Example(problem, "\n".join(hidden), "code", level, split, function.words)
