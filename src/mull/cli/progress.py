"""A solve as it happens, on standard error, for a person who watches."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from mull.cli.output import is_watched, message_console, printable
from mull.core.events import (
    BranchFailed,
    Event,
    Extended,
    NodeGrown,
    NodeScored,
    SolveStarted,
    WaveAsked,
)
from mull.core.expansion import BranchId, Delta, Finish, Grown
from mull.core.score import Verdict
from mull.core.usage import Budget

LINES_SHOWN = 6
"""Of the attempt that is watched."""


@dataclass(slots=True)
class Tally:
    """What a solve has done so far. Owned by the view; fed by the solver's events."""

    budget: Budget = field(default_factory=Budget)
    num_asked: int = 0
    num_ended: int = 0
    num_failed: int = 0
    num_accepted: int = 0
    num_rejected: int = 0
    num_tokens: int = 0
    watched: BranchId | None = None
    lines: list[str] = field(default_factory=list[str])
    """Steps of the watched attempt."""

    def see(self, event: Event | Delta) -> None:
        """Take in one event."""
        match event:
            case SolveStarted(budget=budget) | Extended(budget=budget):
                self.budget = budget
            case WaveAsked(grow=grow):
                self.num_asked += sum(expansion.count for expansion in grow)
            case NodeGrown(grown):
                self._see_step(grown)
            case BranchFailed():
                self.num_failed += 1
            case NodeScored(score=score):
                self.num_accepted += score.verdict is Verdict.ACCEPT
                self.num_rejected += score.verdict is Verdict.REJECT
            case _:
                pass  # streamed text and the end change no count

    def _see_step(self, grown: Grown) -> None:
        self.num_tokens += grown.usage.completion_tokens
        self.num_ended += grown.finish not in {None, Finish.CUT}
        if grown.index == 0:
            # The newest attempt is the one to watch.
            self.watched, self.lines = grown.branch_id, []
        if grown.branch_id == self.watched:
            self.lines.append(printable(grown.step.text.strip()))

    def headline(self, seconds: float) -> str:
        """Everything that can be counted, in one line."""
        limit = self.budget.max_tokens
        parts = [
            f"{self.num_ended} of {self.num_asked} attempts",
            f"{self.num_tokens:,} tokens" + (f" of {limit:,}" if limit else ""),
        ]
        if self.num_accepted or self.num_rejected:
            parts.append(f"{self.num_accepted} accepted, {self.num_rejected} rejected")
        if self.num_failed:
            parts.append(f"{self.num_failed} failed")
        return " · ".join([*parts, f"{seconds:.1f} s"])


@dataclass(slots=True)
class SolveView:
    """Draws a tally. Owns its clock and its place on the screen."""

    tally: Tally = field(default_factory=Tally)
    started: float | None = None
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    def see(self, event: Event | Delta) -> None:
        """The solver's observer."""
        if self.started is None:
            self.started = monotonic()
        self.tally.see(event)

    def __rich__(self) -> Group:
        if self.started is None:
            self._spinner.update(text=Text("loading the model"))
            return Group(self._spinner)
        self._spinner.update(text=Text(self.tally.headline(monotonic() - self.started)))
        shown = self.tally.lines[-LINES_SHOWN:]
        return Group(self._spinner, *(Text(f"    {line}", style="dim") for line in shown))


@contextmanager
def watching() -> Generator[SolveView, None, None]:
    """A view to feed; it is drawn only where standard error is a terminal, and leaves no trace."""
    view = SolveView()
    if not is_watched():
        yield view
        return
    with Live(view, console=message_console(), transient=True, refresh_per_second=12):
        yield view
