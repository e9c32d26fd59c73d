"""A solve's state as a fold of its trace: running and replaying are one code path."""

from collections.abc import Iterable
from dataclasses import dataclass

from mull.core.errors import JournalCorruptError
from mull.core.events import (
    BranchFailed,
    Charged,
    Event,
    Extended,
    NodeGrown,
    NodeScored,
    SolveEnded,
    SolveStarted,
    WaveAsked,
)
from mull.core.expansion import ScoreRequest
from mull.core.tree import SearchTree
from mull.core.usage import Budget, Usage


@dataclass(slots=True)
class SolveState:
    """Everything a solve knows. One solver owns it and changes it by `apply` alone."""

    started: SolveStarted
    tree: SearchTree
    budget: Budget
    usage: Usage = Usage()
    """Everything spent so far, over all processes that worked on the solve."""
    wave: WaveAsked | None = None
    """The last wave asked for."""
    num_waves: int = 0
    ended: SolveEnded | None = None
    """None while the solve is open."""

    @classmethod
    def start(cls, event: SolveStarted) -> "SolveState":
        """The state of a solve that has done nothing yet."""
        tree = SearchTree(event.problem, event.spec.model, event.seed)
        return cls(event, tree, event.budget)

    def apply(self, event: Event) -> None:
        """Take in one more event. ValueError or KeyError if it cannot follow the ones before."""
        if self.ended is not None and not isinstance(event, Extended):
            raise ValueError(f"`{type(event).__name__}` follows the end of the solve")
        match event:
            case SolveStarted():
                raise ValueError("a solve starts once")
            case WaveAsked():
                self._apply_wave(event)
            case NodeGrown(grown):
                self.tree.grow(grown)
                self.usage += grown.usage
            case BranchFailed(failed):
                self.tree.fail(failed)
                self.usage += failed.usage
            case NodeScored(node_id, score):
                self.tree.judge(node_id, score)
                self.usage += score.usage
            case Charged(usage):
                self.usage += usage
            case Extended(budget):
                self.budget, self.ended = budget, None
            case SolveEnded():
                self.ended = event

    def _apply_wave(self, wave: WaveAsked) -> None:
        if wave.wave != self.num_waves:
            raise ValueError(f"wave {wave.wave} follows {self.num_waves} waves")
        for expansion in wave.grow:
            self.tree.ask(expansion)
        self.tree.drop(wave.drop)
        self.tree.cancel(wave.cancel)
        self.wave, self.num_waves = wave, self.num_waves + 1

    @property
    def unscored(self) -> tuple[ScoreRequest, ...]:
        """What the last wave asked to have scored and nobody has scored yet."""
        asked = self.wave.score if self.wave else ()
        return tuple(each for each in asked if self.tree.score(each.node_id, each.verifier) is None)


def replay(events: Iterable[Event]) -> SolveState:
    """The state a trace leads to; `JournalCorruptError` if it is no trace of a solve."""
    trace = iter(events)
    first = next(trace, None)
    if not isinstance(first, SolveStarted):
        raise JournalCorruptError(f"a trace starts with `SolveStarted`, not with {first!r}")
    state = SolveState.start(first)
    for position, event in enumerate(trace, start=1):
        try:
            state.apply(event)
        except (ValueError, KeyError) as error:
            raise JournalCorruptError(f"trace event {position} cannot follow: {error}") from error
    return state
