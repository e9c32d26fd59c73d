"""A report's numbers as tables of text, for the terminal, for pages and for Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mull.evaluation.curves import Curve, Point
from mull.evaluation.findings import Comparison, Rivalry, Stratum
from mull.evaluation.intervals import Interval
from mull.evaluation.judges import Judgement
from mull.evaluation.sheets import Axis

NOTHING: Final = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a title."""

    title: str
    columns: tuple[str, ...]
    """The first is text; the others are numbers."""
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """As a Markdown table under its title."""
        rule = ("---", *("---:" for _ in self.columns[1:]))
        lines = (f"| {' | '.join(cells)} |" for cells in (self.columns, rule, *self.rows))
        return "\n".join((f"### {self.title}", "", *lines, ""))


def results_table(curves: Sequence[Curve], budgets: Sequence[int]) -> Table:
    """A row an arm and budget that was asked for."""
    rows = (
        (curve.label, f"{point.n}", *_results(curve, point))
        for curve in curves
        for point in asked(curve, budgets)
    )
    columns = ("arm", "n", "solved", "95 %", "pass@n", "95 %", "tokens", "read", "MFLOPs")
    note = (
        "n is in samples' worth; tokens generated, tokens read and FLOPs are means per problem, "
        "verifiers and dropped branches included"
    )
    notes = (note, *(_ungraded(curve) for curve in curves if curve.num_ungraded))
    return Table("Results", columns, tuple(rows), "; ".join(notes))


def _ungraded(curve: Curve) -> str:
    return (
        f"{curve.label}: {curve.num_ungraded} answers could not be graded and count as not right "
        f"(mostly: {curve.why_ungraded})"
    )


def asked(curve: Curve, budgets: Sequence[int]) -> list[Point]:
    """The points at budgets that somebody asked for, and the only point of a curve that has one."""
    return [point for point in curve.points if len(curve.points) == 1 or point.n in budgets]


def _results(curve: Curve, point: Point) -> tuple[str, ...]:
    costs = (NOTHING,) * 3 if curve.is_blind else _costs(point)
    return (*percent(point.accuracy), *percent(point.pass_at_k), *costs)


def _costs(point: Point) -> tuple[str, str, str]:
    read = point.prompt_tokens - point.cached_tokens
    flops = f"{point.flops / 1e6:,.1f}" if point.flops else NOTHING
    return f"{point.generated_tokens:,.0f}", f"{read:,.0f}", flops


def percent(interval: Interval | None) -> tuple[str, str]:
    """`94.0 %` and `[89.0, 98.0]`, or two dashes."""
    if interval is None:
        return NOTHING, NOTHING
    return (
        f"{interval.value * 100:.1f} %",
        f"[{interval.low * 100:.1f}, {interval.high * 100:.1f}]",
    )


def comparisons_table(comparisons: Sequence[Comparison], axis: Axis) -> Table:
    """Every arm against every baseline on one axis."""
    rows = tuple(
        (
            each.arm,
            f"{each.n}",
            each.other,
            f"{each.accuracy * 100:.1f} %",
            *_gain(each),
            *_saving(each),
        )
        for each in comparisons
        if each.axis is axis
    )
    columns = ("arm", "n", "against", "solved", "points more", "95 %", "times cheaper", "95 %")
    note = (
        "points more: at equal cost; times cheaper: at equal accuracy; paired over problems. "
        "<= and >= mark bounds, where the other curve was not measured that far"
    )
    return Table(f"At matched compute: {axis.meaning}", columns, rows, note)


def _gain(each: Comparison) -> tuple[str, str]:
    gain = each.result.gain
    bound = "" if each.result.is_covered else "<= "
    return f"{bound}{gain.value * 100:+.1f}", f"[{gain.low * 100:+.1f}, {gain.high * 100:+.1f}]"


def _saving(each: Comparison) -> tuple[str, str]:
    return times(each.result.saving, is_bound=not each.result.is_reached)


def times(interval: Interval, *, is_bound: bool) -> tuple[str, str]:
    """`1.53` and `[1.20, 1.90]`; a bound is marked."""
    bound = ">= " if is_bound else ""
    return f"{bound}{interval.value:.2f}", f"[{interval.low:.2f}, {interval.high:.2f}]"


def strata_tables(strata: Sequence[Stratum]) -> Iterator[Table]:
    """One table a model: a row an arm and budget, a column a stratum."""
    for model in dict.fromkeys(each.model for each in strata):
        own = [each for each in strata if each.model == model]
        columns = ("arm", "n", *(f"{each.name} ({each.num_problems})" for each in own))
        by_arm = (zip(*(each.rows for each in own), strict=True)) if own else ()
        rows = tuple(
            (rows[0].arm, f"{rows[0].n}", *(_short(row.accuracy) for row in rows))
            for rows in by_arm
        )
        note = (
            "problems by their pass@1 on samples that no row saw, easy first; budgets that saw "
            "them are left out; in brackets how many problems"
        )
        yield Table(f"By difficulty for {model}", columns, rows, note)


def _short(interval: Interval) -> str:
    """`85 (80-89)`, in percent."""
    low, high = (f"{bound * 100:.0f}" for bound in (interval.low, interval.high))
    return f"{interval.value * 100:.0f} ({low}-{high})"


def rivalries_table(rivalries: Sequence[Rivalry]) -> Table:
    """Small models that search against large ones that answer once."""
    rows = tuple(
        (
            each.small,
            each.large,
            f"{each.stratum} ({each.num_problems})",
            f"{each.large_accuracy * 100:.1f} %",
            f"{each.gain.value * 100:+.1f}",
            f"[{each.gain.low * 100:+.1f}, {each.gain.high * 100:+.1f}]",
            *times(each.cost, is_bound=not each.is_reached),
        )
        for each in rivalries
    )
    columns = (
        "small", "against", "problems", "solved", "points more", "95 %", "FLOPs needed", "95 %"
    )  # fmt: skip
    note = (
        "points more: of the small one at the large one's FLOPs; FLOPs needed: by the small one to "
        "be as good, over the large one's: below 1 the small one is the cheaper"
    )
    return Table("Small with search against large, at matched FLOPs", columns, rows, note)


def facts_table(curves: Sequence[Curve], budgets: Sequence[int]) -> Table:
    """What happened inside: choosing, pruning, repeating, and what the judge believed."""
    rows = tuple(
        (
            curve.label,
            f"{point.n}",
            *percent(point.recall),
            NOTHING if point.value is None else f"{point.value:.3f}",
            *percent(point.false_prunes),
            " ".join(f"{rate * 100:.0f}" for rate in point.duplicates) or NOTHING,
        )
        for curve in curves
        if not curve.is_blind
        for point in asked(curve, budgets)
    )
    columns = ("arm", "n", "chosen", "95 %", "judge", "pruned wrongly", "95 %", "repeats %")
    note = (
        "chosen: of the solves that reached a right answer, those that gave it; judge: mean value "
        "of the given answers by the arm's own judge, beside which stands how many are right; "
        "pruned wrongly: of the states given up, those from which the target could be reached; "
        "repeats: of the states of each depth, those already there"
    )
    return Table("Inside", columns, rows, note)


def judgements_table(judgements: Sequence[Judgement]) -> Table:
    """How far every judge that may err can be believed."""
    rows = tuple(
        (
            each.judge.rpartition("/")[2],
            each.place,
            f"{each.num_values:,}",
            f"{each.base_rate * 100:.1f} %",
            f"{each.auroc.value:.3f}",
            f"[{each.auroc.low:.3f}, {each.auroc.high:.3f}]",
            f"{each.within:.3f}",
            f"{each.ece_width:.3f}",
            f"{each.ece_mass:.3f}",
            f"{each.brier.score:.3f}",
            f"{each.brier.reliability:.3f}",
            f"{each.brier.resolution:.3f}",
            f"{each.risk_area:.3f}",
        )
        for each in judgements
    )
    columns = (
        "judge", "of", "values", "right", "AUROC", "95 %", "within", "ECE", "by mass", "Brier",
        "reliability", "resolution", "risk",
    )  # fmt: skip
    note = (
        "on rollouts of the policy: answers against the grader, steps against whether the target "
        "can still be reached; within: the AUROC within a problem; ECE in ten bins of equal width "
        "and of equal mass; risk: mean error over all coverages"
    )
    return Table("Judges", columns, rows, note)
