"""Monte-Carlo tree search over steps, by UCT or PUCT."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, log, sqrt
from types import MappingProxyType
from typing import Final

from mull.core.answers import AnswerKey, text_key
from mull.core.errors import BadInputError
from mull.core.events import StopReason
from mull.core.expansion import Expansion, ExpansionKind, NodeId, Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.states import StateKey, no_state
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import check_count, unscored
from mull.search.judges import Judges
from mull.search.landing import within
from mull.search.statistics import Evaluation, Place, Statistics, backed_up, survey
from mull.search.steps import Stepwise, grown_by, unasked


@dataclass(frozen=True, slots=True)
class Edge:
    """What the choice of a child rests on."""

    mean: float
    """Q: the mean value of everything below the child."""
    visits: int
    """n, at least 1: a child is valued when it is made."""
    parent_visits: int
    """N."""
    prior: float
    """P: the share of its parent's sampled steps that led to the child's state."""


Attraction = Callable[[Edge, float], float]
"""How much a child attracts the next simulation, at this exploration constant."""


def uct(edge: Edge, exploration: float) -> float:
    """Q + c sqrt(ln N / n) (Kocsis & Szepesvari 2006)."""
    return edge.mean + exploration * sqrt(log(edge.parent_visits) / edge.visits)


def puct(edge: Edge, exploration: float) -> float:
    """Q + c P sqrt(N) / (1 + n) (Silver et al. 2017)."""
    bonus = exploration * edge.prior * sqrt(edge.parent_visits) / (1 + edge.visits)
    return edge.mean + bonus


class Rule(StrEnum):
    """How the next child is chosen."""

    UCT = "uct"
    PUCT = "puct"


ATTRACTIONS: Final[Mapping[Rule, Attraction]] = MappingProxyType({Rule.UCT: uct, Rule.PUCT: puct})


@dataclass(frozen=True, slots=True)
class Mcts:
    """Grows up to `n` steps where visits and values say it is worth most.

    A place may have max(`expansion`, ceil(N^`widening`)) children for its N visits: progressive
    widening, without which a small tree is soon exhausted and every further simulation visits what
    is there already. For the same reason nothing descends to where nothing can grow any more.
    Statistics are sums over the tree, not a history: whatever order results came in, the choice is
    the same. A child is valued by the guide, or by one rollout to the end of the answer.
    """

    judges: Judges
    n: int = 64
    """Steps to draw; those of rollouts are not counted."""
    expansion: int = 1
    """Children that a place gets at its first expansion. More of them buy breadth at every depth
    before anything deep is seen: with 4, 16 samples' worth never reach an answer of 5 steps."""
    widening: float = 0.5
    """Exponent of progressive widening; 0 fixes the children at `expansion`."""
    rule: Rule = Rule.UCT
    exploration: float = 0.3
    """c. The papers' 1.414 outweighs what values of [0, 1] differ by within a hundred visits, and
    the search goes broad."""
    evaluation: Evaluation = Evaluation.GUIDE
    width: int = 1
    """Simulations a wave. Those beyond the first see each other as visits of value 0."""
    steps: Stepwise = Stepwise()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key
    state_key: StateKey = no_state
    attraction: Attraction | None = None
    """Instead of the one that `rule` names."""

    def __post_init__(self) -> None:
        check_count("n", self.n)
        check_count("expansion", self.expansion)
        check_count("width", self.width)
        for name, value in (("widening", self.widening), ("exploration", self.exploration)):
            if not 0.0 <= value <= 100.0:
                raise BadInputError(f"`{name}` is {value}; it must lie between 0 and 100")
        self.steps.check(self.judges.verifier)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        """Values or rollouts of new children, then the steps of the next simulations."""
        if new := unscored(tree, self.judges.verifier):
            return Ask(score=new)
        if self.steps.early_stop and tree.accepted(self.judges.verifier or ""):
            return Ask(stop=StopReason.ACCEPTED)
        found = self._found(tree)
        if rollouts := unasked(tree, self._rollouts(tree, found)):
            return Ask(rollouts)
        if requests := self.judges.missing(tree, found.to_value()):
            return Ask(score=requests)
        if new := self.judges.missing_of_answers(tree):
            return Ask(score=new)
        wave = self._simulate(tree, backed_up(tree, found, self.judges))
        return Ask(within(tree, limit, wave, self.steps, levels_left=self.steps.depth - 1))

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or a vote weighted by the guide over all that finished."""
        return self.judges.choose(tree, self.answer_key)

    def _step(self, tree: SearchTree, place: Place) -> tuple[Expansion, ...]:
        """The expansion of which a place's children are samples."""
        if place.depth >= self.steps.depth:
            return ()
        return self.steps.step(tree, place.node_id, 1, self.sampling)

    def _found(self, tree: SearchTree) -> Statistics:
        levels = survey(tree, self._step, self.judges, self.state_key)
        places = [place for level in levels[1:] for place in level]
        return Statistics(levels, {place: self._leaves(tree, place) for place in places})

    def _leaves(self, tree: SearchTree, place: Place) -> tuple[NodeId, ...]:
        """The paths that a place is valued by."""
        if self.evaluation is Evaluation.GUIDE or place.is_finished or place.is_dead:
            return (place.node_id,)
        rollouts = self.steps.finish(tree, place.node_id, self.sampling)
        return tuple(node.id for each in rollouts for node in grown_by(tree, each, 1))

    def _rollouts(self, tree: SearchTree, found: Statistics) -> list[Expansion]:
        """One completion of every unfinished place, where those are what values it."""
        if self.evaluation is Evaluation.GUIDE:
            return []
        return [
            expansion
            for place in found.places
            if not (place.is_finished or place.is_dead)
            for expansion in self.steps.finish(tree, place.node_id, self.sampling)
        ]

    def _simulate(self, tree: SearchTree, found: Statistics) -> list[Expansion]:
        """The expansions of the next `width` simulations, together at most what is left of n."""
        kinds = (branch.expansion.kind for branch in tree.branches())
        left = self.n - sum(kind is ExpansionKind.STEP for kind in kinds)
        asked = dict[Place, int]()
        for _ in range(self.width):
            path = self._descend(found.root) if left > 0 else []
            if not path:
                break
            place = path[-1]
            count = min(left, max(1, self.expansion - place.num_asked))
            place.num_asked += count
            place.num_new += count
            left -= count
            asked[place] = asked.get(place, 0) + count
            for each in path:
                each.visits += 1  # and no value: others shall look elsewhere
        return [
            replace(each, count=count)
            for place, count in asked.items()
            for each in self._step(tree, place)
        ]

    def _descend(self, root: Place) -> list[Place]:
        """The path to the place to expand, by greatest attraction; empty where nothing can grow."""
        if not self._can_grow_below(root):
            return []
        place, path = root, [root]
        while not self._can_grow(place):
            children = [child for child in place.children if self._can_grow_below(child)]
            place = max(children, key=lambda child: self._attraction_of(child, path[-1]))
            path.append(place)
        return path

    def _attraction_of(self, child: Place, parent: Place) -> float:
        prior = parent.children[child] / sum(parent.children.values())
        edge = Edge(child.mean, child.visits, parent.visits, prior)
        return (self.attraction or ATTRACTIONS[self.rule])(edge, self.exploration)

    def _can_grow(self, place: Place) -> bool:
        """Whether the place itself may get another child."""
        if place.is_finished or place.is_dead:
            return False
        if not self.widening:
            return place.num_asked < self.expansion
        is_below = any(self._can_grow_below(child) for child in place.children)
        is_stuck = not (is_below or place.num_new)
        return is_stuck or place.num_asked < max(self.expansion, ceil(place.visits**self.widening))

    def _can_grow_below(self, place: Place) -> bool:
        """Whether the place or any below it may get another child."""
        return self._can_grow(place) or any(self._can_grow_below(child) for child in place.children)
