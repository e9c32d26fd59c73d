"""One evaluation from its configuration to its report."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from mull.build import OpenModel, SearchPlan, StrategyTable, answer_keys, open_model
from mull.core.errors import UnknownSolveError
from mull.core.events import Event
from mull.core.protocols import SolveSummary, Verifier
from mull.core.spec import Spec
from mull.engine import Dtype
from mull.evaluation.config import Draw, EvalConfig
from mull.evaluation.curves import curves_of
from mull.evaluation.report import Report
from mull.evaluation.results import RunDirectory, run_directory, writable
from mull.evaluation.runner import DEFAULT_ROWS, Runner, missing_units
from mull.solver import Solver
from mull.tasks import Example

SUMMARY: Final = "summary.json"
PAGE: Final = "report.html"
FIGURE: Final = "figure.svg"

ModelOpener = Callable[[str, Dtype, int], AbstractAsyncContextManager[OpenModel]]
"""From a name, a numerical format and the branches that are to grow at once."""
Watcher = Callable[[Draw, int, int], None]
"""Told how many solves of a draw are done and how many there are."""


@dataclass(frozen=True, slots=True)
class NoJournal:
    """Keeps no trace: a solve that is cut off is done again, and its results are kept elsewhere."""

    async def append(self, solve_id: str, events: Sequence[Event]) -> None:
        """Forget the events."""

    async def flush(self) -> None:
        """There is nothing to wait for."""

    async def load(self, solve_id: str) -> Sequence[Event]:
        """There is nothing to load."""
        raise UnknownSolveError(f"solve `{solve_id}` was not kept")

    async def solves(self) -> Sequence[SolveSummary]:
        """None."""
        return ()


def open_here(
    name: str, dtype: Dtype, rows: int, *, device: str = "cpu"
) -> AbstractAsyncContextManager[OpenModel]:
    """The opener of models on this machine."""
    return open_model(name, device=device, dtype=dtype, max_rows=rows)


@dataclass(frozen=True, slots=True)
class Bench:
    """What an evaluation runs on."""

    verifiers: Sequence[Verifier] = ()
    """Those that arms may name."""
    open_model: ModelOpener = open_here
    rows: int = DEFAULT_ROWS
    """Branches that its policies grow at once."""


def watch_nothing(draw: Draw, done: int, total: int) -> None:
    """The watcher that does not look."""


async def evaluate(
    config: EvalConfig,
    path: Path,
    *,
    bench: Bench | None = None,
    watcher: Watcher = watch_nothing,
    command: str = "",
) -> Report:
    """Do what is missing of an evaluation, and write its report.

    `path` gets `results.jsonl` (one line an arm, problem and seed), `summary.json`, `figure.svg`
    and `report.html`. Run again with the same arguments, it continues; models are opened only where
    something is missing. Raises BadInputError for a directory that is not this evaluation's.
    """
    bench = bench or Bench()
    examples = config.problems.examples()
    with run_directory(path, config) as directory:
        for model in config.models:
            await _draw_all(directory, model, examples, bench, watcher)
        curves = curves_of(config, examples, directory.results)
        report = Report(config, directory.models, curves, command)
    write_report(report, path)
    return report


def write_report(report: Report, path: Path) -> None:
    """Write the report in its three forms. StoreError if the directory cannot be written."""
    summary = json.dumps(report.to_json(), indent=2) + "\n"
    with writable(path):
        for name, content in ((SUMMARY, summary), (FIGURE, report.figure()), (PAGE, report.html())):
            (path / name).write_text(content, encoding="utf-8")


async def _draw_all(
    directory: RunDirectory,
    model: str,
    examples: Sequence[Example],
    bench: Bench,
    watcher: Watcher,
) -> None:
    draws = directory.config.draws(model)
    if not any(missing_units(directory, draw, examples) for draw in draws):
        return
    async with bench.open_model(model, directory.config.dtype, bench.rows) as opened:
        directory.claim_model(model, opened.policy.capabilities.model)
        runner = Runner(
            directory, partial(solver_for, opened, bench.verifiers), answer_keys(), rows=bench.rows
        )
        for draw in draws:
            await runner.run(draw, examples, partial(watcher, draw))


def solver_for(model: OpenModel, verifiers: Sequence[Verifier], spec: Spec) -> Solver:
    """A solver that runs one strategy and keeps no trace."""
    wanted = spec.options.get("verifier")
    used = tuple(each for each in verifiers if each.source.verifier == wanted)
    return SearchPlan(spec, StrategyTable(), used).solver(model, NoJournal())
