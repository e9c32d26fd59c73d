"""Growing step by step: what the searches that look at unfinished paths have in common."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mull.core.errors import BadInputError
from mull.core.expansion import Expansion, ExpansionKind, Finish, Limits, NodeId, Sampling, Thinking
from mull.core.tree import Node, SearchTree
from mull.search.attempts import check_count

GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True)
class Stepwise:
    """How far paths may grow, and when a search is over."""

    max_tokens: int = 256
    """Tokens a whole answer may take."""
    step_tokens: int = 64
    """Tokens one step may take."""
    depth: int = 16
    """Steps after which an unfinished path is given up."""
    thinking: Thinking = Thinking.AUTO
    early_stop: bool = False
    """Whether the first answer the verifier accepts ends the search. The papers' searches have no
    exact verifier and run to their end."""

    def __post_init__(self) -> None:
        check_count("max_tokens", self.max_tokens, at_most=1_000_000)
        check_count("step_tokens", self.step_tokens, at_most=1_000_000)
        check_count("depth", self.depth)

    def check(self, verifier: str | None) -> None:
        """Raise `BadInputError` for an early stop that nobody could call."""
        if self.early_stop and verifier is None:
            raise BadInputError(
                "`early_stop` ends a search at an accepted answer and needs a verifier",
                hint="name one with `verifier`, or leave `early_stop` out",
            )

    def step(
        self,
        tree: SearchTree,
        node_id: NodeId,
        count: int,
        sampling: Sampling,
        kind: ExpansionKind = ExpansionKind.STEP,
    ) -> tuple[Expansion, ...]:
        """`count` next steps from a node; none where no token is left for them."""
        left = min(self.step_tokens, self._tokens_left(tree, node_id))
        return self._expansion(node_id, kind, count, left, sampling)

    def share_out(
        self,
        tree: SearchTree,
        node_ids: Sequence[NodeId],
        counts: Sequence[int],
        sampling: Sampling,
    ) -> list[Expansion]:
        """`counts[i]` next steps from node i, those with most first."""
        shares = sorted(zip(node_ids, counts, strict=True), key=lambda share: -share[1])
        return [
            expansion
            for node_id, count in shares
            for expansion in self.step(tree, node_id, count, sampling)
        ]

    def finish(
        self, tree: SearchTree, node_id: NodeId, sampling: Sampling = GREEDY
    ) -> tuple[Expansion, ...]:
        """The rest of the answer from a node on."""
        left = self._tokens_left(tree, node_id)
        return self._expansion(node_id, ExpansionKind.FINISH, 1, left, sampling)

    def _expansion(
        self, node_id: NodeId, kind: ExpansionKind, count: int, tokens: int, sampling: Sampling
    ) -> tuple[Expansion, ...]:
        if tokens < 1 or count < 1:
            return ()
        return (
            Expansion(
                (node_id,),
                kind,
                count=count,
                limits=Limits(tokens),
                sampling=sampling,
                thinking=self.thinking,
            ),
        )

    def _tokens_left(self, tree: SearchTree, node_id: NodeId) -> int:
        path = path_to(tree, node_id)
        return self.max_tokens - sum(node.usage.completion_tokens for node in path)


def path_to(tree: SearchTree, node_id: NodeId) -> tuple[Node, ...]:
    """The nodes from the first step to this one, along first inputs; none for the root."""
    path = list[Node]()
    node = tree.node(node_id)
    while node.inputs:
        path.append(node)
        node = tree.node(node.inputs[0])
    return tuple(reversed(path))


def unasked(tree: SearchTree, expansions: Iterable[Expansion]) -> tuple[Expansion, ...]:
    """What is not asked for yet of these expansions."""
    missing = ((each, each.count - tree.next_sample(each)) for each in expansions)
    return tuple(replace(each, count=count) for each, count in missing if count > 0)


def grown_by(tree: SearchTree, expansion: Expansion, count: int) -> tuple[Node, ...]:
    """The nodes with which the expansion's first `count` branches ended, in canonical order.

    Branches that failed or have not ended are left out.
    """
    one = expansion if expansion.count == 1 else replace(expansion, count=1)
    ends = list[Node]()
    for branch in tree.branches_from(expansion.parents[0]):
        if branch.expansion == one and branch.sample < count:
            chain = tree.chain(branch.id)
            if chain and chain[-1].finish not in {None, Finish.CUT}:
                ends.append(chain[-1])
    return tuple(ends)


def grown_in(tree: SearchTree, wave: Iterable[Expansion]) -> list[Node]:
    """The nodes with which the branches of a wave ended, in the order of its expansions."""
    return [node for each in wave for node in grown_by(tree, each, each.count)]


def is_finished(node: Node) -> bool:
    """Whether the model ended its turn with this node."""
    return node.step is not None and node.step.is_final


def given_up(
    tree: SearchTree, wave: Sequence[Expansion], waiting: Sequence[NodeId] = ()
) -> tuple[NodeId, ...]:
    """Unfinished nodes of no further use that are not dropped yet.

    Of use is what leads to a wave, what the wave already holds, and what leads to a waiting node.
    """
    needed = {tree.root, *(node.id for node in grown_in(tree, wave))}
    for node_id in (*(each.parents[0] for each in wave), *waiting):
        needed.update(node.id for node in path_to(tree, node_id))
    return tuple(
        node.id
        for node in tree.nodes()
        if node.id not in needed and not is_finished(node) and not tree.is_dropped(node.id)
    )
