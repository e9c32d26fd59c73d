"""Which problems are evaluated."""

from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from random import Random
from typing import Final

from mull.core.digest import content_digest
from mull.core.errors import BadInputError
from mull.core.problem import AnswerKind
from mull.tasks import (
    TASKS,
    Example,
    generate,
    is_task_file,
    rare_countdowns,
    read_examples,
    suite_named,
    task_named,
)
from mull.verifiers.code import cases_in

_LOG: Final = getLogger(__name__)
_SHOWN: Final = 5
"""Bad lines of a file that are named one by one; the rest are counted."""
GAME_LEVEL: Final = 4
"""Numbers in every problem of the suites."""


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """A fixed suite, generated held-out problems of one level, or a file of JSON lines."""

    task: str
    """A name of `TASKS`, or a file."""
    suite: str | None = None
    """A name of `SUITES`; None for generated problems."""
    level: int | None = None
    """For generated problems."""
    count: int | None = None
    """The first so many; None: the whole suite, or 100 generated problems."""
    seed: int = 0
    """Of the generator; suites have none."""
    digest: str = ""
    """Of the file's content: a file that was changed is another task."""
    skip: int = 0
    """Problems to leave out from the start: sets that follow one another have none in common."""
    rarity: int = 0
    """Of generated countdown only problems that blind play solves at most once in so many walks, so
    that they are hard whichever model is asked."""

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise BadInputError(f"`count` is {self.count}; it must be at least 1")
        if self.skip < 0:
            raise BadInputError(f"`skip` is {self.skip}; it must be at least 0")
        if self.rarity < 0:
            raise BadInputError(f"`rarity` is {self.rarity}; it must be at least 0")
        if self.rarity and (self.task != "countdown" or self.level is None):
            raise BadInputError("only generated countdown problems are known to be rare")
        if self.is_file:
            self._look_at_file()
            return
        if "." in self.task or "/" in self.task:
            raise BadInputError(
                f"`{self.task}` is neither a task nor a file of JSON lines",
                hint=f"a file of your own ends in `.jsonl`; tasks are {', '.join(TASKS)}",
            )
        task_named(self.task)
        if (self.suite is None) == (self.level is None):
            raise BadInputError(
                "problems come either from a suite or from a level",
                hint="give `--suite NAME` or `--level NUMBER`, one of them",
            )

    def _look_at_file(self) -> None:
        if self.suite is not None or self.level is not None:
            raise BadInputError(f"`{self.task}` is a file and has neither suites nor levels")
        path = Path(self.task)
        content = path.read_bytes() if path.is_file() else b""  # reading it says what is wrong
        object.__setattr__(self, "digest", content_digest(content.decode("utf-8", "replace")))

    @property
    def is_file(self) -> bool:
        """Whether the problems are somebody's own, in a file."""
        return is_task_file(self.task)

    @property
    def answer_kind(self) -> AnswerKind:
        """Of its problems; of a file's the first one's."""
        if not self.is_file:
            task = task_named(self.task)
            return task.draw(task.levels[0], Random(0), "test").problem.answer_kind
        examples, _ = read_examples(Path(self.task))
        return examples[0].problem.answer_kind

    @property
    def name(self) -> str:
        """What a report calls it."""
        if self.is_file:
            return Path(self.task).stem
        rare = f", one walk in {self.rarity:,}" if self.rarity else ""
        return f"{self.task} {self.suite or f'level {self.level}'}{rare}"

    @property
    def depth(self) -> int:
        """About how many steps a sample takes: one fewer than a puzzle has numbers or terms."""
        return max(1, (self.level or GAME_LEVEL) - 1)

    def examples(self) -> list[Example]:
        """The problems with their references, in a fixed order.

        Raises UnknownNameError or BadInputError for a suite, level, file or count that cannot be
        had.
        """
        if self.is_file:
            examples, faults = read_examples(Path(self.task))
            for fault in faults[:_SHOWN]:
                _LOG.warning("`%s`, line %d is left out: %s", self.task, fault.line, fault.reason)
            if (num_more := len(faults) - _SHOWN) > 0:
                _LOG.warning("`%s`: %d further lines are left out", self.task, num_more)
            return self._first([*filter(self._is_usable, examples)], f"`{self.task}`")
        if self.suite is None:
            wanted = self.skip + (self.count or 100)
            return self._generated(wanted)[self.skip :]
        examples = suite_named(self.suite)
        if any(example.task != self.task for example in examples):
            raise BadInputError(
                f"suite `{self.suite}` holds no `{self.task}` problems",
                hint=f"it belongs to task `{examples[0].task}`",
            )
        return self._first(examples, f"suite `{self.suite}`")

    def _generated(self, wanted: int) -> list[Example]:
        level = self.level or 0
        if self.rarity:
            return rare_countdowns(level, wanted, self.rarity, self.seed)
        return generate(self.task, level, wanted, self.seed, "test")

    def _is_usable(self, example: Example) -> bool:
        """Whether the reference of a program holds tests; what does not is named."""
        if example.problem.answer_kind is AnswerKind.CODE:
            try:
                cases_in(example.reference)
            except BadInputError as error:
                _LOG.warning("`%s`: `%s` is left out: %s", self.task, example.id, error.message)
                return False
        return True

    def _first(self, examples: list[Example], what: str) -> list[Example]:
        wanted = self.skip + (self.count or 1)
        if wanted > len(examples):
            raise BadInputError(f"{what} has {len(examples)} problems, fewer than {wanted}")
        return examples[self.skip :][: self.count]
