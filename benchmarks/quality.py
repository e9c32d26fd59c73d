"""What asking for a quality buys: tokens against so many votes, and asked against reached.

    .venv/bin/python benchmarks/quality.py recorded [--data DIR]
    .venv/bin/python benchmarks/quality.py shipped --model mull-base --level 4 --out runs/quality

Samples that were recorded once are drawn through the solver and the controller. What votes are
worth is fitted on one half of the problems of a model and judged on the other, in turn
(`recorded`), or on problems before those it is judged on (`shipped`). Intervals are 95 %, over
problems, or over runs where there are several.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

from mull.build import OpenModel, SearchPlan, SearchSettings, StrategyTable, open_model
from mull.build.controllers import FIXED
from mull.control import Agreement
from mull.core.protocols import Verifier
from mull.core.recording import Record
from mull.core.seeds import derive_seed
from mull.core.solution import Solution
from mull.core.spec import Option, Spec
from mull.evaluation import ProblemSet
from mull.evaluation.agreement import ballots_of, fit
from mull.evaluation.graded import record
from mull.evaluation.intervals import Interval, mean_intervals, paired_interval
from mull.evaluation.journal import NoJournal
from mull.evaluation.recorded.measures import MAX_TOKENS, draw, is_right
from mull.evaluation.recorded.selection import shuffled
from mull.policies.replay import ReplayPolicy
from mull.tasks.recorded import READERS, RecordedProblem, RecordedSet, rows_of
from mull.tasks.recorded.epoch import read_runs
from mull.verifiers import CountdownChecker

QUALITIES: Final = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
BINS: Final = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One solve."""

    run: int
    problem: int
    right: float
    tokens: float
    draws: int
    confidence: float | None
    is_met: bool | None


@dataclass(frozen=True, slots=True)
class Arm:
    """How a set is solved."""

    name: str
    strategy: Spec
    controller: Spec = FIXED
    verifiers: tuple[Verifier, ...] = ()

    async def outcomes(self, run: int, recorded: RecordedSet, first: int = 0) -> list[Outcome]:
        """Every problem of a set, solved."""
        model = OpenModel.own(ReplayPolicy(recorded.recording()))
        plan = SearchPlan(
            self.strategy, StrategyTable(), self.verifiers, controller=self.controller
        )
        solver, found = plan.solver(model, NoJournal()), list[Outcome]()
        for number, problem in enumerate(recorded.problems):
            solution = await solver.solve(problem.example.problem)
            found.append(_outcome(run, first + number, recorded, problem, solution))
        return found


def _outcome(
    run: int, number: int, recorded: RecordedSet, problem: RecordedProblem, solution: Solution
) -> Outcome:
    tree = solution.tree
    chosen = (
        node.id
        for node in tree.finished()
        if solution.answer is not None and tree.trajectory(node.id) == solution.trajectory
    )
    node_id = next(chosen, None)
    right = node_id is not None and is_right(recorded, problem, tree, node_id)
    usage = solution.usage
    return Outcome(
        run,
        number,
        float(right),
        usage.completion_tokens,
        usage.calls,
        solution.confidence,
        solution.is_met,
    )


def votes(n: int) -> Spec:
    """The fixed arm's strategy, and that which the controller draws by."""
    return Spec("self_consistency", {"n": n, "max_tokens": MAX_TOKENS})


def wanting(quality: float, agreement: Agreement | None, width: int = 1) -> Spec:
    """A controller."""
    options: dict[str, Option] = {"quality": quality, "width": width}
    if agreement is not None:
        options |= {each.name: getattr(agreement, each.name) for each in fields(agreement)}
    return Spec("quality", options)


# Recorded samples of others


async def recorded(data: Path, orders: int) -> None:
    """The table of every recorded set that has enough samples a problem."""
    for title, sets, n in _epoch(data):
        fixed = [Arm(f"vote of {n}", votes(n))]
        whole = await _over(sets, fixed, orders)
        asked = dict[str, list[Outcome]]()
        for quality in QUALITIES[1:]:
            asked[f"quality {quality:g}"] = await _halves(sets, quality, n, orders)
        for quality in (0.9, 0.95):
            arm = Arm("", votes(n), wanting(quality, None))
            found = await _over(sets, [arm], orders)
            asked[f"agreement {quality:g}, votes worth unknown"] = found[""]
        show(f"{title}: {len(sets)} runs", whole | asked, base=fixed[0].name)


def _epoch(data: Path) -> Iterable[tuple[str, list[RecordedSet], int]]:
    rows = rows_of(data, "epoch_frontier_samples")
    runs = read_runs(rows)
    kept = {f"{each.benchmark} {each.run}": each for each in runs.values() if each.has_answers}
    sets = [each for each in READERS["epoch_frontier_samples"](rows) if each.name in kept]
    for benchmark, epochs in (("otis", 8), ("otis", 16), ("gpqa", 8)):
        wanted = [
            each
            for each in sets
            if kept[each.name].benchmark == benchmark and kept[each.name].epochs == str(epochs)
        ]
        yield f"{benchmark}, {epochs} samples a problem", wanted, epochs


async def _over(
    sets: Sequence[RecordedSet], arms: Sequence[Arm], orders: int
) -> dict[str, list[Outcome]]:
    found = {arm.name: list[Outcome]() for arm in arms}
    for run, each in enumerate(sets):
        for order in range(orders):
            in_order = shuffled(each, derive_seed(0, "order", order))
            for arm in arms:
                found[arm.name] += await arm.outcomes(run, in_order)
    return found


async def _halves(
    sets: Sequence[RecordedSet], quality: float, n: int, orders: int
) -> list[Outcome]:
    """Each half of a run's problems, by what votes on the other half were worth."""
    found = list[Outcome]()
    for run, each in enumerate(sets):
        ballots = ballots_of(await draw(each))
        for half in (0, 1):
            agreement = fit(ballots[1 - half :: 2])
            arm = Arm("", votes(n), wanting(quality, agreement))
            for order in range(orders):
                in_order = shuffled(each, derive_seed(0, "order", order))
                problems = in_order.problems[half::2]
                part = replace(in_order, problems=problems)
                found += await arm.outcomes(run, part, first=10_000 * half)
    return found


# Samples of a shipped model


async def shipped(model: str, level: int, count: int, n: int, out: Path) -> None:
    """Votes, and checked answers, of a shipped model on problems it was not fitted on."""
    before = await _bank(model, level, range(count), n, out)
    after = await _bank(model, level, range(count, 2 * count), n, out)
    agreement = fit(ballots_of(await draw(before)))
    sys.stdout.write(f"fitted on {len(before.problems)} problems: {agreement}\n")
    checker = CountdownChecker()
    checked: dict[str, Option] = {
        "n": n,
        "verifier": checker.source.verifier,
        "max_tokens": MAX_TOKENS,
    }
    arms = [
        *(Arm(f"vote of {k}", votes(k)) for k in (4, 8, 16, n)),
        *(
            Arm(f"quality {quality:g}", votes(n), wanting(quality, agreement))
            for quality in QUALITIES
        ),
        Arm("agreement 0.95, votes worth unknown", votes(n), wanting(0.95, None)),
    ]
    show(
        f"{model}, {level} numbers, no checker: {len(after.problems)} problems",
        await _over([after], arms, 1),
        base=f"vote of {n}",
    )
    arms = [
        Arm(f"best of {n}, checked", Spec("best_of_n", checked), verifiers=(checker,)),
        Arm(
            f"early stop, {n} at most",
            Spec("early_stop", {**checked, "width": 4}),
            verifiers=(checker,),
        ),
        Arm(
            "quality 0.95, checked", Spec("best_of_n", checked), wanting(0.95, None, 4), (checker,)
        ),
    ]
    show(
        f"{model}, {level} numbers, checked",
        await _over([after], arms, 1),
        base=f"best of {n}, checked",
    )


async def _bank(model: str, level: int, problems: range, n: int, out: Path) -> RecordedSet:
    """Samples of held-out problems, graded; drawn once."""
    skip, count = problems.start, len(problems)
    examples = ProblemSet("countdown", None, level, count, skip=skip).examples()
    path = out / f"{Path(model).name}-{level}-{skip}-{count}-{n}.json"
    if not path.exists():
        async with open_model(model) as opened:
            drawn = await record(opened, examples, SearchSettings(n))
        rows = [
            [(each.answer, each.tokens, bool(right)) for each, right in _samples(problem)]
            for problem in drawn.problems
        ]
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"model": drawn.model, "samples": rows}), "utf-8")
    stored: Any = json.loads(path.read_text("utf-8"))
    kept = tuple(
        RecordedProblem(
            example,
            tuple(Record(example.problem.messages, "", answer, tokens=t) for answer, t, _ in row),
            tuple(bool(right) for _, _, right in row),
        )
        for example, row in zip(examples, stored["samples"], strict=True)
    )
    return RecordedSet(path.stem, stored["model"], kept)


def _samples(problem: RecordedProblem) -> Iterable[tuple[Record, bool | None]]:
    return zip(problem.records, problem.right, strict=True)


# Tables


def show(title: str, found: dict[str, list[Outcome]], *, base: str) -> None:
    """How right, how dear, and how often a claim that the quality is met was true."""
    sys.stdout.write(f"\n{title}\n\n")
    head = (
        "| arm | right | against the first | draws | tokens | times fewer | met | of those right |"
    )
    sys.stdout.write(f"{head}\n|---|---:|---:|---:|---:|---:|---:|---:|\n")
    first = _units(found[base])
    for name, outcomes in found.items():
        units = _units(outcomes)
        cells = [
            percent(mean_intervals(100 * units[:, :1])[0]),
            "" if name == base else percent(mean_intervals(100 * (units - first)[:, :1])[0]),
            f"{fmean(each.draws for each in outcomes):.1f}",
            f"{units[:, 1].mean():,.0f}",
            "" if name == base else _saved(units, first),
            *_met(outcomes),
        ]
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")
    told = [each for name, many in found.items() if name.startswith("quality") for each in many]
    _reliability([each for each in told if each.confidence is not None])


def _saved(units: np.ndarray[Any, Any], first: np.ndarray[Any, Any]) -> str:
    if not first[:, 1].any():  # nobody recorded them
        return ""
    both = np.column_stack([units[:, 1], first[:, 1]])
    found = paired_interval(both, lambda means: means[:, 1] / means[:, 0])
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _units(outcomes: Sequence[Outcome]) -> np.ndarray[Any, Any]:
    """What is resampled: runs where there are several, else problems. Right and tokens of each."""
    by_run = len({each.run for each in outcomes}) > 1
    groups = dict[int, list[Outcome]]()
    for each in outcomes:
        groups.setdefault(each.run if by_run else each.problem, []).append(each)
    return np.array(
        [
            [fmean(each.right for each in group), fmean(each.tokens for each in group)]
            for _, group in sorted(groups.items())
        ]
    )


def _met(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    met = [each for each in outcomes if each.is_met]
    if not met:
        return "", ""
    return f"{len(met) / len(outcomes):.1%}", percent(_right(met))


def _right(outcomes: Sequence[Outcome]) -> Interval:
    """In percent; a problem that was solved in several orders is one."""
    groups = dict[tuple[int, int], list[float]]()
    for each in outcomes:
        groups.setdefault((each.run, each.problem), []).append(each.right)
    return mean_intervals(100 * np.array([[fmean(group)] for group in groups.values()]))[0]


def _reliability(told: Sequence[Outcome]) -> None:
    if not told:
        return
    sys.stdout.write("\n| confidence | solves | mean | right |\n|---|---:|---:|---:|\n")
    for low, high in pairwise(BINS):
        held = [each for each in told if low <= (each.confidence or 0.0) < high]
        if held:
            mean = 100 * fmean(each.confidence or 0.0 for each in held)
            place = f"{low:g} to {high:g}"
            line = f"| {place} | {len(held):,} | {mean:.1f} % | {percent(_right(held))} |\n"
            sys.stdout.write(line)


def percent(found: Interval) -> str:
    """For a table."""
    return f"{found.value:.1f} % [{found.low:.1f}, {found.high:.1f}]"


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("recorded", "shipped"))
    default = Path(os.environ.get("MULL_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--orders", type=int, default=4)
    parser.add_argument("--model", default="mull-base")
    parser.add_argument("--level", type=int, default=4)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    given = parser.parse_args()
    if given.what == "recorded":
        asyncio.run(recorded(given.data, given.orders))
    else:
        asyncio.run(shipped(given.model, given.level, given.count, given.n, given.out))


if __name__ == "__main__":
    main()
