"""What a solve returns."""

from dataclasses import dataclass

from mull.core.events import StopReason
from mull.core.steps import Trajectory
from mull.core.tree import SearchTree
from mull.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Solution:
    """An answer or an honest abstention, and everything it stands on."""

    solve_id: str
    answer: str | None
    """None: no answer can be given; `stop` and `notes` say why."""
    confidence: float | None
    """Probability that the answer is right; None where nothing calibrated says so."""
    stop: StopReason
    trajectory: Trajectory | None
    """The path the answer was read off, or the best rejected one; None if nothing finished."""
    usage: Usage
    tree: SearchTree
    notes: tuple[str, ...] = ()

    @property
    def abstained(self) -> bool:
        """Whether there is no answer."""
        return self.answer is None
