"""What Monte-Carlo tree search knows about a tree: visits and mean values, as sums over it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from mull.core.expansion import Expansion, NodeId
from mull.core.states import StateKey
from mull.core.tree import Node, SearchTree
from mull.search.judges import Judges
from mull.search.levels import known_or_worst
from mull.search.steps import grown_by, is_finished


class Evaluation(StrEnum):
    """Where the value of a new child comes from."""

    GUIDE = "guide"
    """The guide values the unfinished path."""
    ROLLOUT = "rollout"
    """The judges value the answer of one completion."""


@dataclass(slots=True, eq=False)
class Place:
    """A state, the steps that were drawn from it and what they came to. Owned by its statistics."""

    node_id: NodeId
    """The first node that reached it."""
    depth: int
    is_finished: bool = False
    is_dead: bool = False
    """Rejected, or too deep to grow."""
    num_asked: int = 0
    """Steps ever asked for from here."""
    num_new: int = 0
    """Those of them that are being asked for now."""
    children: "dict[Place, int]" = field(default_factory=dict["Place", int])
    """Distinct states that followed, and how many steps led to each."""
    visits: int = 0
    """N: valuations at and below the place."""
    total: float = 0.0
    """W: their sum."""

    @property
    def mean(self) -> float:
        """Q = W / N."""
        return self.total / self.visits if self.visits else 0.0


Stepper = Callable[[SearchTree, Place], tuple[Expansion, ...]]
"""One expansion of which a place's children are samples; none where it cannot grow."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Every place of a tree, level by level.

    Equal states of one level are one place, reached from several parents; its visits count for each
    of them.
    """

    levels: tuple[tuple[Place, ...], ...]
    leaves: dict[Place, tuple[NodeId, ...]]
    """The paths whose values a place is valued by: its own, or those of its rollouts."""

    @property
    def root(self) -> Place:
        """The place of the problem alone."""
        return self.levels[0][0]

    @property
    def places(self) -> Iterator[Place]:
        """All but the root."""
        for level in self.levels[1:]:
            yield from level

    def to_value(self) -> list[NodeId]:
        """Every path that must have a value."""
        return [node_id for leaves in self.leaves.values() for node_id in leaves]


def survey(
    tree: SearchTree, stepper: Stepper, judges: Judges, state_key: StateKey
) -> tuple[tuple[Place, ...], ...]:
    """The places of a tree, level by level, without values."""
    order = {node.id: index for index, node in enumerate(tree.nodes())}
    level = [Place(tree.root, 0)]
    levels = list[tuple[Place, ...]]()
    while level:
        levels.append(tuple(level))
        grown = [(node, place) for place in level for node in _children(tree, place, stepper)]
        # By age, so that the place of a state stays where its first node is.
        grown.sort(key=lambda each: order[each[0].id])
        level = _merged(tree, grown, judges, state_key)
    return tuple(levels)


def _children(tree: SearchTree, place: Place, stepper: Stepper) -> Iterable[Node]:
    expansions = () if place.is_finished or place.is_dead else stepper(tree, place)
    if not expansions:
        place.is_dead = not place.is_finished
        return ()
    (expansion,) = expansions
    place.num_asked = tree.next_sample(expansion)
    return grown_by(tree, expansion, place.num_asked)


def _merged(
    tree: SearchTree, grown: Iterable[tuple[Node, Place]], judges: Judges, state_key: StateKey
) -> list[Place]:
    places = dict[str, Place]()
    for node, parent in grown:
        is_end = is_finished(node)
        state = None if is_end else state_key(tree.trajectory(node.id))
        name = f"node {node.id}" if state is None else f"state {state}"
        if name not in places:
            is_dead = judges.is_rejected(tree, node.id)
            places[name] = Place(node.id, parent.depth + 1, is_end, is_dead)
        children = parent.children
        children[places[name]] = children.get(places[name], 0) + 1
    return list(places.values())


def backed_up(tree: SearchTree, found: Statistics, judges: Judges) -> Statistics:
    """Give every place its visits and total: its own valuations and those below it.

    A place that nobody could value counts as the worst of those that were.
    """
    paths = found.to_value()
    values = known_or_worst([judges.value(tree, node_id) for node_id in paths])
    worth = dict(zip(paths, values, strict=True))
    for level in reversed(found.levels):
        for place in level:
            own = [worth[node_id] for node_id in found.leaves.get(place, ())]
            place.visits = len(own) + sum(child.visits for child in place.children)
            place.total = sum(own) + sum(child.total for child in place.children)
    return found
