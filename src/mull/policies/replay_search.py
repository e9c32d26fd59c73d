"""Recorded tree searches as a policy: proposal k from a place is the k-th that was recorded."""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass

from mull.core.expansion import Call, ExpansionKind, Failed, Finish, Grown, NodeId, Outcome
from mull.core.protocols import Capabilities
from mull.core.recorded_search import RecordedSearches
from mull.core.steps import Step, StepKind
from mull.core.usage import Usage


@dataclass(frozen=True, slots=True)
class ReplaySearchPolicy:
    """Gives what was proposed and nothing else: a place nobody grew from has no proposals.

    A narrower search than the recorded one is therefore replayed exactly, and a wider one is not.
    What a single proposal cost was not recorded.
    """

    searches: RecordedSearches

    @property
    def capabilities(self) -> Capabilities:
        """Proposals only."""
        return Capabilities(
            f"replay:{self.searches.model}@{self.searches.version}",
            frozenset({ExpansionKind.PROPOSE}),
        )

    def quote(self, call: Call) -> Usage:
        """As for any policy: every token the call may draw."""
        return Usage(visible_tokens=call.max_tokens)

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """One recorded step a call, or a failure where there is none left."""
        for call in calls:
            yield self._outcome(call)

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """There is nothing to free."""

    def _outcome(self, call: Call) -> Outcome:
        base, number = call.bases[0], call.branch.sample
        places = self.searches.thoughts.get(base.problem.messages, {})
        thoughts = places.get(base.text, ())
        if number >= len(thoughts):
            return Failed(call.branch.id, f"{len(thoughts)} thoughts were recorded from this place")
        thought = thoughts[number]
        kind = StepKind.ANSWER if thought.is_final else StepKind.THOUGHT
        step = Step(thought.text, kind=kind, is_final=thought.is_final)
        finish = Finish.STOP if thought.is_final else Finish.STEP
        return Grown(call.branch.id, 0, step, Usage(), finish)
