"""The journal of solves that leave no trace."""

from collections.abc import Sequence
from dataclasses import dataclass

from mull.core.errors import UnknownSolveError
from mull.core.events import Event
from mull.core.protocols import SolveSummary


@dataclass(frozen=True, slots=True)
class NoJournal:
    """Keeps no trace: a solve that is cut off is done again, and its results are kept elsewhere."""

    async def append(self, solve_id: str, events: Sequence[Event]) -> None:
        """Forget the events."""

    async def flush(self) -> None:
        """There is nothing to wait for."""

    async def load(self, solve_id: str) -> Sequence[Event]:
        """There is nothing to load."""
        raise UnknownSolveError(f"solve `{solve_id}` was not kept")

    async def solves(self) -> Sequence[SolveSummary]:
        """None."""
        return ()
