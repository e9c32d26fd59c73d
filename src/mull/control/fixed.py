"""The controller that has made up its mind."""

from dataclasses import dataclass

from mull.core.protocols import Candidate, Decision, Run, Situation, Stop
from mull.core.spec import Spec
from mull.core.tree import SearchTree


@dataclass(frozen=True, slots=True)
class Fixed:
    """Runs one strategy until it asks for nothing more, and stops for the strategy's reason."""

    strategy: Spec

    def decide(self, situation: Situation) -> Decision:
        """Run, until the strategy is done."""
        return Run(self.strategy) if situation.done is None else Stop(situation.done)

    def vouch(self, tree: SearchTree, candidate: Candidate) -> Candidate:  # noqa: ARG002
        """The candidate as the strategy gives it."""
        return candidate
