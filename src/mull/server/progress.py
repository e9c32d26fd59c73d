"""What happens before an answer, for those who ask."""

from dataclasses import dataclass

from mull.core.events import BranchFailed, Event, NodeGrown, NodeScored, WaveAsked
from mull.core.expansion import Delta, Finish
from mull.core.score import Verdict


@dataclass(slots=True)
class Progress:
    """Counts of one solve so far. Owned by the stream that shows them."""

    waves: int = 0
    asked: int = 0
    ended: int = 0
    failed: int = 0
    accepted: int = 0
    rejected: int = 0
    tokens: int = 0

    def take(self, happened: Event | Delta) -> bool:
        """Count an event; whether it is worth showing (a single step is not)."""
        match happened:
            case WaveAsked(grow=grow):
                self.waves += 1
                self.asked += sum(expansion.count for expansion in grow)
            case NodeGrown(grown):
                self.tokens += grown.usage.generated_tokens
                if grown.finish in {None, Finish.CUT}:
                    return False
                self.ended += 1
            case BranchFailed():
                self.failed += 1
            case NodeScored(score=score):
                self.accepted += score.verdict is Verdict.ACCEPT
                self.rejected += score.verdict is Verdict.REJECT
            case _:
                return False
        return True

    def as_json(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}
