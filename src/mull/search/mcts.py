"""Monte-Carlo tree search over steps, by UCT or PUCT."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import ceil, log, sqrt
from types import MappingProxyType
from typing import Final

from mull.core.answers import AnswerKey, text_key
from mull.core.errors import BadInputError
from mull.core.events import StopReason
from mull.core.expansion import Expansion, ExpansionKind, Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.states import StateKey, no_state
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import check_count, unscored
from mull.search.judges import Judges
from mull.search.landing import within
from mull.search.places import Evaluation, Place, Rules
from mull.search.steps import Stepwise
from mull.search.survey import surveyed


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
        rules = Rules(self.judges, self.steps, self.sampling, self.state_key, self.evaluation)
        survey = surveyed(tree, rules)
        if rollouts := survey.rollouts(tree):
            return Ask(rollouts)
        if requests := survey.missing(tree):
            return Ask(score=requests)
        survey.back_up()
        wave = self._simulate(tree, survey.root)
        return Ask(within(tree, limit, wave, self.steps, levels_left=self.steps.depth - 1))

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or a vote weighted by the guide over all that finished."""
        return self.judges.choose(tree, self.answer_key)

    def _simulate(self, tree: SearchTree, root: Place) -> list[Expansion]:
        """The expansions of the next `width` simulations, together at most what is left of n."""
        kinds = (branch.expansion.kind for branch in tree.branches())
        left = self.n - sum(kind is ExpansionKind.STEP for kind in kinds)
        wave = _Wave()
        for _ in range(self.width):
            path = self._descend(root, wave) if left > 0 else []
            if not path:
                break
            place = path[-1]
            count = min(left, max(1, self.expansion - wave.num_asked(place)))
            left -= count
            wave.asked[place] += count
            wave.visits.update(path)
        return [
            replace(place.step, count=count)
            for place, count in wave.asked.items()
            if place.step is not None
        ]

    def _descend(self, root: Place, wave: "_Wave") -> list[Place]:
        """The path to the place to expand, by greatest attraction; empty where nothing can grow."""
        growing = _Growing(self.expansion, self.widening, wave)
        if not growing.is_below(root):
            return []
        place, path = root, [root]
        while not growing.is_at(place):
            children = [child for child in place.children if growing.is_below(child)]
            place = max(children, key=lambda child: self._attraction_of(child, path[-1], wave))
            path.append(place)
        return path

    def _attraction_of(self, child: Place, parent: Place, wave: "_Wave") -> float:
        prior = parent.children[child] / sum(parent.children.values())
        edge = Edge(wave.mean(child), wave.num_visits(child), wave.num_visits(parent), prior)
        return (self.attraction or ATTRACTIONS[self.rule])(edge, self.exploration)


@dataclass(frozen=True, slots=True)
class _Wave:
    """Simulations that are being planned. To each other they are visits of value 0."""

    visits: Counter[Place] = field(default_factory=Counter[Place])
    asked: Counter[Place] = field(default_factory=Counter[Place])
    """Steps that they ask for."""

    def num_visits(self, place: Place) -> int:
        """N, those of the wave included."""
        return place.visits + self.visits[place]

    def num_asked(self, place: Place) -> int:
        """Steps ever asked for, those of the wave included."""
        return place.num_asked + self.asked[place]

    def mean(self, place: Place) -> float:
        """Q = W / N."""
        visits = self.num_visits(place)
        return place.total / visits if visits else 0.0


@dataclass(frozen=True, slots=True)
class _Growing:
    """Where the next child can be made. Owned by one descent."""

    expansion: int
    widening: float
    wave: _Wave
    at: dict[Place, bool] = field(default_factory=dict[Place, bool])
    below: dict[Place, bool] = field(default_factory=dict[Place, bool])

    def is_at(self, place: Place) -> bool:
        """Whether the place itself may get another child."""
        if place not in self.at:
            self.at[place] = self._is_at(place)
        return self.at[place]

    def is_below(self, place: Place) -> bool:
        """Whether the place or any below it may get another child."""
        if place not in self.below:
            self.below[place] = self.is_at(place) or self._is_under(place)
        return self.below[place]

    def _is_at(self, place: Place) -> bool:
        if place.step is None:
            return False
        num_asked, visits = self.wave.num_asked(place), self.wave.num_visits(place)
        if not self.widening:
            return num_asked < self.expansion
        if num_asked < max(self.expansion, ceil(visits**self.widening)):
            return True
        return not (self.wave.asked[place] or self._is_under(place))

    def _is_under(self, place: Place) -> bool:
        return any(self.is_below(child) for child in place.children)
