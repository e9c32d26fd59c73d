"""What a run found, as JSON, as a figure, as one HTML page that needs nothing else, as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mull import __version__
from mull.core.codec import Json, encode
from mull.evaluation.config import EvalConfig
from mull.evaluation.curves import Curve, Point, blind_curve, curve_of
from mull.evaluation.figure import Dot, Series, accuracy_figure
from mull.evaluation.findings import (
    Comparison,
    Rivalry,
    Stratum,
    comparisons_of,
    rivalries_of,
    strata_results,
)
from mull.evaluation.judges import Judgement
from mull.evaluation.page import page
from mull.evaluation.quoted import GPT4_GAME24, SOURCE, Quoted
from mull.evaluation.sheets import Axis, Sheet
from mull.evaluation.tables import (
    Table,
    comparisons_table,
    facts_table,
    judgements_table,
    results_table,
    rivalries_table,
    strata_tables,
)
from mull.tasks import Example

REPORT_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Report:
    """A finished run."""

    config: EvalConfig
    sources: Mapping[str, str]
    """What stands behind every name: a model's weights and number format, a verifier's version."""
    curves: tuple[Curve, ...]
    comparisons: tuple[Comparison, ...] = ()
    strata: tuple[Stratum, ...] = ()
    rivalries: tuple[Rivalry, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    command: str = ""
    """What to type to get these numbers."""

    @classmethod
    def of(
        cls,
        config: EvalConfig,
        sources: Mapping[str, str],
        sheets: Sequence[Sheet],
        *,
        examples: Sequence[Example],
        judgements: Sequence[Judgement] = (),
        command: str = "",
    ) -> "Report":
        """Everything there is to say about the sheets."""
        curves = [curve_of(sheet) for sheet in sheets]
        if config.has_blind_play:
            curves.append(
                blind_curve(
                    examples, ns=config.budgets, num_seeds=config.num_seeds, seed=config.seed
                )
            )
        return cls(
            config,
            sources,
            tuple(curves),
            comparisons_of(sheets, config.budgets),
            strata_results(sheets, config.budgets),
            rivalries_of(sheets),
            tuple(judgements),
            command,
        )

    @property
    def title(self) -> str:
        """The problems and how many."""
        return f"{self.config.problems.name}: {self.curves[0].num_problems} problems"

    @property
    def quoted(self) -> tuple[Quoted, ...]:
        """Published numbers on the very same problems, if there are any."""
        problems = self.config.problems
        is_whole = problems.count is None or problems.count == 100
        return GPT4_GAME24 if problems.suite == "game24-hard" and is_whole else ()

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Those on which anything was spent."""
        points = [point for curve in self.curves for point in curve.points]
        return tuple(axis for axis in Axis if any(point.cost(axis) for point in points))

    def to_json(self) -> dict[str, Json]:
        """All numbers, with their configuration and source."""
        return {
            "v": REPORT_VERSION,
            "mull": __version__,
            "command": self.command,
            "config": self.config.to_json(),
            "sources": encode(self.sources),
            "curves": encode(self.curves),
            "comparisons": encode(self.comparisons),
            "strata": encode(self.strata),
            "rivalries": encode(self.rivalries),
            "judgements": encode(self.judgements),
            "quoted": encode(self.quoted),
            "quoted_source": SOURCE if self.quoted else None,
        }

    def tables(self, *axes: Axis) -> list[Table]:
        """Every table that has rows, compared on these axes (on all that were spent on)."""
        budgets = self.config.budgets
        tables = [
            results_table(self.curves, budgets),
            *(comparisons_table(self.comparisons, axis) for axis in axes or self.axes),
            *strata_tables(self.strata),
            rivalries_table(self.rivalries),
            facts_table(self.curves, budgets),
            judgements_table(self.judgements),
        ]
        return [table for table in tables if table.rows]

    def figure(self, axis: Axis = Axis.TOKENS) -> str:
        """The plot of accuracy against cost as SVG."""
        return accuracy_figure(
            series_of(self.curves, axis),
            title=self.title,
            x_title=f"{axis.meaning} per problem (log scale)",
            y_title="problems solved, 95 % band",
        )

    def markdown(self) -> str:
        """The tables, under the command that makes them and what they stand on."""
        terms = (f"- {term}: {meaning}" for term, meaning in self.terms())
        command = ("```console", self.command, "```", "") if self.command else ()
        head = (f"## {self.title}", "", *command, *terms, "")
        return "\n".join(
            (*head, *(f"{table.markdown()}\n{table.note}\n" for table in self.tables()))
        )

    def html(self) -> str:
        """The whole report as one page without scripts or links."""
        figures = [self.figure(axis) for axis in self.axes]
        terms = [("command", self.command), *self.terms()]
        return page(self.title, figures, self.tables(), self.quoted, terms)

    def terms(self) -> list[tuple[str, str]]:
        """What the numbers stand on."""
        config = self.config
        last = config.seed + config.num_seeds - 1
        sampling = f"temperature {config.sampling.temperature:g}, {config.max_tokens} tokens"
        return [
            ("mull", __version__),
            *((name, source) for name, source in self.sources.items()),
            ("seeds", f"{config.seed} to {last}, averaged within a problem"),
            ("sampling", sampling),
            (
                "interval",
                "95 %, 10,000 resamples of the problems, paired between arms (exact binomial where "
                "all or none are solved)",
            ),
            ("solved", "the answer that the arm gives is right by the exact grader"),
            ("pass@n", "chance that any of n samples is right, unbiased (Chen et al. 2021)"),
            (
                "charged",
                "every generated token: kept, discarded and those of verifiers; every FLOP of the "
                "model and of its verifiers. An exact checker has none",
            ),
            *(
                (f"seconds, {curve.label}", f"{curve.seconds:.1f} in all, n = {curve.points[-1].n}")
                for curve in self.curves
            ),
        ]


def series_of(curves: Sequence[Curve], axis: Axis = Axis.TOKENS) -> list[Series]:
    """What the plot shows.

    Blind play spends nothing: its dots stand where those of the first curve stand that has the same
    number of samples.
    """
    leader = next((curve for curve in curves if not curve.is_blind and len(curve.points) > 1), None)
    series = list[Series]()
    for curve in curves:
        if not curve.is_blind:
            dots = tuple(_dot(point, point, axis) for point in curve.points)
            series.append(Series(curve.label, _on_the_axis(dots)))
        elif leader is not None:
            pairs = ((point, leader.at(point.n)) for point in curve.points)
            dots = tuple(_dot(point, place, axis) for point, place in pairs if place is not None)
            label = f"{curve.label}, same number of samples"
            series.append(Series(label, _on_the_axis(dots), is_baseline=True))
    return series


def _dot(point: Point, place: Point, axis: Axis) -> Dot:
    note = f"n = {point.n}: {point.accuracy.value:.1%} solved"
    interval = point.accuracy
    return Dot(place.cost(axis), interval.value, interval.low, interval.high, note)


def _on_the_axis(dots: Sequence[Dot]) -> tuple[Dot, ...]:
    """By ascending cost; a log axis has no zero: what spent nothing cannot be shown."""
    return tuple(sorted((dot for dot in dots if dot.x > 0), key=lambda dot: dot.x))
