"""The seams. Nobody inherits them; a type-checked assignment in a test proves that one fits."""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mull.core.events import Event, StopReason
from mull.core.expansion import Call, Expansion, ExpansionKind, NodeId, Outcome, ScoreRequest
from mull.core.ledger import Bound
from mull.core.score import Score, Source
from mull.core.spec import SolveSpec, Spec
from mull.core.steps import Trajectory
from mull.core.tree import SearchTree
from mull.core.usage import Headroom, Usage


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a policy can do."""

    model: str
    """Name, version and numerical format: whatever changes the samples of a seed."""
    kinds: frozenset[ExpansionKind]
    bound: Bound = Bound.HARD
    """Whether `quote` is a promise."""
    window: int = 0
    """Longest sequence in tokens, the prompt included; 0 where nobody knows."""


class Policy(Protocol):
    """Grows branches."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; constant for its lifetime."""
        ...

    def quote(self, call: Call) -> Usage:
        """The worst case of one call: `call.max_tokens` generated tokens, 1 call, FLOPs, money."""
        ...

    def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """Grow all calls at once and stream what comes, in any order across branches.

        Each call yields its `Grown` steps in order, from index `len(call.grown)`, and ends with one
        whose `finish` is set, or with `Failed`. Generated tokens of the call never exceed
        `call.max_tokens`; at that point the step, however short, comes with finish `length`.
        Randomness for token t of a branch is a function of (branch.seed, t) alone.
        A `PolicyError` raised here fails every branch not yet ended; closing the generator cancels
        them and frees what they hold.
        """
        ...

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """Free what is kept for these nodes (caches). They may come back; that costs only time.

        Two solves of equal problem, model and seed share node ids.
        """
        ...


class Verifier(Protocol):
    """Judges trajectories without ever seeing a reference. It checks; it does not solve."""

    @property
    def source(self) -> Source:
        """Who speaks, and in which version."""
        ...

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order. What it cannot judge is `Verdict.UNKNOWN`.

        Where another exception than a `VerifierError` escapes, each trajectory is asked about
        alone, if that costs nothing: one that cannot be taken costs the others nothing.
        """
        ...

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        """The worst case of scoring them."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """What a strategy wants next. Empty: nothing more."""

    grow: tuple[Expansion, ...] = ()
    score: tuple[ScoreRequest, ...] = ()
    drop: tuple[NodeId, ...] = ()
    stop: StopReason = StopReason.COMPLETED
    """Why nothing more, where it is empty."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked."""
        return not (self.grow or self.score or self.drop)


@dataclass(frozen=True, slots=True)
class Candidate:
    """The answer a strategy would give now."""

    node_id: NodeId
    """The trajectory it is read off."""
    answer: str | None
    """None where the best there is must not be given, as when a checker rejected it."""
    confidence: float | None = None
    """Probability that the answer is right; None where nothing calibrated says so."""
    notes: tuple[str, ...] = ()
    """What a person should know about how it was chosen."""


class Strategy(Protocol):
    """One way to grow a tree and to read an answer off it: pure functions of the tree."""

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        """What to do next. Called between waves; `limit` is what may still be spent."""
        ...

    def select(self, tree: SearchTree) -> Candidate | None:
        """The best answer of any tree, however unfinished; None while there is none."""
        ...


@runtime_checkable
class Hasty(Strategy, Protocol):
    """A strategy that may be asked while what it asked for grows, whenever a branch is over.

    What it wants scored is scored at once. Where it stops for a reason of its own, what is still
    open is cancelled. What it wants grown waits until the wave is over.
    """

    @property
    def on_arrival(self) -> bool:
        """Whether it wants to be asked so. What it comes to then hangs on which calls are fast."""
        ...


@dataclass(frozen=True, slots=True)
class Situation:
    """What a controller decides on, before each wave."""

    tree: SearchTree
    spent: Usage
    headroom: Headroom
    done: StopReason | None = None
    """Set when the strategy last run asked for nothing more: its reason."""


@dataclass(frozen=True, slots=True)
class Run:
    """Let this strategy ask for one wave, within this limit."""

    strategy: Spec
    limit: Headroom = Headroom()


@dataclass(frozen=True, slots=True)
class Stop:
    """End with the answer the strategy selects."""

    reason: StopReason


@dataclass(frozen=True, slots=True)
class Abstain:
    """End without an answer."""

    note: str


@dataclass(frozen=True, slots=True)
class Escalate:
    """End here; somebody stronger should take over."""

    note: str


Decision = Run | Stop | Abstain | Escalate


class Controller(Protocol):
    """Decides before each wave which strategy goes on, or that it is enough."""

    def decide(self, situation: Situation) -> Decision:
        """The next move. Pure: equal situations, equal decisions."""
        ...

    def vouch(self, tree: SearchTree, candidate: Candidate) -> Candidate:
        """The strategy's candidate as it is given, however the solve ended.

        What a controller knows may say how sure one can be of it, or that it is not to be given.
        """
        ...


@dataclass(frozen=True, slots=True)
class SolveSummary:
    """One line of a journal's table of contents."""

    solve_id: str
    statement: str
    spec: SolveSpec
    stop: StopReason | None
    """None while the solve is open: running, or interrupted."""
    answer: str | None


class Journal(Protocol):
    """Keeps traces. What a crash leaves behind is a prefix of what was appended."""

    async def append(self, solve_id: str, events: Sequence[Event]) -> None:
        """Add events to the end of a solve's trace; durable at the latest with the next `flush`.

        The first event of a solve is `SolveStarted`; a second one under the same id is
        `BadInputError`. `StoreError` if what was appended earlier could not be written.
        """
        ...

    async def flush(self) -> None:
        """Return when everything appended so far would survive a crash."""
        ...

    async def load(self, solve_id: str) -> Sequence[Event]:
        """The trace so far. `UnknownSolveError`, or `JournalCorruptError` if it is damaged."""
        ...

    async def solves(self) -> Sequence[SolveSummary]:
        """Every solve, newest first."""
        ...
