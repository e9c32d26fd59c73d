"""The stages of an evaluation as they happen, on standard error."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mull.cli.output import is_watched, message_console, printable, say
from mull.evaluation.runner import Progress as Watcher

SECONDS_BETWEEN_LINES = 30.0
"""Of progress, where nobody watches a bar."""


@contextmanager
def watching_stages() -> Generator[Watcher, None, None]:
    """A watcher to feed: a bar a stage on a terminal, and a line now and then elsewhere."""
    if not is_watched():
        yield Lines().see
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=message_console()) as progress:
        yield Bars(progress).see


@dataclass(slots=True)
class Bars:
    """One bar a stage. Owned by the run that is watched."""

    progress: Progress
    bars: dict[str, TaskID] = field(default_factory=dict[str, TaskID])

    def see(self, stage: str, done: int, total: int) -> None:
        """Move the stage's bar."""
        if stage not in self.bars:
            label = printable(stage).replace("[", r"\[")
            self.bars[stage] = self.progress.add_task(label, total=total)
        self.progress.update(self.bars[stage], completed=done)


@dataclass(slots=True)
class Lines:
    """For logs. Owned by the run that is watched."""

    last: float = float("-inf")

    def see(self, stage: str, done: int, total: int) -> None:
        """Say where the stage stands, unless something was said a moment ago."""
        if done == total or monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self.last = monotonic()
            say(f"{printable(stage)}: {done} of {total} problems")
