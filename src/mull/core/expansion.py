"""What can be asked of a policy, and what it answers.

A strategy asks for `Expansion`s. The solver addresses each wanted sibling as a `Branch` with an id
of its own and hands the policy a `Call`: the branch, what to grow it from, and how far it may go
now. The policy answers with a stream of `Outcome`s, each attributed to its branch by id.

A branch is a chain of nodes, one a step, however many steps the expansion grows: a `step` expansion
ends after the first, a `finish` expansion when the model ends its turn.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from json import dumps
from typing import NewType, Self

from mull.core.codec import encode
from mull.core.digest import content_digest
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Usage

NodeId = NewType("NodeId", str)
"""`<branch id>.<index of the step in its branch>`; the root's: a digest of the solve's content."""
BranchId = NewType("BranchId", str)
"""Digest of the parents, what was asked, the sample index, the model and the seed."""


class ExpansionKind(StrEnum):
    """How a node is grown."""

    STEP = "step"
    TOKENS = "tokens"
    """Exactly `limits.max_tokens` tokens, or fewer where the turn ends."""
    FINISH = "finish"
    """To the end of the turn."""
    PROPOSE = "propose"
    """Many siblings out of one call."""
    REVISE = "revise"
    """Again, in the light of `feedback`."""
    PROBE = "probe"
    """The answer the model would give now."""
    SPLIT = "split"
    """Into sub-problems."""
    JOIN = "join"
    """Out of several parents."""


class ModelRole(StrEnum):
    """Which of the policy's models grows the branch."""

    DRAFT = "draft"
    TARGET = "target"
    JUDGE = "judge"


class Thinking(StrEnum):
    """Whether the model reasons before it answers."""

    AUTO = "auto"
    """As the model does by itself."""
    OFF = "off"
    """The direct form: an answer without reasoning."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is drawn. Temperature 0 is greedy and ignores the rest."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def is_greedy(self) -> bool:
        """Whether the draw needs no randomness."""
        return self.temperature == 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a branch must end if it has not ended by itself."""

    max_tokens: int = 256
    """Tokens the whole branch may generate, hidden reasoning included."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """Grow `count` siblings from one place in the tree."""

    parents: tuple[NodeId, ...]
    """One node, or those a `join` puts together; the first is the one that is continued."""
    kind: ExpansionKind
    count: int = 1
    role: ModelRole = ModelRole.TARGET
    limits: Limits = Limits()
    sampling: Sampling = Sampling()
    thinking: Thinking = Thinking.AUTO
    feedback: str = ""
    """What a `revise` must take into account."""

    @property
    def asked(self) -> str:
        """Digest of what is asked: everything but where and how many."""
        return _digest(replace(self, parents=(), count=1))


# A search asks for the same again and again: of thousands of expansions few are distinct.
@lru_cache(maxsize=1 << 10)
def _digest(placeless: Expansion) -> str:
    return content_digest(dumps(encode(placeless), sort_keys=True))


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A verifier, by name, is to judge the trajectory that ends in this node."""

    node_id: NodeId
    verifier: str


@dataclass(frozen=True, slots=True)
class Branch:
    """One wanted sibling, fully addressed."""

    id: BranchId
    expansion: Expansion
    """With count 1."""
    sample: int
    """Its number among equal expansions of the same parents, from 0."""
    seed: int
    """Token number t of the branch is drawn from (seed, t) alone."""

    @property
    def parents(self) -> tuple[NodeId, ...]:
        """The nodes it grows from."""
        return self.expansion.parents

    def node_id(self, index: int) -> NodeId:
        """The id of its step number `index`."""
        return NodeId(f"{self.id}.{index}")


@dataclass(frozen=True, slots=True)
class Call:
    """A branch handed to a policy: grow it on from where it stands."""

    branch: Branch
    bases: tuple[Trajectory, ...]
    """The parents' trajectories, in the order of `branch.parents`."""
    grown: tuple[Step, ...] = ()
    """Steps the branch already has: from before a crash, or before a budget cut it."""
    drawn: int = 0
    """Tokens the branch has generated; the next one's randomness is that of number `drawn`."""
    max_tokens: int = 256
    """Tokens it may generate now: what the limits leave, or less where the budget is short."""

    @property
    def trajectory(self) -> Trajectory:
        """What generation continues: the first parent and the steps already grown."""
        return self.bases[0].extend(*self.grown)

    def cut_to(self, max_tokens: int) -> Self:
        """The call with a shorter leash."""
        return replace(self, max_tokens=min(self.max_tokens, max_tokens))


class Finish(StrEnum):
    """Why no further step of the branch follows."""

    STOP = "stop"
    """The model ended its turn."""
    STEP = "step"
    """The one step that was asked for is there."""
    LENGTH = "length"
    """The expansion's limit or the model's window is reached."""
    CUT = "cut"
    """The budget was short: the branch stays open, for a larger budget to continue it."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Text as it streams; the `Grown` that follows repeats it in full.

    Empty text says that the call is on its way, so that its prompt has its price from here on.
    """

    branch_id: BranchId
    text: str
    num_tokens: int = 1
    kind: StepKind = StepKind.ANSWER
    """As far as the text so far tells."""


@dataclass(frozen=True, slots=True)
class Grown:
    """One more step of a branch."""

    branch_id: BranchId
    index: int
    """Its place in the branch, from 0, counting the steps of `Call.grown`."""
    step: Step
    usage: Usage
    """What this step added. Its generated tokens are those of the step; the prompt is charged to
    the first step of a call."""
    finish: Finish | None = None
    """None while more steps follow. Policies say `length`; the solver knows a `cut` from it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The branch ends without its turn having ended; its siblings go on."""

    branch_id: BranchId
    message: str
    usage: Usage = Usage()
    """What was spent beyond the steps already reported."""
    retryable: bool = False


Outcome = Delta | Grown | Failed
