"""The smaller search inside a larger one.

A sample's id and seed depend on its index and not on how many siblings were asked for. The tree of
n samples is therefore part of every larger tree of the same strategy, problem, model and seed, and
a curve over n costs one solve with the largest.
"""

from mull.core.expansion import Grown
from mull.core.tree import Node, SearchTree


def prefix_tree(tree: SearchTree, n: int) -> SearchTree:
    """The tree as it would be had every place in it been given at most n samples."""
    smaller = SearchTree(tree.problem, tree.model, tree.seed)
    for branch in tree.branches():
        if branch.sample >= n or any(parent not in smaller for parent in branch.parents):
            continue
        smaller.ask(branch.expansion)
        for node in tree.chain(branch.id):
            smaller.grow(_as_grown(node))
            for score in tree.scores(node.id):
                smaller.judge(node.id, score)
        if branch.id in tree.failures:
            smaller.fail(tree.failures[branch.id])
    return smaller


def _as_grown(node: Node) -> Grown:
    """What the policy said when this node was made. ValueError for the root."""
    if node.branch_id is None or node.step is None:
        raise ValueError(f"`{node.id}` is a root")
    return Grown(node.branch_id, node.index, node.step, node.usage, node.finish)
