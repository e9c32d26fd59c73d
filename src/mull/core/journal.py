"""A journal that forgets with its process."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mull.core.errors import BadInputError, UnknownSolveError
from mull.core.events import Event, SolveEnded, SolveStarted
from mull.core.protocols import SolveSummary


def summarise(solve_id: str, started: SolveStarted, last: Event) -> SolveSummary:
    """The summary of a solve from the first and the last event of its trace."""
    ended = last if isinstance(last, SolveEnded) else None
    return SolveSummary(
        solve_id,
        started.problem.statement,
        started.spec,
        ended.stop if ended else None,
        ended.answer if ended else None,
    )


@dataclass(slots=True)
class MemoryJournal:
    """Traces in a dictionary: for tests, and for solves that need not survive."""

    traces: dict[str, list[Event]] = field(default_factory=dict[str, list[Event]])

    async def append(self, solve_id: str, events: Sequence[Event]) -> None:
        """Add events to the end of a solve's trace."""
        for event in events:
            trace = self.traces.get(solve_id)
            if isinstance(event, SolveStarted) != (trace is None):
                raise BadInputError(f"solve `{solve_id}` must be started once, and first")
            self.traces.setdefault(solve_id, []).append(event)

    async def flush(self) -> None:
        """Nothing here survives a crash, so there is nothing to wait for."""

    async def load(self, solve_id: str) -> Sequence[Event]:
        """The trace so far."""
        if solve_id not in self.traces:
            raise UnknownSolveError(f"no solve `{solve_id}` in this journal")
        return tuple(self.traces[solve_id])

    async def solves(self) -> Sequence[SolveSummary]:
        """Every solve, newest first."""
        summaries = list[SolveSummary]()
        for solve_id, trace in self.traces.items():
            if isinstance(trace[0], SolveStarted):
                summaries.append(summarise(solve_id, trace[0], trace[-1]))
        return summaries[::-1]
