"""Ways to choose among n recorded samples, at equal n and so at equal cost.

    .venv/bin/python benchmarks/selection.py [NAME...] [--data DIR] [--orders 20] [--seed 0]

NAME is `qwen_math_rm8` (one model, eight solutions with rewards), `epoch_frontier_samples` (runs of
8 or 16 samples of OTIS Mock AIME) or `zeroeval_multimodel` (GSM8K, each sample by another model).
Percent right with 95 % intervals: over problems, or over runs where there are several.
`any` is what no choice can pass.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mull.evaluation.intervals import Interval
from mull.evaluation.recorded.answers import graded
from mull.evaluation.recorded.selection import ANY, choices, intervals, together, tokens_of
from mull.search import STRATEGIES
from mull.tasks.recorded import READERS, RecordedSet, rows_of
from mull.tasks.recorded.epoch import read_runs

SCORED = [each for each in ("weighted_best_of_n", "best_of_n") if each in STRATEGIES]
"""Strategies that read the recorded rewards."""


def sets_of(data: Path, name: str) -> list[tuple[str, list[RecordedSet], tuple[int, ...]]]:
    """Title, sets and sample counts of every table of a data set."""
    rows = rows_of(data, name)
    if name == "epoch_frontier_samples":
        return _epoch(data)
    sets = list(READERS[name](rows))
    if name == "zeroeval_multimodel":
        models = [graded(each) for each in sets if each.name.startswith("gsm ")]
        return [("GSM8K, models in turn", [together("gsm", models)], (1, 3, 5, 9, 17, len(models)))]
    return [("MATH, Qwen2.5-Math", sets, (1, 2, 4, 8))]


def _epoch(data: Path) -> list[tuple[str, list[RecordedSet], tuple[int, ...]]]:
    rows = rows_of(data, "epoch_frontier_samples")
    runs = read_runs(rows)
    wanted = {
        f"otis {run.run}": run.epochs
        for run in runs.values()
        if run.benchmark == "otis" and run.has_answers
    }
    sets = [each for each in READERS["epoch_frontier_samples"](rows) if each.name in wanted]
    return [
        (f"OTIS, runs of {n}", [each for each in sets if wanted[each.name] == str(n)], ns)
        for n, ns in ((8, (1, 2, 4, 8)), (16, (1, 2, 4, 8, 16)))
    ]


async def show(
    title: str, sets: Sequence[RecordedSet], ns: Sequence[int], orders: int, seed: int
) -> None:
    """Draw one table."""
    scored = any(record.score for record in sets[0].problems[0].records)
    strategies = ["self_consistency", *(SCORED if scored else [])]
    found = [await choices(each, strategies, ns, orders=orders, seed=seed) for each in sets]
    table = intervals(found)
    counted = [tokens for tokens in map(tokens_of, sets) if tokens]
    lines = [f"{title}: {len(sets)} sets, {len(sets[0].problems)} problems, {orders} orders"]
    lines.append(f"{'':20}" + "".join(f"{f'n = {n}':>20}" for n in ns))
    lines += [
        f"{strategy:20}" + "".join(f"{_cell(table[strategy, n]):>20}" for n in ns)
        for strategy in (*strategies, ANY)
    ]
    if counted:
        mean = sum(counted) / len(counted)
        lines.append(f"{'tokens a problem':20}" + "".join(f"{n * mean:20.0f}" for n in ns))
        lines.append(f"(tokens were recorded in {len(counted)} of {len(sets)} sets)")
    sys.stdout.write("\n".join(lines) + "\n\n")


def _cell(value: Interval) -> str:
    return f"{value.value:.1f} ({value.low:.1f}-{value.high:.1f})"


def main() -> None:
    """Print the tables that were asked for."""
    names = ("qwen_math_rm8", "epoch_frontier_samples", "zeroeval_multimodel")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    default = Path(os.environ.get("MULL_DATA", "../shared/data"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.names or names:
        for title, sets, ns in sets_of(arguments.data, name):
            asyncio.run(show(title, sets, ns, arguments.orders, arguments.seed))


if __name__ == "__main__":
    main()
