"""What a finished search did, level by level: a reader of trees for reports."""

from dataclasses import dataclass

from mull.core.expansion import NodeId
from mull.core.states import StateKey
from mull.core.tree import Node, SearchTree
from mull.search.steps import is_finished, path_to


@dataclass(frozen=True, slots=True)
class LevelCount:
    """What stands at one depth of a tree."""

    depth: int
    """Steps from the root, at least 1."""
    num_nodes: int
    num_states: int
    """Distinct states; a node without a state is one of its own."""
    num_finished: int
    num_pruned: int
    """Given up, and leading to no answer."""
    num_scored: int
    """Valued by the guide."""

    @property
    def duplicate_rate(self) -> float:
        """The share of nodes that only repeat a state of their level."""
        return 1.0 - self.num_states / self.num_nodes


def level_counts(tree: SearchTree, state_key: StateKey, guide: str) -> tuple[LevelCount, ...]:
    """The levels of a tree from the first step down, whatever strategy grew it."""
    levels = list[list[Node]]()
    leading = set[NodeId]()
    for node in tree.nodes():
        path = path_to(tree, node.id)
        if is_finished(node):
            leading.update(each.id for each in path)
        if path:
            levels.extend([] for _ in range(len(path) - len(levels)))
            levels[len(path) - 1].append(node)
    return tuple(
        LevelCount(
            depth,
            len(nodes),
            len({state_key(tree.trajectory(node.id)) or f"node {node.id}" for node in nodes}),
            sum(is_finished(node) for node in nodes),
            sum(tree.is_dropped(node.id) and node.id not in leading for node in nodes),
            sum(tree.score(node.id, guide) is not None for node in nodes),
        )
        for depth, nodes in enumerate(levels, start=1)
    )
