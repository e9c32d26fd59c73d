"""Repeated runs of frontier models: `epoch_frontier_samples`."""

from collections.abc import Sequence

import numpy as np

from mull.evaluation.intervals import Interval, mean_intervals
from mull.evaluation.recorded.lines import Line, count
from mull.evaluation.recorded.measures import Values, any_sample, draw, one_sample
from mull.tasks.recorded import RecordedSet, Rows
from mull.tasks.recorded.epoch import RunRow, read_epoch, read_runs

CLOSE: float = 0.006
"""The published scores have two decimals; beyond this a recomputed one is another number."""

_GROUPS: dict[tuple[str, str], tuple[str, str, str, str]] = {
    ("otis", "8"): ("18", "70.0", "74.4", "78.4"),
    ("otis", "16"): ("7", "7.1", "11.4", "29.2"),
    ("gpqa", "8"): ("20", "85.2", "86.6", "94.4"),
}
"""Stated of the runs with answers: how many they are, one sample, majority, any."""


async def epoch(rows: Rows, *, benchmarks: Sequence[str] = ("otis", "gpqa")) -> list[Line]:
    """Accuracy of every run against what was published; votes in the runs that kept answers.

    The majority's answer (first of ties, in the order of epochs) is compared with the target: the
    verdicts of some samples contradict their own answers.
    """
    runs = read_runs(rows)
    groups = dict[tuple[str, str], list[tuple[Values, Values, Values]]]()
    num_runs = num_close = 0
    for recorded in read_epoch(rows):
        run = runs[recorded.name.partition(" ")[2]]
        num_runs += 1
        num_close += _is_close(run, recorded)
        key = run.benchmark, run.epochs
        if run.has_answers and key in _GROUPS and run.benchmark in benchmarks:
            votes = (await draw(recorded)).votes()
            groups.setdefault(key, []).append((one_sample(recorded), votes, any_sample(recorded)))
    lines = [
        Line("all", "runs", count(num_runs), "76"),
        Line("all", f"of them within {CLOSE} of the published score", count(num_close), "74"),
    ]
    for key, found in groups.items():
        stated, part = _GROUPS[key], "-".join(key)
        lines.append(Line(part, "runs with answers", count(len(found)), stated[0]))
        for column, measure in enumerate(("one sample", "majority, first of ties", "any")):
            mean = _over_runs([values[column] for values in found])
            lines.append(Line(part, measure, mean, stated[column + 1]))
    return lines


def _is_close(run: RunRow, recorded: RecordedSet) -> bool:
    """A sample that failed counts as wrong."""
    values = one_sample(recorded)
    accuracy = sum(values) / len(values)
    return any(abs(accuracy - published) <= CLOSE for published in run.published)


def _over_runs(runs: Sequence[Values]) -> Interval:
    """Runs weigh alike; the interval is over runs."""
    means = np.array([[100 * sum(values) / len(values)] for values in runs])
    (found,) = mean_intervals(means)
    return found
