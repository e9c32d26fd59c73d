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
    quality: float | None = None
    """The chance of being right that was asked for; None where none was."""

    @property
    def abstained(self) -> bool:
        """Whether there is no answer."""
        return self.answer is None

    @property
    def is_met(self) -> bool | None:
        """Whether the answer has the quality; None where none was asked for or nothing can say."""
        if self.quality is None or (self.answer is not None and self.confidence is None):
            return None
        return self.answer is not None and (self.confidence or 0.0) >= self.quality
