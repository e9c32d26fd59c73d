"""Places: the states that step-by-step searches meet in a tree, and what makes them."""

from dataclasses import dataclass, field
from enum import StrEnum

from mull.core.expansion import Expansion, NodeId, Sampling
from mull.core.states import StateKey, no_state
from mull.core.tree import Node, SearchTree
from mull.search.judges import Judges
from mull.search.steps import Stepwise, is_finished


class Evaluation(StrEnum):
    """Where the value of a new child comes from."""

    GUIDE = "guide"
    """The guide values the unfinished path."""
    ROLLOUT = "rollout"
    """The judges value the answer of one completion."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What makes a state, and what it is valued by."""

    judges: Judges
    steps: Stepwise = Stepwise()
    sampling: Sampling = Sampling()
    state_key: StateKey = no_state
    evaluation: Evaluation = Evaluation.GUIDE

    def step(self, tree: SearchTree, node: Node, depth: int) -> Expansion | None:
        """The expansion of which a place's children are samples; None where it cannot grow."""
        if is_finished(node) or depth >= self.steps.depth:
            return None
        return next(iter(self.steps.step(tree, node.id, 1, self.sampling)), None)

    def rollout(self, tree: SearchTree, node_id: NodeId) -> Expansion | None:
        """The completion whose answer values a place that can grow; None where the guide does."""
        if self.evaluation is Evaluation.GUIDE:
            return None
        return next(iter(self.steps.finish(tree, node_id, self.sampling)), None)


@dataclass(slots=True, eq=False)
class Place:
    """A state, the steps that were drawn from it and what they came to. Owned by its survey."""

    node_id: NodeId
    """The first node that reached it."""
    position: tuple[int, int]
    """Its depth, and its number on that level."""
    is_rejected: bool = False
    step: Expansion | None = None
    """Of which its children are samples; None where it is finished, rejected or too deep."""
    rollout: Expansion | None = None
    num_asked: int = 0
    """Steps ever asked for from here."""
    parents: "list[Place]" = field(default_factory=list["Place"])
    children: "dict[Place, int]" = field(default_factory=dict["Place", int])
    """Distinct states that followed, and how many steps led to each."""
    leaf: NodeId | None = None
    """The path whose value it is valued by: its own, or that of its rollout."""
    visits: int = 0
    """N: valuations at and below the place."""
    total: float = 0.0
    """W: their sum."""

    @property
    def depth(self) -> int:
        """Steps from the root."""
        return self.position[0]
