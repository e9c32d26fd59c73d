"""Programs: `codet_humaneval` and `cruxeval_codellama7b`."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from math import prod

from mull.evaluation.intervals import Interval
from mull.evaluation.recorded.lines import Line
from mull.evaluation.recorded.measures import any_sample, draw, one_sample, pass_at, percent
from mull.tasks import pass_at_k
from mull.tasks.recorded import RecordedProblem, RecordedSet, Rows
from mull.tasks.recorded.code import ExecutedProblem, read_cruxeval, read_executed
from mull.verifiers.consensus import agreement_scores


async def codet(rows: Rows) -> list[Line]:
    """A hundred programs a task, and the one that programs and tests agree on (CodeT).

    The score of a program is its agreement, as a share of the task's best, so that `best_of_n`
    with the recorded scores is CodeT; its pass@1 is the mean over the best group. Of k > 1 programs
    one is drawn from each of the best k groups, around again where there are fewer: the rule of the
    paper's released evaluation.
    """
    executed = list(read_executed(rows))
    problems = tuple(_with_agreement(each) for each in executed)
    recorded = RecordedSet("humaneval", "CodeGen-Mono-16B", problems)
    drawn = await draw(recorded)
    chosen = percent(drawn.best_with_ties_averaged())
    return [
        Line(recorded.name, "one sample", percent(one_sample(recorded)), "23.5", "22.1"),
        Line(recorded.name, "pass@10, unbiased", percent(pass_at(recorded, 10)), "54.2", "50.4"),
        Line(recorded.name, "any of 100", percent(any_sample(recorded)), "79.3", "73.8"),
        Line(recorded.name, "agreement, ties averaged", chosen, "39.2", "37.3"),
        Line(recorded.name, "agreement, first of ties", percent(drawn.best())),
        *(
            Line(
                recorded.name, f"one of each of the best {k} groups", _grouped(executed, k), *stated
            )
            for k, stated in ((2, ("49.0", "45.2")), (10, ("65.4", "60.1")))
        ),
    ]


def _grouped(problems: Sequence[ExecutedProblem], k: int) -> Interval:
    return percent([_any_of_best(each, k) for each in problems])


def _any_of_best(executed: ExecutedProblem, k: int) -> float:
    """Where no program passes a test: of any k different ones."""
    groups, right = groups_of(executed), executed.problem.right
    if not groups:
        return pass_at_k(len(right), sum(map(bool, right)), k)
    return any_of_best_groups(groups, k)


def groups_of(executed: ExecutedProblem) -> list[tuple[int, int]]:
    """Programs of equal agreement: how many they are and how many are right, best first.

    As in the paper's released evaluation: groups of equal score are one, and programs that pass no
    test are in none.
    """
    groups = dict[float, list[int]]()
    for number, score in enumerate(agreement_scores(executed.passed)):
        if score:
            groups.setdefault(score, []).append(number)
    right = executed.problem.right
    ranked = (groups[score] for score in sorted(groups, reverse=True))
    return [(len(group), sum(bool(right[number]) for number in group)) for group in ranked]


def any_of_best_groups(groups: Sequence[tuple[int, int]], k: int) -> float:
    """Chance that one of k programs is right, drawn in turns from the groups, best first.

    Each is drawn from its whole group, as in the released evaluation: where there are fewer groups
    than programs, one may be drawn again.
    """
    wrong = [1.0 - right / size for size, right in groups]
    return 1.0 - prod(islice(cycle(wrong), k))


def _with_agreement(executed: ExecutedProblem) -> RecordedProblem:
    scores = agreement_scores(executed.passed)
    best = max(scores) or 1.0
    records = tuple(
        replace(record, score=score / best)
        for record, score in zip(executed.problem.records, scores, strict=True)
    )
    return replace(executed.problem, records=records)


async def cruxeval(rows: Rows) -> list[Line]:
    """Ten predictions a function, of an input and of an output."""
    lines = list[Line]()
    whole = {"input": ("35.95", "44.99"), "output": ("34.21", "40.29")}
    for recorded in read_cruxeval(rows):
        drawn, (one, five) = await draw(recorded), whole[recorded.name]
        lines += [
            Line(recorded.name, "pass@1, unbiased", percent(pass_at(recorded, 1)), whole=one),
            Line(recorded.name, "pass@5, unbiased", percent(pass_at(recorded, 5)), whole=five),
            Line(recorded.name, "vote of 10, as text", percent(drawn.votes())),
        ]
    return lines
