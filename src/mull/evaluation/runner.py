"""Does the work of an evaluation: rollouts, their scores, searches, and what all of them come to.

Many problems at once over every worker, so that batches are full. Each stage does what is missing
on disk and nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final, Protocol, runtime_checkable

from mull.build import OpenModel, SearchPlan, StrategyTable
from mull.core.answers import AnswerKey
from mull.core.clock import Clock, SystemClock
from mull.core.errors import PolicyError, UnknownNameError
from mull.core.protocols import Verifier
from mull.core.score import Score
from mull.core.solution import Solution
from mull.core.spec import Spec
from mull.evaluation.arms import BEST, Arm
from mull.evaluation.bank import Bank, Record, rollouts_of
from mull.evaluation.grading import Grading
from mull.evaluation.journal import NoJournal
from mull.evaluation.reading import Grades, Judged, MemoizedKeys, read, spent_by
from mull.evaluation.results import Result, RunDirectory
from mull.solver import Solver
from mull.tasks import Example

DEFAULT_ROWS: Final = 512
"""Branches that grow at once in one engine."""
QUEUED_PER_ROW: Final = 2
"""Branches kept in flight for each of them, so that batches stay full while solves run dry."""
MAX_SOLVES: Final = 4_096
"""Solves at once, whatever they draw: each holds a tree in memory."""


@runtime_checkable
class Forgetful(Protocol):
    """A policy or verifier to which a text that it has read before costs less."""

    async def forget(self) -> None:
        """Let what is asked next cost what it costs alone."""
        ...


Progress = Callable[[str, int, int], None]
"""Told the name of a stage, how much of it is done and how much there is."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One problem with one seed."""

    example: Example
    seed: int


@dataclass(slots=True)
class Lap:
    """Time since the last lap. Owned by one stage."""

    clock: Clock
    mark: float = field(init=False)

    def __post_init__(self) -> None:
        self.mark = self.clock.now()

    def seconds(self) -> float:
        """Seconds since this was last asked."""
        now = self.clock.now()
        lap, self.mark = now - self.mark, now
        return lap


@dataclass(slots=True)
class _Count:
    """How far a stage is. Owned by that stage."""

    stage: str
    done: int
    total: int
    progress: Progress

    def __post_init__(self) -> None:
        self.progress(self.stage, self.done, self.total)

    def count(self) -> None:
        """One more is done."""
        self.done += 1
        self.progress(self.stage, self.done, self.total)


@dataclass(frozen=True, slots=True)
class Runner:
    """Measures the arms of one model."""

    directory: RunDirectory
    examples: Sequence[Example]
    verifiers: Sequence[Verifier]
    answer_key: AnswerKey
    grading: Grading
    progress: Progress
    clock: Clock = SystemClock()
    rows: int = DEFAULT_ROWS
    """Branches that one worker grows at once."""

    def missing(self, arm: Arm, budget: int) -> list[Unit]:
        """The problems on which an arm was not measured yet at a budget."""
        seeds = self.directory.config.seeds_of(arm)
        units = (Unit(example, seed) for example in self.examples for seed in seeds)
        return [
            unit
            for unit in units
            if not self.directory.has((arm.name, budget, unit.example.id, unit.seed))
        ]

    def missing_replays(self, arms: Sequence[Arm]) -> list[Unit]:
        """The problems that some replayed arm was not measured on at some budget."""
        budgets_of = self.directory.config.budgets_of
        units = {
            (unit.example.id, unit.seed): unit
            for arm in arms
            for budget in budgets_of(arm)
            for unit in self.missing(arm, budget)
        }
        return list(units.values())

    async def fill(self, bank: Bank, units: Sequence[Unit], workers: Sequence[OpenModel]) -> None:
        """Record the rollouts that a bank lacks of these problems."""
        wanted = self.directory.config.rollouts
        lacking = [unit for unit in units if bank.count(unit.example.problem, unit.seed) < wanted]
        count = _Count(
            f"{bank.name} rollouts", len(units) - len(lacking), len(units), self.progress
        )
        spec = Spec(BEST, {**bank.options, "n": wanted})
        lap = Lap(self.clock)

        async def keep(unit: Unit, solution: Solution) -> None:
            rollouts = rollouts_of(solution.tree, lap.seconds())
            bank.add(unit.example.problem, unit.seed, rollouts)
            count.count()

        await self._solve_all(spec, lacking, workers, wanted, keep)

    async def judge(self, bank: Bank, verifier: Verifier, units: Sequence[Unit]) -> None:
        """Record what a verifier thinks of the rollouts of these problems."""
        source = verifier.source
        await _forget([verifier])
        stage = _Count(f"{source.verifier} scores", 0, len(units), self.progress)
        for unit in units:
            problem, seed = unit.example.problem, unit.seed
            record = bank.record(problem, seed)
            if len(bank.judged(problem, seed, source)) < len(record.rollouts):
                scores = await scores_of(record, verifier, self.clock)
                bank.judge(problem, seed, source, scores)
            stage.count()
            await asyncio.sleep(0)

    async def replay(self, bank: Bank, arms: Sequence[Arm], units: Sequence[Unit]) -> None:
        """Measure arms on recorded rollouts, at every budget, without asking the model."""
        names = {name for arm in arms for name in arm.judges}
        sources = [each.source for each in self.verifiers if each.source.verifier in names]
        stage = _Count(f"{arms[0].model} replays", 0, len(units), self.progress)
        for unit in units:
            record = bank.record(unit.example.problem, unit.seed, sources)
            results = await self._replayed(record, arms, unit)
            self.directory.append(results)
            stage.count()
            await asyncio.sleep(0)

    async def _replayed(self, record: Record, arms: Sequence[Arm], unit: Unit) -> list[Result]:
        config, results = self.directory.config, list[Result]()
        grades, keys = Grades(unit.example, self.grading), MemoizedKeys(self.answer_key)
        for arm in arms:
            for budget in config.budgets_of(arm):
                if self.directory.has((arm.name, budget, unit.example.id, unit.seed)):
                    continue
                strategy = StrategyTable(answer_key=keys)(config.spec(arm, budget))
                tree, stop = record.replay(strategy)
                judged = Judged(tree, strategy.select(tree), stop, spent_by(tree))
                results.append(await read(arm, budget, judged, grades))
        return results

    async def search(self, arm: Arm, budget: int, workers: Sequence[OpenModel]) -> None:
        """Run an arm at one budget on every problem it was not measured on yet."""
        units = self.missing(arm, budget)
        total = len(self.examples) * len(self.directory.config.seeds_of(arm))
        stage = arm.label if arm.rule.has_one_budget else f"{arm.label} at {budget}"
        count = _Count(stage, total - len(units), total, self.progress)
        spec, lap = self.directory.config.spec(arm, budget), Lap(self.clock)
        strategy = StrategyTable(answer_key=self.answer_key)(spec)

        async def keep(unit: Unit, solution: Solution) -> None:
            spent = replace(solution.usage, seconds=lap.seconds())
            judged = Judged(solution.tree, strategy.select(solution.tree), solution.stop, spent)
            grades = Grades(unit.example, self.grading)
            self.directory.append([await read(arm, budget, judged, grades)])
            count.count()

        await self._solve_all(spec, units, workers, budget, keep)

    async def _solve_all(
        self,
        spec: Spec,
        units: Sequence[Unit],
        workers: Sequence[OpenModel],
        wave: int,
        keep: Callable[[Unit, Solution], Awaitable[None]],
    ) -> None:
        """Solve every problem once; `wave` branches of a solve are in flight at a time.

        Raises PolicyError if the model fails on any: a failed sample is no wrong answer, so nothing
        of that solve is kept.
        """
        # What an arm costs must not depend on which arms were measured before it.
        await _forget([*(worker.policy for worker in workers), *self.verifiers])
        queue = iter(units)
        each = ceil(QUEUED_PER_ROW * self.rows / wave)
        num_solves = min(ceil(len(units) / len(workers)), MAX_SOLVES, max(2, each))

        async def work(solver: Solver, queue: Iterator[Unit]) -> None:
            for unit in queue:
                solution = await solver.solve(unit.example.problem, seed=unit.seed)
                _require_samples(solution)
                await keep(unit, solution)

        solvers = [solver_for(worker, self.verifiers, spec) for worker in workers]
        await _all(work(solver, queue) for solver in solvers for _ in range(num_solves))


def solver_for(model: OpenModel, verifiers: Sequence[Verifier], spec: Spec) -> Solver:
    """A solver that runs one strategy and keeps no trace."""
    named = (spec.options.get("verifier"), spec.options.get("guide"))
    used = tuple(each for each in verifiers if each.source.verifier in named)
    return SearchPlan(spec, StrategyTable(), used).solver(model, NoJournal())


async def scores_of(record: Record, verifier: Verifier, clock: Clock) -> list[Score | None]:
    """A verifier's score of every finished rollout.

    They are judged in one call, in order: a verifier that reads equal paths once charges the first
    of them, which is part of every smaller draw that has any.
    """
    finished = [place for place, each in enumerate(record.rollouts) if each.is_finished]
    start = clock.now()
    scores = await verifier.score([record.trajectory(place) for place in finished])
    seconds = (clock.now() - start) / max(1, len(finished))
    by_place = dict(zip(finished, scores, strict=True))
    timed = {
        place: replace(score, usage=replace(score.usage, seconds=seconds))
        for place, score in by_place.items()
    }
    return [timed.get(place) for place in range(len(record.rollouts))]


async def _forget(parts: Iterable[object]) -> None:
    for each in parts:
        if isinstance(each, Forgetful):
            await each.forget()


def verifier_named(verifiers: Sequence[Verifier], name: str) -> Verifier:
    """The verifier that speaks under this name; UnknownNameError if none does."""
    for verifier in verifiers:
        if verifier.source.verifier == name:
            return verifier
    raise UnknownNameError("verifier", name, [each.source.verifier for each in verifiers])


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
