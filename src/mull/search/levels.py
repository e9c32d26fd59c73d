"""Level by level: the one walk that beam search, DVTS, REBASE, particles and ToT share.

A search is played back on the tree from the root: each level is grown, merged, valued and cut down
to what the next one grows from, until something is missing, and that is what is asked for. The
searches differ in one function, from a valued level to the expansions of the next.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from mull.core.events import StopReason
from mull.core.expansion import Expansion, NodeId
from mull.core.protocols import Ask
from mull.core.states import StateKey
from mull.core.tree import Node, SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import unscored
from mull.search.judges import Judges
from mull.search.landing import within
from mull.search.steps import Stepwise, given_up, grown_in, is_finished, unasked

NO_VALUE = 0.5
"""Of every node of a level that nobody could value."""


@dataclass(frozen=True, slots=True)
class Place:
    """A state of one level, reached once or several times."""

    node_id: NodeId
    """The first node that reached it, in canonical order."""
    value: float
    """By the judges; where they cannot say, that of the worst place of the level they could."""
    is_finished: bool = False
    copies: int = 1
    """Nodes that stand here."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a level came to: every place that is not rejected, in the order it was asked for."""

    depth: int
    """Steps from the root: 0 for the root alone."""
    places: tuple[Place, ...]
    num_finished: int = 0
    """Answers on this and earlier levels."""

    @property
    def open(self) -> tuple[Place, ...]:
        """The places that can grow on."""
        return tuple(place for place in self.places if not place.is_finished)

    def best(self, count: int) -> tuple[Place, ...]:
        """The `count` places of the largest value; of equals, those asked for first."""
        return tuple(sorted(self.places, key=lambda place: -place.value)[:count])


Plan = Callable[[SearchTree, Level], Sequence[Expansion]]
"""From a level to what the next one grows from, the best first; nothing ends the search."""
Scope = Callable[[SearchTree, NodeId], Hashable]
"""Equal states of one level merge within a scope."""


def everywhere(tree: SearchTree, node_id: NodeId) -> Hashable:  # noqa: ARG001  (a scope)
    """Equal states merge wherever on their level they are."""
    return None


@dataclass(frozen=True, slots=True)
class Walk:
    """A search by levels."""

    plan: Plan
    judges: Judges
    steps: Stepwise
    state_key: StateKey
    scope: Scope = everywhere

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        """What the search misses next; see `Strategy.ask`."""
        if new := unscored(tree, self.judges.verifier):
            return Ask(score=new)
        if self.steps.early_stop and tree.accepted(self.judges.verifier or ""):
            return Ask(stop=StopReason.ACCEPTED)
        return self._play(tree, limit)[0]

    def last_level(self, tree: SearchTree) -> Level:
        """The deepest level that is grown and valued."""
        return self._play(tree, Headroom())[1]

    def _play(self, tree: SearchTree, limit: Headroom) -> tuple[Ask, Level]:
        level = Level(0, (Place(tree.root, NO_VALUE),))
        while level.depth < self.steps.depth and (wave := self.plan(tree, level)):
            if missing := unasked(tree, wave):
                if new := self.judges.missing_of_answers(tree):
                    return Ask(score=new), level
                levels_left = self.steps.depth - level.depth - 1
                grow = within(tree, limit, missing, self.steps, levels_left=levels_left)
                return Ask(grow, drop=given_up(tree, wave)), level
            nodes = grown_in(tree, wave)
            standing = self._merged(tree, nodes)
            if requests := self.judges.missing(tree, standing):
                return Ask(score=requests), level
            level = self._level(tree, level, nodes, standing)
        return Ask(), level

    def _merged(self, tree: SearchTree, nodes: Iterable[Node]) -> dict[NodeId, int]:
        """The first node of every state, and how many stand there."""
        first = dict[Hashable, NodeId]()
        copies = dict[NodeId, int]()
        for node in nodes:
            state = self.state_key(tree.trajectory(node.id)) if not is_finished(node) else None
            place = node.id if state is None else (self.scope(tree, node.id), state)
            standing = first.setdefault(place, node.id)
            copies[standing] = copies.get(standing, 0) + 1
        return copies

    def _level(
        self, tree: SearchTree, before: Level, nodes: Sequence[Node], standing: dict[NodeId, int]
    ) -> Level:
        judges = self.judges
        alive = [node_id for node_id in standing if not judges.is_rejected(tree, node_id)]
        values = known_or_worst([judges.value(tree, node_id) for node_id in alive])
        places = tuple(
            Place(node_id, value, is_finished(tree.node(node_id)), standing[node_id])
            for node_id, value in zip(alive, values, strict=True)
        )
        num_finished = before.num_finished + sum(is_finished(node) for node in nodes)
        return Level(before.depth + 1, places, num_finished)


def known_or_worst(values: Sequence[float | None]) -> list[float]:
    """The values, where unknown ones take the smallest of those known."""
    worst = min((value for value in values if value is not None), default=NO_VALUE)
    return [worst if value is None else value for value in values]
