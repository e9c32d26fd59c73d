"""The whole state of a search, as data."""

from bisect import insort
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mull.core.digest import content_digest
from mull.core.expansion import (
    Branch,
    BranchId,
    Call,
    Expansion,
    Failed,
    Finish,
    Grown,
    NodeId,
)
from mull.core.problem import Problem
from mull.core.score import Score, Source, Verdict
from mull.core.seeds import derive_seed
from mull.core.steps import Step, Trajectory
from mull.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the tree: the root, or one step of a branch."""

    id: NodeId
    inputs: tuple[NodeId, ...] = ()
    """What it continues: none for the root, several for a join."""
    branch_id: BranchId | None = None
    index: int = 0
    """Its place in its branch."""
    step: Step | None = None
    usage: Usage = Usage()
    finish: Finish | None = None


@dataclass(slots=True, eq=False, weakref_slot=True)
class SearchTree:
    """Nodes, open branches, scores. The solve's state writes it; everybody else only reads.

    Everything is listed in canonical order: that in which branches were asked for, whatever order
    their results came in. Ids and seeds derive from content, so that the same question, model and
    seed make the same tree in every process.
    """

    problem: Problem
    model: str
    """The policy's model: name, version and numerical format."""
    seed: int
    root: NodeId = field(init=False)
    """The id of the node that holds the problem and no step."""
    _branches: dict[BranchId, Branch] = field(default_factory=dict[BranchId, Branch])
    _ordinals: dict[BranchId, int] = field(default_factory=dict[BranchId, int])
    _asked_from: dict[NodeId, list[BranchId]] = field(default_factory=dict[NodeId, list[BranchId]])
    _chains: dict[BranchId, list[NodeId]] = field(default_factory=dict[BranchId, list[NodeId]])
    _open: dict[BranchId, None] = field(default_factory=dict[BranchId, None])
    _failures: dict[BranchId, Failed] = field(default_factory=dict[BranchId, Failed])
    _cancelled: dict[BranchId, None] = field(default_factory=dict[BranchId, None])
    _nodes: dict[NodeId, Node] = field(default_factory=dict[NodeId, Node])
    _children: dict[NodeId, list[NodeId]] = field(default_factory=dict[NodeId, list[NodeId]])
    _samples: dict[str, int] = field(default_factory=dict[str, int])
    _scores: dict[NodeId, dict[Source, Score]] = field(
        default_factory=dict[NodeId, dict[Source, Score]]
    )
    _dropped: set[NodeId] = field(default_factory=set[NodeId])
    _finished: list[NodeId] = field(default_factory=list[NodeId])
    _changes: list[NodeId] = field(default_factory=list[NodeId])

    def __post_init__(self) -> None:
        self.root = NodeId(content_digest("solve", self.problem.id, self.model, self.seed))
        self._nodes[self.root] = Node(self.root)

    # Reading

    def __contains__(self, node_id: NodeId) -> bool:
        return node_id in self._nodes

    def __len__(self) -> int:
        """Number of nodes, the root included."""
        return len(self._nodes)

    def node(self, node_id: NodeId) -> Node:
        """The node; KeyError if there is none."""
        return self._nodes[node_id]

    def nodes(self) -> Iterator[Node]:
        """Every node in canonical order, the root first."""
        yield self._nodes[self.root]
        for chain in self._chains.values():
            yield from (self._nodes[node_id] for node_id in chain)

    def children(self, node_id: NodeId) -> tuple[Node, ...]:
        """The nodes that continue this one, in canonical order."""
        return tuple(self._nodes[child] for child in self._children.get(node_id, ()))

    def finished(self) -> tuple[Node, ...]:
        """Nodes with which the model ended its turn, in canonical order."""
        return tuple(self._nodes[node_id] for node_id in self._finished)

    def steps(self, node_id: NodeId) -> tuple[Step, ...]:
        """The steps from the root to the node; at a join they follow the first input."""
        path = list[Step]()
        node = self._nodes[node_id]
        while node.step is not None:
            path.append(node.step)
            node = self._nodes[node.inputs[0]]
        return tuple(reversed(path))

    def trajectory(self, node_id: NodeId) -> Trajectory:
        """The path from the root to the node."""
        return Trajectory(self.problem, self.steps(node_id))

    def branch(self, branch_id: BranchId) -> Branch:
        """The branch; KeyError if it was never asked for."""
        return self._branches[branch_id]

    def branches(self) -> tuple[Branch, ...]:
        """Every branch ever asked for, in canonical order."""
        return tuple(self._branches.values())

    def branches_from(self, node_id: NodeId) -> tuple[Branch, ...]:
        """Every branch ever asked for from this node, in canonical order."""
        return tuple(self._branches[each] for each in self._asked_from.get(node_id, ()))

    def chain(self, branch_id: BranchId) -> tuple[Node, ...]:
        """The nodes a branch has so far."""
        return tuple(self._nodes[node_id] for node_id in self._chains[branch_id])

    def pending(self) -> tuple[Branch, ...]:
        """Branches in flight or cut short: asked for, neither ended, failed nor cancelled."""
        return tuple(self._branches[key] for key in self._open)

    def num_asked(self, node_id: NodeId) -> int:
        """How many branches were ever asked for from this node, failed ones included."""
        return len(self._asked_from.get(node_id, ()))

    @property
    def failures(self) -> Mapping[BranchId, Failed]:
        """Branches that failed, and how."""
        return MappingProxyType(self._failures)

    @property
    def cancelled(self) -> Collection[BranchId]:
        """Branches that were not wanted any more while they were open."""
        return self._cancelled.keys()

    def scores(self, node_id: NodeId) -> tuple[Score, ...]:
        """Every verifier's score of the node, oldest first."""
        return tuple(self._scores.get(node_id, {}).values())

    def score(self, node_id: NodeId, verifier: str) -> Score | None:
        """The newest score by the verifier of this name, if it has spoken."""
        spoken: Score | None = None
        for score in self._scores.get(node_id, {}).values():
            if score.source.verifier == verifier:
                spoken = score
        return spoken

    def accepted(self, verifier: str) -> tuple[Node, ...]:
        """Finished nodes that the verifier accepts, in canonical order."""
        scored = ((node, self.score(node.id, verifier)) for node in self.finished())
        return tuple(node for node, score in scored if score and score.verdict is Verdict.ACCEPT)

    def is_dropped(self, node_id: NodeId) -> bool:
        """Whether a strategy gave the node up (its cache is freed; the step stays)."""
        return node_id in self._dropped

    def next_sample(self, expansion: Expansion) -> int:
        """The sample index the next sibling of this expansion gets."""
        return self._samples.get(_sibling_key(expansion), 0)

    def age(self, node_id: NodeId) -> tuple[int, int]:
        """Sorts nodes into canonical order."""
        return self._ordinal(node_id), self._nodes[node_id].index

    def changes(self, since: int) -> Sequence[NodeId]:
        """The nodes that were grown, judged or asked from, oldest first, without so many.

        For whoever has read the tree before and wants to know where to look again.
        """
        return self._changes[since:]

    def call(self, branch: Branch) -> Call:
        """The branch as a policy is to grow it on, with all its limits leave."""
        chain = self.chain(branch.id)
        drawn = sum(node.usage.completion_tokens for node in chain)
        return Call(
            branch,
            bases=tuple(self.trajectory(parent) for parent in branch.parents),
            grown=tuple(node.step for node in chain if node.step is not None),
            drawn=drawn,
            max_tokens=branch.expansion.limits.max_tokens - drawn,
        )

    # Writing: `SolveState` alone

    def ask(self, expansion: Expansion) -> tuple[Branch, ...]:
        """Open `count` siblings. KeyError for an unknown parent, ValueError without any."""
        if not expansion.parents or expansion.count < 1:
            raise ValueError("an expansion needs a parent and a count of at least 1")
        for parent in expansion.parents:
            self.node(parent)
        first = self.next_sample(expansion)
        self._samples[_sibling_key(expansion)] = first + expansion.count
        samples = range(first, first + expansion.count)
        siblings = self._addresses(replace(expansion, count=1), samples)
        for branch in siblings:
            self._ordinals[branch.id] = len(self._ordinals)
            self._branches[branch.id] = branch
            for parent in dict.fromkeys(branch.parents):
                self._asked_from.setdefault(parent, []).append(branch.id)
                self._changes.append(parent)
            self._chains[branch.id] = []
            self._open[branch.id] = None
        return siblings

    def _addresses(self, expansion: Expansion, samples: Iterable[int]) -> tuple[Branch, ...]:
        asked, siblings = expansion.asked, list[Branch]()
        for sample in samples:
            place = (asked, sample, *expansion.parents)
            seed = derive_seed(self.seed, self.root, *place)
            branch_id = BranchId(content_digest("branch", self.root, self.model, seed, *place))
            siblings.append(Branch(branch_id, expansion, sample, seed))
        return tuple(siblings)

    def grow(self, grown: Grown) -> Node:
        """Add a step to an open branch. ValueError unless it is exactly the next one."""
        branch, chain = self._branches[grown.branch_id], self._chains[grown.branch_id]
        if grown.branch_id not in self._open or grown.index != len(chain):
            raise ValueError(
                f"step {grown.index} of branch `{grown.branch_id}` cannot follow {len(chain)} steps"
            )
        inputs = (chain[-1],) if chain else branch.parents
        node = Node(
            branch.node_id(grown.index),
            inputs,
            branch.id,
            grown.index,
            grown.step,
            grown.usage,
            grown.finish,
        )
        chain.append(node.id)
        self._nodes[node.id] = node
        for parent in dict.fromkeys(inputs):
            insort(self._children.setdefault(parent, []), node.id, key=self._ordinal)
        if grown.step.is_final:
            insort(self._finished, node.id, key=self.age)
        if grown.finish not in {None, Finish.CUT}:
            del self._open[branch.id]
        self._changes.append(node.id)
        return node

    def _ordinal(self, node_id: NodeId) -> int:
        branch_id = self._nodes[node_id].branch_id
        return -1 if branch_id is None else self._ordinals[branch_id]

    def fail(self, failed: Failed) -> None:
        """Close an open branch that will not end. KeyError if it is not open."""
        del self._open[failed.branch_id]
        self._failures[failed.branch_id] = failed

    def cancel(self, branch_ids: Iterable[BranchId]) -> None:
        """Close open branches that nobody wants any more. KeyError if one is not open."""
        for branch_id in branch_ids:
            del self._open[branch_id]
            self._cancelled[branch_id] = None

    def judge(self, node_id: NodeId, score: Score) -> None:
        """Record a score of a node; the same source replaces what it said before."""
        self.node(node_id)
        self._scores.setdefault(node_id, {})[score.source] = score
        self._changes.append(node_id)

    def drop(self, node_ids: Iterable[NodeId]) -> None:
        """Mark nodes as given up. KeyError if one is unknown."""
        self._dropped.update(self.node(node_id).id for node_id in node_ids)

    def check(self) -> None:
        """Raise AssertionError if the tree contradicts itself."""
        for branch_id, branch in self._branches.items():
            same = (branch,) == self._addresses(branch.expansion, (branch.sample,))
            _require("an id is that of its content", holds=same)
            self._check_chain(branch, [self._nodes[each] for each in self._chains[branch_id]])
        nodes = list(self.nodes())
        _require("every node belongs to a branch", holds=len(nodes) == len(self._nodes))
        for node in nodes:
            known = all(node.id in self._children[parent] for parent in node.inputs)
            _require(f"the parents of `{node.id}` know it", holds=known)
        for children in self._children.values():
            ordinals = [self._ordinal(child) for child in children]
            _require("children are in order", holds=ordinals == sorted(set(ordinals)))
        _require("a score has a node", holds=self._scores.keys() <= self._nodes.keys())
        closed = self._failures.keys() | self._cancelled.keys()
        _require("what failed or was cancelled is closed", holds=not self._open.keys() & closed)

    def _check_chain(self, branch: Branch, chain: Sequence[Node]) -> None:
        ended = [node.finish not in {None, Finish.CUT} for node in chain]
        is_over = any(ended) or branch.id in self._failures or branch.id in self._cancelled
        is_open = branch.id in self._open
        _require(f"nothing follows the end of branch `{branch.id}`", holds=not any(ended[:-1]))
        _require(f"branch `{branch.id}` is either open or over", holds=is_over != is_open)
        for index, node in enumerate(chain):
            before = (chain[index - 1].id,) if index else branch.parents
            _require(f"`{node.id}` is its branch's", holds=node.id == branch.node_id(index))
            _require(f"`{node.id}` follows its branch", holds=node.inputs == before)

    def content(self) -> tuple[object, ...]:
        """All it holds, in canonical order: trees are the same if their contents compare equal."""
        return (
            self.root,
            list(self._branches.values()),
            list(self.nodes()),
            self._failures,
            self._cancelled,
            self._scores,
            self._dropped,
        )


def _sibling_key(expansion: Expansion) -> str:
    return content_digest(expansion.asked, *expansion.parents)


def _require(invariant: str, *, holds: bool) -> None:
    if not holds:
        raise AssertionError(f"it must be that {invariant}")
