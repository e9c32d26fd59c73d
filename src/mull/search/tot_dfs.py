"""Tree of Thoughts, depth first: follow the best thought, turn back below a threshold."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from mull.core.answers import AnswerKey, text_key
from mull.core.errors import BadInputError
from mull.core.events import StopReason
from mull.core.expansion import Expansion, NodeId, Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.states import StateKey, no_state
from mull.core.tree import Node, SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import check_count, unscored
from mull.search.judges import Judges
from mull.search.landing import within
from mull.search.steps import Stepwise, given_up, grown_in, is_finished, path_to, unasked
from mull.search.tot_bfs import Thoughts


@dataclass(frozen=True, slots=True)
class TotDfs:
    """Visits at most `visits` places, the best child first, none below `threshold`.

    Yao et al. 2023, algorithm 2: `proposals` thoughts are asked for from a visited place; those
    valued below the threshold are pruned; when a place has no child left, the search turns back. A
    state that was met before is not visited again. A thought that nobody could value is not pruned:
    it comes after those that were valued.
    """

    judges: Judges
    visits: int = 32
    proposals: int = 4
    threshold: float = 0.1
    thoughts: Thoughts = Thoughts.SAMPLE
    steps: Stepwise = Stepwise()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key
    state_key: StateKey = no_state

    def __post_init__(self) -> None:
        check_count("visits", self.visits)
        check_count("proposals", self.proposals)
        if not 0.0 <= self.threshold <= 1.0:
            raise BadInputError(f"`threshold` is {self.threshold}; it must lie between 0 and 1")
        self.steps.check(self.judges.verifier)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        """Thoughts from the place visited last, then their values."""
        if new := unscored(tree, self.judges.verifier):
            return Ask(score=new)
        if self.steps.early_stop and tree.accepted(self.judges.verifier or ""):
            return Ask(stop=StopReason.ACCEPTED)
        stack, met = [tree.root], set[Hashable]()
        for _ in range(self.visits):
            if not stack:
                break
            node_id = stack.pop()
            wave = self._thoughts_from(tree, node_id)
            if missing := unasked(tree, wave):
                if new := self.judges.missing_of_answers(tree):
                    return Ask(score=new)
                levels_left = self.steps.depth - len(path_to(tree, node_id)) - 1
                grow = within(tree, limit, missing, self.steps, levels_left=levels_left)
                return Ask(grow, drop=given_up(tree, wave, stack))
            children = self._new(tree, grown_in(tree, wave), met)
            if requests := self.judges.missing(tree, [node.id for node in children]):
                return Ask(score=requests)
            stack.extend(reversed(self._ranked(tree, children)))
        return Ask()

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or a vote weighted by the guide over all that finished."""
        return self.judges.choose(tree, self.answer_key)

    def _thoughts_from(self, tree: SearchTree, node_id: NodeId) -> tuple[Expansion, ...]:
        if len(path_to(tree, node_id)) >= self.steps.depth:
            return ()
        kind = self.thoughts.kind
        return self.steps.step(tree, node_id, self.proposals, self.sampling, kind)

    def _new(self, tree: SearchTree, nodes: Sequence[Node], met: set[Hashable]) -> list[Node]:
        """Those that stand where the search has not been; they are met now."""
        new = list[Node]()
        for node in nodes:
            state = None if is_finished(node) else self.state_key(tree.trajectory(node.id))
            if state is None or state not in met:
                new.append(node)
            met.add(state)
        return new

    def _ranked(self, tree: SearchTree, children: Sequence[Node]) -> list[NodeId]:
        """Open children at or above the threshold, the best first."""
        judges = self.judges
        worth = {
            node.id: judges.value(tree, node.id)
            for node in children
            if not is_finished(node) and not judges.is_rejected(tree, node.id)
        }
        passed = [id_ for id_, value in worth.items() if value is None or value >= self.threshold]
        return sorted(passed, key=lambda id_: -(-1.0 if (v := worth[id_]) is None else v))
