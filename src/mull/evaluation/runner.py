"""Runs draws: many problems at once over one policy, so that its batches are full."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from mull.core.answers import AnswerKey
from mull.core.clock import Clock, SystemClock
from mull.core.errors import PolicyError
from mull.core.solution import Solution
from mull.core.spec import Spec
from mull.evaluation.config import Draw
from mull.evaluation.reading import Reader
from mull.evaluation.results import RunDirectory
from mull.solver import Solver
from mull.tasks import Example

DEFAULT_ROWS: Final = 512
"""Branches that grow at once in one engine."""
QUEUED_PER_ROW: Final = 2
"""Branches kept in flight for each of them, so that batches stay full while solves run dry."""
MAX_SOLVES: Final = 4_096
"""Solves at once, whatever they draw: each holds a tree in memory."""

SolverMaker = Callable[[Spec], Solver]
"""A solver that runs one strategy over the model under evaluation."""
Progress = Callable[[int, int], None]
"""Told how many solves are done and how many there are."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One solve."""

    example: Example
    seed: int


def missing_units(directory: RunDirectory, draw: Draw, examples: Sequence[Example]) -> list[Unit]:
    """The solves of a draw whose results are not on disk."""
    first = directory.config.seed
    every = (
        Unit(example, seed) for example in examples for seed in range(first, first + draw.num_seeds)
    )
    return [
        unit
        for unit in every
        if not all(directory.has((arm.name, unit.example.id, unit.seed)) for arm in draw.arms)
    ]


@dataclass(slots=True)
class Lap:
    """Time since the last lap. Owned by one run."""

    clock: Clock
    mark: float = field(init=False)

    def __post_init__(self) -> None:
        self.mark = self.clock.now()

    def seconds(self) -> float:
        """Seconds since this was last asked."""
        now = self.clock.now()
        lap, self.mark = now - self.mark, now
        return lap


@dataclass(frozen=True, slots=True)
class Runner:
    """Draws what one model is to be judged by, and puts down what it comes to."""

    directory: RunDirectory
    solver_for: SolverMaker
    answer_key: AnswerKey
    clock: Clock = SystemClock()
    rows: int = DEFAULT_ROWS
    """Branches that the policy grows at once."""

    async def run(self, draw: Draw, examples: Sequence[Example], progress: Progress) -> None:
        """Do every solve of a draw that is not done yet.

        Raises PolicyError if the model fails on any: a failed sample is no wrong answer, so nothing
        of that solve is recorded.
        """
        total = len(examples) * draw.num_seeds
        missing = missing_units(self.directory, draw, examples)
        done = _Count(total - len(missing), total, progress)
        progress(done.done, total)
        if missing:
            await self._run_all(draw, missing, done)

    async def _run_all(self, draw: Draw, units: Sequence[Unit], done: "_Count") -> None:
        reader = Reader(self.directory.config, draw, self.answer_key)
        solver, lap, queue = self.solver_for(draw.spec), Lap(self.clock), iter(units)
        wanted = ceil(QUEUED_PER_ROW * self.rows / draw.wave)
        num_solves = min(len(units), MAX_SOLVES, max(2, wanted))

        async def work(queue: Iterator[Unit]) -> None:
            for unit in queue:
                solution = await solver.solve(unit.example.problem, seed=unit.seed)
                _require_samples(solution)
                self.directory.append(reader.read(unit.example, solution, lap.seconds()))
                done.count()

        await _all(work(queue) for _ in range(num_solves))


@dataclass(slots=True)
class _Count:
    """How far a run is. Owned by that run."""

    done: int
    total: int
    progress: Progress

    def count(self) -> None:
        """One more solve is done."""
        self.done += 1
        self.progress(self.done, self.total)


def _require_samples(solution: Solution) -> None:
    failures = solution.tree.failures
    if failures:
        first = next(iter(failures.values()))
        raise PolicyError(
            f"{len(failures)} samples of one problem failed: {first.message}",
            retryable=first.retryable,
            hint="nothing of that problem was recorded; run the same command again to go on",
        )


async def _all(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all the work at once; the first error cancels the rest and is raised as it is."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
