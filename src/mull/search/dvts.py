"""Diverse verifier tree search: many narrow trees instead of one wide beam."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mull.core.answers import AnswerKey, text_key
from mull.core.expansion import Expansion, NodeId, Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.states import StateKey, no_state
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import check_count
from mull.search.judges import Judges
from mull.search.levels import Level, Place, Walk
from mull.search.steps import Stepwise, path_to

Heads = Callable[[Sequence[Sequence[Place]]], Sequence[Place]]
"""From the places of each subtree to the one that each goes on from."""


def best_of_each(subtrees: Sequence[Sequence[Place]]) -> Sequence[Place]:
    """The largest value within every subtree; of equals, the place asked for first."""
    return [max(places, key=lambda place: place.value) for places in subtrees]


@dataclass(frozen=True, slots=True)
class Dvts:
    """`subtrees` greedy searches side by side, each with `expansion` candidates a step.

    Beeching et al. 2024. Subtree j owns the root's samples j M to (j + 1) M - 1 for M =
    `expansion`; no comparison ever crosses its border, which keeps a search diverse where one wrong
    value would win a whole beam. It ends with the finished answer that its argmax picks; its other
    finished candidates vote too. Equal states merge within a subtree only.
    """

    judges: Judges
    subtrees: int = 4
    expansion: int = 4
    steps: Stepwise = Stepwise()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key
    state_key: StateKey = no_state
    heads: Heads = best_of_each

    def __post_init__(self) -> None:
        check_count("subtrees", self.subtrees)
        check_count("expansion", self.expansion)
        check_count("subtrees * expansion", self.subtrees * self.expansion)
        self.steps.check(self.judges.verifier)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        """Candidates of every subtree that goes on, then their values."""
        walk = Walk(self._plan, self.judges, self.steps, self.state_key, self._subtree)
        return walk.ask(tree, limit)

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or a vote weighted by the guide across subtrees."""
        return self.judges.choose(tree, self.answer_key)

    def _subtree(self, tree: SearchTree, node_id: NodeId) -> int:
        first = path_to(tree, node_id)[0]
        sample = tree.branch(first.branch_id).sample if first.branch_id is not None else 0
        return sample // self.expansion

    def _plan(self, tree: SearchTree, level: Level) -> Sequence[Expansion]:
        if level.depth == 0:
            count = self.subtrees * self.expansion
            return self.steps.step(tree, tree.root, count, self.sampling)
        subtrees = dict[int, list[Place]]()
        for place in level.places:
            subtrees.setdefault(self._subtree(tree, place.node_id), []).append(place)
        heads = self.heads(list(subtrees.values()))
        going_on = sorted((each for each in heads if not each.is_finished), key=lambda p: -p.value)
        return [
            expansion
            for place in going_on
            for expansion in self.steps.step(tree, place.node_id, self.expansion, self.sampling)
        ]
