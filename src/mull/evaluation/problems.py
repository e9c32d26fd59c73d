"""Which problems are evaluated."""

from dataclasses import dataclass
from typing import Final

from mull.core.errors import BadInputError
from mull.tasks import Example, generate, suite_named, task_named

GAME_LEVEL: Final = 4
"""Numbers in every problem of the suites."""


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """A fixed suite, or generated held-out problems of one level."""

    task: str
    suite: str | None = None
    """A name of `SUITES`; None for generated problems."""
    level: int | None = None
    """For generated problems."""
    count: int | None = None
    """The first so many; None: the whole suite, or 100 generated problems."""
    seed: int = 0
    """Of the generator; suites have none."""

    def __post_init__(self) -> None:
        task_named(self.task)
        if (self.suite is None) == (self.level is None):
            raise BadInputError(
                "problems come either from a suite or from a level",
                hint="give `--suite NAME` or `--level NUMBER`, one of them",
            )
        if self.count is not None and self.count < 1:
            raise BadInputError(f"`count` is {self.count}; it must be at least 1")

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"{self.task} {self.suite or f'level {self.level}'}"

    @property
    def depth(self) -> int:
        """About how many steps a sample takes: one fewer than a puzzle has numbers or terms."""
        return max(1, (self.level or GAME_LEVEL) - 1)

    def examples(self) -> list[Example]:
        """The problems with their references, in a fixed order.

        Raises UnknownNameError or BadInputError for a suite, level or count that cannot be had.
        """
        if self.suite is None:
            return generate(self.task, self.level or 0, self.count or 100, self.seed, "test")
        examples = suite_named(self.suite)
        if any(example.task != self.task for example in examples):
            raise BadInputError(
                f"suite `{self.suite}` holds no `{self.task}` problems",
                hint=f"it belongs to task `{examples[0].task}`",
            )
        if self.count is not None and self.count > len(examples):
            raise BadInputError(
                f"suite `{self.suite}` has {len(examples)} problems, fewer than {self.count}"
            )
        return examples[: self.count]
