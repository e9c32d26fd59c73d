"""Every place of a tree, with values, visits and mean values, kept up as the tree grows.

A tree only grows, and a search looks at it after every wave. So what was found is kept beside the
tree, and the next look reads what is new. No choice depends on it: a first look finds the same.
"""

from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

from mull.core.expansion import Expansion, Finish, NodeId, ScoreRequest
from mull.core.tree import Node, SearchTree
from mull.search.levels import known_or_worst
from mull.search.places import Place, Rules
from mull.search.steps import is_finished


@dataclass(slots=True, eq=False)
class Survey:
    """Every place of a tree, level by level, on each by the age of its first node.

    Equal states of one level are one place, reached from several parents; its visits count for each
    of them. Searches read it and change nothing.
    """

    rules: Rules
    levels: list[list[Place]] = field(default_factory=list[list[Place]])
    _num_read: int = 0
    """Of the tree's changes."""
    _taken: set[NodeId] = field(default_factory=set[NodeId])
    _newest: tuple[int, int] = (-1, -1)
    """The greatest age of those."""
    _at_node: dict[NodeId, Place] = field(default_factory=dict[NodeId, Place])
    _at_state: dict[tuple[int, str], Place] = field(default_factory=dict[tuple[int, str], Place])
    _at_leaf: dict[NodeId, Place] = field(default_factory=dict[NodeId, Place])
    _values: dict[Place, float | None] = field(default_factory=dict[Place, float | None])
    """Of all but the root; None where nobody can say or the rollout failed."""
    _unsettled: set[NodeId] = field(default_factory=set[NodeId])
    """Leaves and answers of which a judge is yet to be asked."""
    _unrolled: list[Place] = field(default_factory=list[Place])
    """Places whose rollout is not asked for yet."""
    _stale: set[Place] = field(default_factory=set[Place])
    """Where something happened since visits were counted."""

    @property
    def root(self) -> Place:
        """The place of the problem alone."""
        return self.levels[0][0]

    def open_places(self) -> list[Place]:
        """Those that can grow, the root first."""
        return [place for level in self.levels for place in level if place.step is not None]

    def value(self, place: Place) -> float | None:
        """What the judges think of a place's leaf; None where they cannot say, and of the root."""
        return self._values.get(place)

    def rollouts(self, tree: SearchTree) -> tuple[Expansion, ...]:
        """Those that are yet to be asked for."""
        wanted = ((place, place.rollout) for place in self._unrolled if place.step is not None)
        missing = [(place, each) for place, each in wanted if each and not tree.next_sample(each)]
        self._unrolled = [place for place, _ in missing]
        return tuple(each for _, each in sorted(missing, key=lambda pair: pair[0].position))

    def missing(self, tree: SearchTree) -> tuple[ScoreRequest, ...]:
        """Scores that the values of places still need, then those of other answers."""
        places = [self._at_leaf[each] for each in self._unsettled if each in self._at_leaf]
        places.sort(key=lambda place: place.position)
        leaves = [place.leaf for place in places if place.leaf is not None]
        answers = sorted(self._unsettled, key=tree.age)
        judges = self.rules.judges
        return judges.missing(tree, leaves) or judges.missing(tree, answers)

    def keep_up(self, tree: SearchTree) -> bool:
        """Take in what is new. False where it does not go on from here: begin anew then."""
        if not self.levels:
            self._add_place(tree, tree.node(tree.root), 0)
        changes = tree.changes(self._num_read)
        self._num_read += len(changes)
        touched = [tree.node(node_id) for node_id in dict.fromkeys(changes)]
        if not all(self._is_as_it_was(tree, node.id) for node in touched):
            return False
        ended = [node for node in touched if _has_ended(node) and node.id not in self._taken]
        for node in sorted(ended, key=lambda node: tree.age(node.id)):
            if tree.age(node.id) < self._newest:
                return False
            self._newest = tree.age(node.id)
            self._take(tree, node)
        for node in touched:
            self._judge(tree, node)
        return True

    def _is_as_it_was(self, tree: SearchTree, node_id: NodeId) -> bool:
        """Whether all that was found at and below a node's place still holds."""
        place = self._at_node.get(node_id)
        if place is None:
            return True
        if place.is_rejected != self.rules.judges.is_rejected(tree, node_id):
            if place.is_rejected or place.num_asked or place.rollout is not None:
                return False
            place.is_rejected, place.step = True, None
        if place.step is not None:
            place.num_asked = tree.next_sample(place.step)
        return True

    def _take(self, tree: SearchTree, node: Node) -> None:
        """Take in a node with which a branch ended."""
        self._taken.add(node.id)
        branch_id = node.branch_id
        if branch_id is None:
            return
        branch = tree.branch(branch_id)
        parent = self._at_node.get(branch.parents[0])
        if parent is None or parent.step is None:
            return
        if branch.expansion == parent.step:
            self._add_child(tree, parent, node)
        elif branch.expansion == parent.rollout and branch.sample == 0:
            self._set_leaf(parent, node.id)

    def _add_child(self, tree: SearchTree, parent: Place, node: Node) -> None:
        depth = parent.depth + 1
        state = None if is_finished(node) else self.rules.state_key(tree.trajectory(node.id))
        place = None if state is None else self._at_state.get((depth, state))
        if place is None:
            place = self._add_place(tree, node, depth)
        if state is not None:
            self._at_state[depth, state] = place
        if place not in parent.children:
            place.parents.append(parent)
        parent.children[place] = parent.children.get(place, 0) + 1
        self._stale.add(parent)

    def _add_place(self, tree: SearchTree, node: Node, depth: int) -> Place:
        if depth == len(self.levels):
            self.levels.append([])
        place = Place(node.id, (depth, len(self.levels[depth])))
        self.levels[depth].append(place)
        self._at_node[node.id] = place
        rules = self.rules
        place.is_rejected = depth > 0 and rules.judges.is_rejected(tree, node.id)
        if not place.is_rejected:
            place.step = rules.step(tree, node, depth)
        if place.step is not None:
            place.num_asked = tree.next_sample(place.step)
            place.rollout = rules.rollout(tree, node.id) if depth > 0 else None
        if depth > 0:
            self._values[place] = None
            self._stale.add(place)
        if place.rollout is not None:
            self._unrolled.append(place)
        elif depth > 0:
            self._set_leaf(place, node.id)
        return place

    def _set_leaf(self, place: Place, node_id: NodeId) -> None:
        place.leaf = node_id
        self._at_leaf[node_id] = place

    def _judge(self, tree: SearchTree, node: Node) -> None:
        """Look again at what the judges say of a leaf or an answer."""
        judges, place = self.rules.judges, self._at_leaf.get(node.id)
        if place is not None:
            self._values[place] = judges.value(tree, node.id)
            self._stale.add(place)
        if (place is not None or is_finished(node)) and judges.missing(tree, [node.id]):
            self._unsettled.add(node.id)
        else:
            self._unsettled.discard(node.id)

    def back_up(self) -> None:
        """Give every place its visits and total: its own valuation and those below it.

        A place that nobody could value counts as the worst of those that were.
        """
        worst = known_or_worst([None, *self._values.values()])[0]
        is_unknown = None in self._values.values()
        stale = {place for level in self.levels for place in level} if is_unknown else self._stale
        waiting, self._stale = [*stale], set()
        while waiting:
            above = [place for place in waiting.pop().parents if place not in stale]
            stale.update(above)
            waiting += above
        for place in sorted(stale, key=lambda place: -place.depth):
            value = self._values.get(place, 0.0)
            place.visits = (place.depth > 0) + sum(child.visits for child in place.children)
            place.total = (worst if value is None else value) + sum(
                child.total for child in place.children
            )


def _has_ended(node: Node) -> bool:
    """Whether no step of its branch follows."""
    return node.finish not in {None, Finish.CUT}


_SURVEYS: Final[WeakKeyDictionary[SearchTree, Survey]] = WeakKeyDictionary()
"""The last survey of every tree that is in use."""


def surveyed(tree: SearchTree, rules: Rules) -> Survey:
    """The survey of a tree as it stands."""
    survey = _SURVEYS.get(tree)
    if survey is None or survey.rules != rules or not survey.keep_up(tree):
        survey = _SURVEYS[tree] = Survey(rules)
        survey.keep_up(tree)
    return survey
