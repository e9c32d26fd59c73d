"""What a run found, as JSON, as a figure and as one HTML page that needs nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from mull import __version__
from mull.core.codec import Json, encode
from mull.evaluation.config import EvalConfig
from mull.evaluation.curves import Curve, Point
from mull.evaluation.figure import Dot, Series, accuracy_figure
from mull.evaluation.quoted import GPT4_GAME24, SOURCE, Quoted
from mull.evaluation.table import COLUMNS, NUM_TEXT_COLUMNS, rows_of

REPORT_VERSION: Final = 1
_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:1rem 0}"
    "th,td{padding:.25rem .7rem;text-align:right;white-space:nowrap}"
    "th{border-bottom:1px solid #9ca3af}tr.first td{border-top:1px solid #9ca3af55}"
    "td.text,th.text{text-align:left}dt{font-weight:600}dd{margin:0 0 .5rem 0}"
)


@dataclass(frozen=True, slots=True)
class Report:
    """A finished run."""

    config: EvalConfig
    models: Mapping[str, str]
    """Model id (name, weights, number format) by the name it was asked for with."""
    curves: tuple[Curve, ...]
    command: str = ""
    """What to type to get these numbers."""

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

    def to_json(self) -> dict[str, Json]:
        """All numbers, with their configuration and source."""
        return {
            "v": REPORT_VERSION,
            "mull": __version__,
            "command": self.command,
            "config": self.config.to_json(),
            "models": encode(self.models),
            "axis": "generated tokens per problem",
            "curves": [encode(curve) for curve in self.curves],
            "quoted": [encode(each) for each in self.quoted],
            "quoted_source": SOURCE if self.quoted else None,
        }

    def figure(self) -> str:
        """The accuracy-against-tokens plot as SVG."""
        return accuracy_figure(
            series_of(self.curves),
            title=self.title,
            x_title="generated tokens per problem (log scale)",
            y_title="problems solved, 95 % band",
        )

    def html(self) -> str:
        """The whole report as one page without scripts or links."""
        return "\n".join(
            (
                '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
                f"<title>mull: {escape(self.title)}</title><style>{_STYLE}</style></head><body>",
                f"<h1>{escape(self.title)}</h1>",
                self.figure(),
                *_table(self.curves),
                *_quoted_table(self.quoted),
                *_method(self),
                "</body></html>",
                "",
            )
        )


def series_of(curves: Sequence[Curve]) -> list[Series]:
    """What the plot shows.

    Blind play generates no tokens: its dots stand where those of the first curve stand that has the
    same number of samples.
    """
    leader = next((curve for curve in curves if not curve.is_blind and len(curve.points) > 1), None)
    series = list[Series]()
    for curve in curves:
        if not curve.is_blind:
            dots = tuple(_dot(point, point) for point in curve.points)
            series.append(Series(curve.label, _on_the_axis(dots)))
        elif leader is not None:
            pairs = ((point, leader.at(point.n)) for point in curve.points)
            dots = tuple(_dot(point, place) for point, place in pairs if place is not None)
            label = f"{curve.label}, same number of samples"
            series.append(Series(label, _on_the_axis(dots), is_baseline=True))
    return series


def _dot(point: Point, place: Point) -> Dot:
    note = f"n = {point.n}: {point.accuracy.value:.1%} solved"
    interval = point.accuracy
    return Dot(place.generated_tokens, interval.value, interval.low, interval.high, note)


def _on_the_axis(dots: Sequence[Dot]) -> tuple[Dot, ...]:
    """A log axis has no zero: what generated nothing cannot be shown."""
    return tuple(dot for dot in dots if dot.x > 0)


def _table(curves: Sequence[Curve]) -> Iterator[str]:
    yield "<table><thead>"
    yield _row("th", COLUMNS, "")
    yield "</thead><tbody>"
    for row in rows_of(curves):
        yield _row("td", row.cells, "first" if row.starts_arm else "")
    yield "</tbody></table>"


def _row(tag: str, cells: Sequence[str], kind: str) -> str:
    kinds = ("text" if place < NUM_TEXT_COLUMNS else "number" for place in range(len(cells)))
    marked = (
        f'<{tag} class="{each}">{escape(cell)}</{tag}>'
        for each, cell in zip(kinds, cells, strict=True)
    )
    return f'<tr class="{kind}">{"".join(marked)}</tr>'


def _quoted_table(quoted: Sequence[Quoted]) -> Iterator[str]:
    if not quoted:
        return
    yield f"<h2>Published for comparison</h2><p>{escape(SOURCE)}.</p><table><tbody>"
    for each in quoted:
        cells = (each.label, f"{each.accuracy * 100:.1f} %", each.note)
        yield _row("td", cells, "")
    yield "</tbody></table>"


def _method(report: Report) -> Iterator[str]:
    yield "<h2>How these numbers were made</h2><dl>"
    for term, meaning in _terms(report):
        yield f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>"
    yield "</dl>"


def _terms(report: Report) -> Iterator[tuple[str, str]]:
    config = report.config
    if report.command:
        yield "command", report.command
    yield "mull", __version__
    for name, model_id in report.models.items():
        yield f"model {name}", model_id
    last = config.seed + config.num_seeds - 1
    yield "seeds", f"{config.seed} to {last}, averaged within a problem"
    yield "sampling", f"temperature {config.sampling.temperature:g}, {config.max_tokens} tokens"
    yield "interval", "95 %, bootstrap over problems (exact binomial where all or none are solved)"
    yield "solved", "the answer that the arm gives is right by the exact grader"
    yield "pass@n", "chance that any of n samples is right, unbiased (Chen et al. 2021)"
    yield (
        "charged",
        "every generated token: kept, discarded and those of verifiers; means per problem. An "
        "exact checker generates none. Prompt tokens are those that cost compute",
    )
    for curve in report.curves:
        yield f"seconds, {curve.label}", f"{curve.seconds:.1f} in all, at n = {curve.points[-1].n}"
