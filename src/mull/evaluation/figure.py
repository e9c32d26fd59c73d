"""Accuracy against tokens as one SVG that stands alone: no script, no font, no link.

Colours follow the reader's light or dark setting and are readable without it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Final

WIDTH: Final = 840
PLOT_HEIGHT: Final = 360
LEFT: Final = 64
RIGHT: Final = 24
TOP: Final = 52
AXIS: Final = 56
"""Height of tick labels and axis title under the plot."""
LEGEND_ROW: Final = 22
_LONG_LABEL: Final = 44
"""Characters from which on a legend of two columns would run together."""

_COLORS: Final = (
    ("#2563eb", "#60a5fa"),
    ("#c2410c", "#fb923c"),
    ("#047857", "#34d399"),
    ("#7e22ce", "#c084fc"),
    ("#be123c", "#fb7185"),
    ("#0e7490", "#22d3ee"),
    ("#a16207", "#facc15"),
    ("#4d7c0f", "#a3e635"),
    ("#db2777", "#f9a8d4"),
    ("#78350f", "#d6a06b"),
    ("#115e59", "#99f6e4"),
    ("#4338ca", "#a5b4fc"),
    ("#111827", "#e5e7eb"),
)
"""Pairs for light and dark, in the order of the series; then around again."""
_BASELINE: Final = ("#6b7280", "#9ca3af")
_LIGHT: Final = (
    ".paper{fill:#ffffff}.ink{fill:#111827}.soft{fill:#4b5563}.grid{stroke:#e5e7eb}"
    "svg text{font:13px system-ui,sans-serif}svg .title{font-size:16px;font-weight:600}"
    ".line{fill:none;stroke-width:2}.band{opacity:.16;stroke:none}.bar{stroke-width:1.5}"
    ".dashed{stroke-dasharray:6 4}"
)
_DARK: Final = (
    ".paper{fill:#0d1117}.ink{fill:#f3f4f6}.soft{fill:#b6bdc7}.grid{stroke:#262d37}"
    ".band{opacity:.25}"
)


@dataclass(frozen=True, slots=True)
class Dot:
    """A measured point: x above zero, y and its bounds in [0, 1]."""

    x: float
    y: float
    low: float
    high: float
    note: str = ""
    """Shown when pointed at."""


@dataclass(frozen=True, slots=True)
class Series:
    """Dots joined by a line, with their band."""

    label: str
    dots: tuple[Dot, ...]
    """Ascending in x."""
    is_baseline: bool = False
    """Drawn grey and dashed."""


@dataclass(frozen=True, slots=True)
class Axes:
    """From data to pixels: x on a log scale, y from 0 to 1."""

    low: float
    """Decimal logarithm of the left end."""
    high: float

    @classmethod
    def around(cls, series: Sequence[Series]) -> "Axes":
        """Axes that hold all dots with some room beside them."""
        logs = [log10(dot.x) for each in series for dot in each.dots] or [0.0, 1.0]
        margin = 0.05 * max(1.0, max(logs) - min(logs))
        return cls(min(logs) - margin, max(logs) + margin)

    def x(self, value: float) -> float:
        """Pixel of a value on the log axis."""
        share = (log10(value) - self.low) / (self.high - self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, share: float) -> float:
        """Pixel of a share."""
        return TOP + (1.0 - share) * PLOT_HEIGHT

    def ticks(self) -> list[float]:
        """1, 2 and 5 times the powers of ten in view."""
        powers = range(floor(self.low), ceil(self.high) + 1)
        values = (step * 10.0**power for power in powers for step in (1, 2, 5))
        return [value for value in values if self.low <= log10(value) <= self.high]


def accuracy_figure(series: Sequence[Series], *, title: str, x_title: str, y_title: str) -> str:
    """The plot as SVG text; series come in the order of the legend."""
    axes = Axes.around(series)
    columns = 1 if any(len(each.label) > _LONG_LABEL for each in series) else 2
    height = TOP + PLOT_HEIGHT + AXIS + LEGEND_ROW * ceil(len(series) / columns) + 10
    drawn = [part for place, each in enumerate(series) for part in _drawn(axes, place, each)]
    legend = [part for place, each in enumerate(series) for part in _legend(place, each, columns)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>{_style(series)}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>',
        _text(LEFT, 28, title, kind="ink title"),
        *_grid(axes),
        _text(WIDTH / 2, TOP + PLOT_HEIGHT + 44, x_title, kind="soft", anchor="middle"),
        _text(LEFT, TOP - 8, y_title, kind="soft"),
        *drawn,
        *legend,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _style(series: Sequence[Series]) -> str:
    light, dark = list[str](), list[str]()
    for place, (on_light, on_dark) in enumerate(_colors(series)):
        light.append(f".s{place}{{fill:{on_light};stroke:{on_light}}}")
        dark.append(f".s{place}{{fill:{on_dark};stroke:{on_dark}}}")
    # `.line` and `.band` come last: they take back what a series colour sets.
    light_rules = "".join(light) + _LIGHT
    dark_rules = "".join(dark) + _DARK + ".line{fill:none}.band{stroke:none}"
    return f"{light_rules}@media(prefers-color-scheme:dark){{{dark_rules}}}"


def _colors(series: Sequence[Series]) -> Iterator[tuple[str, str]]:
    num_colored = 0
    for each in series:
        yield _BASELINE if each.is_baseline else _COLORS[num_colored % len(_COLORS)]
        num_colored += not each.is_baseline


def _grid(axes: Axes) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, TOP + PLOT_HEIGHT
    for percent in range(0, 101, 20):
        y = axes.y(percent / 100)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>'
        yield _text(LEFT - 8, y + 4, f"{percent} %", kind="soft", anchor="end")
    for value in axes.ticks():
        x = axes.x(value)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>'
        yield _text(x, bottom + 20, tick_label(value), kind="soft", anchor="middle")


def tick_label(value: float) -> str:
    """`5,000`, and from a million on `5 M`, `20 G`."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:,.10g} {unit}"
    return f"{value:,.10g}"


def _drawn(axes: Axes, place: int, series: Series) -> Iterator[str]:
    """Band below line below dots."""
    color, dash = f"s{place}", " dashed" if series.is_baseline else ""
    middle = [(axes.x(dot.x), axes.y(dot.y)) for dot in series.dots]
    if len(series.dots) > 1:
        upper = [(axes.x(dot.x), axes.y(dot.high)) for dot in series.dots]
        lower = [(axes.x(dot.x), axes.y(dot.low)) for dot in series.dots]
        yield f'<path class="{color} band" d="{_path([*upper, *lower[::-1]])}Z"/>'
        yield f'<path class="{color} line{dash}" d="{_path(middle)}"/>'
    for dot, (x, y) in zip(series.dots, middle, strict=True):
        if len(series.dots) == 1:
            low, high = axes.y(dot.low), axes.y(dot.high)
            yield f'<path class="{color} bar" d="M{x:.1f} {low:.1f}V{high:.1f}"/>'
        title = f"<title>{escape(dot.note)}</title>" if dot.note else ""
        yield f'<circle class="{color}" cx="{x:.1f}" cy="{y:.1f}" r="4">{title}</circle>'


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _legend(place: int, series: Series, columns: int) -> Iterator[str]:
    """Under the plot, row by row."""
    row, column = divmod(place, columns)
    x = LEFT + column * (WIDTH - LEFT - RIGHT) / 2
    y = TOP + PLOT_HEIGHT + AXIS + LEGEND_ROW * row + 8
    dash = " dashed" if series.is_baseline else ""
    yield f'<path class="s{place} line{dash}" d="M{x:.1f} {y}h24"/>'
    yield f'<circle class="s{place}" cx="{x + 12:.1f}" cy="{y}" r="4"/>'
    yield _text(x + 32, y + 4, series.label, kind="ink")


def _text(x: float, y: float, text: str, *, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
