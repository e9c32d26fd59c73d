"""Tree of Thoughts, breadth first: propose, value, keep the b best."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mull.core.answers import AnswerKey, text_key
from mull.core.expansion import Expansion, ExpansionKind, NodeId, Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.states import StateKey, no_state
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import check_count
from mull.search.judges import Judges
from mull.search.levels import Level, Walk
from mull.search.steps import Stepwise


class Thoughts(StrEnum):
    """Where next thoughts come from."""

    SAMPLE = "sample"
    """Each is a step sampled on its own."""
    PROPOSE = "propose"
    """One call lists them; needs a policy that offers `propose` expansions."""

    @property
    def kind(self) -> ExpansionKind:
        """The expansion that asks for them."""
        return ExpansionKind.STEP if self is Thoughts.SAMPLE else ExpansionKind.PROPOSE


@dataclass(frozen=True, slots=True)
class TotBfs:
    """Keeps the `breadth` best places of a level and asks for `proposals` thoughts from each.

    Yao et al. 2023, algorithm 1. Every place, finished or not, is valued and compared with all
    others of its level. Where a policy proposes fewer thoughts than were asked for, the branches
    left over end as failed.
    """

    judges: Judges
    breadth: int = 5
    proposals: int = 8
    thoughts: Thoughts = Thoughts.SAMPLE
    steps: Stepwise = Stepwise()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key
    state_key: StateKey = no_state

    def __post_init__(self) -> None:
        check_count("breadth", self.breadth)
        check_count("proposals", self.proposals)
        self.steps.check(self.judges.verifier)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        """Thoughts from every kept place, then their values."""
        return self._walk().ask(tree, limit)

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or a vote weighted by the guide over all that finished."""
        return self.judges.choose(tree, self.answer_key)

    def kept(self, tree: SearchTree) -> tuple[NodeId, ...]:
        """The b places that the deepest level ends with, the best first: the paper's outputs."""
        return tuple(place.node_id for place in self._walk().last_level(tree).best(self.breadth))

    def _walk(self) -> Walk:
        return Walk(self._plan, self.judges, self.steps, self.state_key)

    def _plan(self, tree: SearchTree, level: Level) -> Sequence[Expansion]:
        going_on = [place.node_id for place in level.best(self.breadth) if not place.is_finished]
        kind = self.thoughts.kind
        return [
            expansion
            for node_id in going_on
            for expansion in self.steps.step(tree, node_id, self.proposals, self.sampling, kind)
        ]
