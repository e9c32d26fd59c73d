"""One evaluation from its configuration to its report."""

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mull.build import (
    OpenModel,
    StrategyTable,
    answer_keys,
    close_verifiers,
    find_verifier,
    open_model,
    open_verifiers,
)
from mull.build.judging import AUTO
from mull.core.expansion import Expansion
from mull.core.problem import Problem
from mull.core.protocols import Verifier
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.engine import Dtype
from mull.evaluation.arms import Arm
from mull.evaluation.bank import Bank
from mull.evaluation.config import EvalConfig
from mull.evaluation.grading import Grading
from mull.evaluation.judges import Evidence, Judgement
from mull.evaluation.reading import Grades
from mull.evaluation.report import Report
from mull.evaluation.results import RunDirectory, run_directory, writable
from mull.evaluation.runner import DEFAULT_ROWS, Progress, Runner, verifier_named
from mull.evaluation.sheets import sheets_of
from mull.tasks import Example

SUMMARY: Final = "summary.json"
PAGE: Final = "report.html"
FIGURE: Final = "figure.svg"
BANK: Final = "bank"
_NO_TREE: Final = SearchTree(Problem.of("?"), "", 0)
"""What a strategy that draws whole answers asks of it, it asks of every problem."""

KV_BYTES: Final = 6 << 30
"""Of one engine: room for the trees of all searches that run at once, so that what an arm costs
does not depend on how many stand beside it. Only what is used is taken."""

ModelOpener = Callable[[str, Dtype, int], AbstractAsyncContextManager[OpenModel]]
"""From a name, a numerical format and the branches that are to grow at once."""


def open_here(
    name: str, dtype: Dtype, rows: int, *, device: str = "cpu"
) -> AbstractAsyncContextManager[OpenModel]:
    """The opener of models on this machine."""
    return open_model(name, device=device, dtype=dtype, max_rows=rows, max_kv_bytes=KV_BYTES)


@dataclass(frozen=True, slots=True)
class Bench:
    """What an evaluation runs on. Nothing here changes what it finds, only how long it takes."""

    verifiers: Sequence[Verifier] = ()
    """Those that arms may name."""
    open_model: ModelOpener = open_here
    rows: int = DEFAULT_ROWS
    """Branches that each worker grows at once."""
    workers: int = 1
    """Processes that run a model, each with its own copy."""
    bank: Path | None = None
    """Where rollouts are kept, for other evaluations too; None: in the run's own directory."""


def watch_nothing(stage: str, done: int, total: int) -> None:
    """The watcher that does not look."""


async def evaluate(
    config: EvalConfig,
    path: Path,
    *,
    bench: Bench | None = None,
    watcher: Progress = watch_nothing,
    command: str = "",
) -> Report:
    """Do what is missing of an evaluation, and write its report.

    `path` gets `results.jsonl` (one line an arm, budget, problem and seed), `summary.json`,
    `figure.svg` and `report.html`. Run again with the same arguments, it continues; models are
    opened only where something is missing. Raises BadInputError for a directory that is not this
    evaluation's, UnknownNameError for a verifier that the bench does not have.
    """
    bench = bench or Bench()
    examples = config.problems.examples()
    with run_directory(path, config) as directory:
        async with Grading() as grading:
            try:
                for model in config.models:
                    _claim_verifiers(directory, config.arms(model), bench)
                    runner = Runner(
                        directory, examples, bench.verifiers, answer_keys(), grading, watcher,
                        rows=bench.rows,
                    )  # fmt: skip
                    await _measure(runner, model, bench)
            finally:
                await close_verifiers(bench.verifiers)
            judgements = await _judgements(directory, examples, bench, grading)
        sheets = sheets_of(config, examples, directory.results)
        report = Report.of(
            config,
            directory.sources,
            sheets,
            examples=examples,
            judgements=judgements,
            command=command,
        )
    write_report(report, path)
    return report


def write_report(report: Report, path: Path) -> None:
    """Write the report in its three forms. StoreError if the directory cannot be written."""
    summary = json.dumps(report.to_json(), indent=2) + "\n"
    with writable(path):
        for name, content in ((SUMMARY, summary), (FIGURE, report.figure()), (PAGE, report.html())):
            (path / name).write_text(content, encoding="utf-8")


def _claim_verifiers(directory: RunDirectory, arms: Sequence[Arm], bench: Bench) -> None:
    for name in dict.fromkeys(judge for arm in arms for judge in arm.judges):
        source = verifier_named(bench.verifiers, name).source
        directory.claim(source.verifier, str(source))


async def _measure(runner: Runner, model: str, bench: Bench) -> None:
    """All arms of one model: the replayed ones first, then the others, cheap budgets first."""
    config = runner.directory.config
    arms = config.arms(model)
    groups = _by_rollouts(config, [arm for arm in arms if arm.rule.is_replayed])
    searches = [
        (budget, arm)
        for arm in arms
        if not arm.rule.is_replayed
        for budget in config.budgets_of(arm)
        if runner.missing(arm, budget)
    ]
    replays = [group for group in groups if runner.missing_replays(group)]
    if not (searches or replays):
        return
    await runner.grading.prepare(runner.examples)
    await open_verifiers(runner.verifiers)
    async with _workers(runner.directory, model, bench) as workers:
        for group in replays:
            await _replay(runner, group, workers, bench)
        for budget, arm in sorted(searches, key=lambda each: each[0]):
            await runner.search(arm, budget, workers)


@asynccontextmanager
async def _workers(
    directory: RunDirectory, model: str, bench: Bench
) -> AsyncGenerator[Sequence[OpenModel], None]:
    """The model, opened once a worker."""
    async with AsyncExitStack() as stack:
        dtype = directory.config.dtype
        workers = [
            await stack.enter_async_context(bench.open_model(model, dtype, bench.rows))
            for _ in range(bench.workers)
        ]
        directory.claim(model, workers[0].policy.capabilities.model)
        yield workers


async def _replay(
    runner: Runner, arms: Sequence[Arm], workers: Sequence[OpenModel], bench: Bench
) -> None:
    """Record what these arms need of one bank, then measure them on it."""
    bank = _bank(runner.directory, arms[0], bench)
    units = runner.missing_replays(arms)
    await runner.fill(bank, units, workers)
    for name in dict.fromkeys(judge for arm in arms for judge in arm.judges):
        await runner.judge(bank, verifier_named(runner.verifiers, name), units)
    await runner.replay(bank, arms, units)


async def _judgements(
    directory: RunDirectory, examples: Sequence[Example], bench: Bench, grading: Grading
) -> tuple[Judgement, ...]:
    """How good the judges of the replayed arms are that may err."""
    config, evidence = directory.config, Evidence()
    exact = find_verifier(AUTO, examples[0].problem.answer_kind)
    sure = None if exact is None else exact.source.verifier
    replayed = [
        arm for model in config.models for arm in config.arms(model) if arm.rule.is_replayed
    ]
    for arms in _by_rollouts(config, replayed):
        names = {name for arm in arms for name in arm.judges} - {sure}
        sources = [verifier_named(bench.verifiers, name).source for name in sorted(names)]
        bank = _bank(directory, arms[0], bench)
        for example in examples if sources else ():
            grades = Grades(example, grading)
            for seed in config.seeds_of(arms[0]):
                await evidence.add(bank.record(example.problem, seed, sources), grades)
    return evidence.judgements()


def _bank(directory: RunDirectory, arm: Arm, bench: Bench) -> Bank:
    """Where the rollouts of an arm are kept. Its model is known by now."""
    asked = rollout_asked(directory.config, arm)
    root = bench.bank or directory.path / BANK
    return Bank.under(root, directory.sources[arm.model], asked)


def _by_rollouts(config: EvalConfig, arms: Sequence[Arm]) -> list[list[Arm]]:
    """Arms that can be measured on the same rollouts."""
    groups = dict[tuple[str, str], list[Arm]]()
    for arm in arms:
        groups.setdefault((arm.model, rollout_asked(config, arm).asked), []).append(arm)
    return list(groups.values())


def rollout_asked(config: EvalConfig, arm: Arm) -> Expansion:
    """What each rollout of a replayed arm answers."""
    (whole,) = StrategyTable()(config.spec(arm, 1)).ask(_NO_TREE, Headroom()).grow
    return whole
