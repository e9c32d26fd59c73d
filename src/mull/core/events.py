"""The one versioned trace: everything a solve did, in the order it happened.

Audit, metrics, viewers, replay and training data are readers of it. Results are recorded as they
arrive, so the order of arrival is part of the trace; their place in the tree is not decided by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, cast

from mull.core.codec import DecodeError, Json, decode, encode
from mull.core.errors import JournalCorruptError
from mull.core.expansion import BranchId, Expansion, Failed, Grown, NodeId, ScoreRequest
from mull.core.problem import Problem
from mull.core.score import Score
from mull.core.spec import SolveSpec, Spec
from mull.core.usage import Budget, Limit, Usage

TRACE_VERSION: Final = 1


class StopReason(StrEnum):
    """Why a solve ended."""

    COMPLETED = "completed"
    """The strategy has grown all it wanted."""
    ACCEPTED = "accepted"
    """A verifier accepted an answer."""
    REACHED = "reached"
    """The answer is believed to be right as surely as was asked for."""
    SETTLED = "settled"
    """More would hardly change the answer; whether it is right, nothing could say."""
    GIVEN_UP = "given_up"
    """More was judged not to be worth what it costs."""
    ABSTAINED = "abstained"
    """The controller judged no answer worth giving."""
    ESCALATED = "escalated"
    """The controller handed the problem to somebody stronger."""
    FAILED = "failed"
    """Every branch failed."""
    CANCELLED = "cancelled"
    """Whoever asked wants no more; the answer is the best there was by then."""
    BUDGET_TOKENS = "budget_tokens"
    BUDGET_SECONDS = "budget_seconds"
    BUDGET_CALLS = "budget_calls"
    BUDGET_FLOPS = "budget_flops"
    BUDGET_MONEY_USD = "budget_money_usd"

    @classmethod
    def of_limit(cls, limit: Limit) -> "StopReason":
        """The reason that names this limit."""
        return cls(f"budget_{limit.value}")

    @property
    def is_budget(self) -> bool:
        """Whether a larger budget would let the solve go on."""
        return self.value.startswith("budget_")


class ChargeReason(StrEnum):
    """What a charge beside steps, failures and scores was for."""

    ELAPSED = "elapsed"
    """Wall-clock time since the last such charge."""
    DISCARDED = "discarded"
    """Tokens of steps that a cancel or a deadline cut short."""


@dataclass(frozen=True, slots=True)
class SolveStarted:
    """Always the first event."""

    problem: Problem
    spec: SolveSpec
    seed: int
    budget: Budget
    labels: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """What the caller files the solve under (a tenant, a tier); no part of any id."""


@dataclass(frozen=True, slots=True)
class WaveAsked:
    """What the strategy asked for in one turn, cut to what the budget granted."""

    wave: int
    """From 0."""
    strategy: Spec
    """Who asked."""
    grow: tuple[Expansion, ...] = ()
    score: tuple[ScoreRequest, ...] = ()
    drop: tuple[NodeId, ...] = ()
    cancel: tuple[BranchId, ...] = ()
    """Branches that were open and are not wanted any more, whatever they would have come to."""


@dataclass(frozen=True, slots=True)
class NodeGrown:
    """A step arrived."""

    grown: Grown


@dataclass(frozen=True, slots=True)
class BranchFailed:
    """A branch will not end."""

    failed: Failed


@dataclass(frozen=True, slots=True)
class NodeScored:
    """A verifier spoke."""

    node_id: NodeId
    score: Score


@dataclass(frozen=True, slots=True)
class Charged:
    """Spending that no other event carries."""

    usage: Usage
    reason: ChargeReason


@dataclass(frozen=True, slots=True)
class Extended:
    """The solve goes on under this budget, which replaces the one before."""

    budget: Budget


@dataclass(frozen=True, slots=True)
class SolveEnded:
    """The solve's result. Only `Extended` may follow."""

    stop: StopReason
    node_id: NodeId | None = None
    """The candidate the answer was read off."""
    answer: str | None = None
    """None: there is no answer that could be given."""
    confidence: float | None = None
    notes: tuple[str, ...] = ()


Event = (
    SolveStarted
    | WaveAsked
    | NodeGrown
    | BranchFailed
    | NodeScored
    | Charged
    | Extended
    | SolveEnded
)

EVENTS: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {
        "solve_started": SolveStarted,
        "wave_asked": WaveAsked,
        "node_grown": NodeGrown,
        "branch_failed": BranchFailed,
        "node_scored": NodeScored,
        "charged": Charged,
        "extended": Extended,
        "solve_ended": SolveEnded,
    }
)
_NAMES: Final = {kind: name for name, kind in EVENTS.items()}


def event_to_json(event: Event) -> dict[str, Json]:
    """The event as one JSON object: version `v`, name `event` and its fields."""
    body = cast(Mapping[str, Json], encode(event))
    return {"v": TRACE_VERSION, "event": _NAMES[type(event)], **body}


def event_from_json(data: Mapping[str, Json]) -> Event:
    """The event that `event_to_json` encoded; anything else is a `JournalCorruptError`."""
    body = dict(data)
    version, name = body.pop("v", None), body.pop("event", None)
    if version != TRACE_VERSION:
        raise JournalCorruptError(
            f"trace version `{version}` is unknown; this mull reads version {TRACE_VERSION}",
            hint="use the version of mull that wrote it",
        )
    if not isinstance(name, str) or name not in EVENTS:
        raise JournalCorruptError(f"trace event `{name}` is unknown")
    try:
        return decode(EVENTS[name], body)
    except DecodeError as error:
        raise JournalCorruptError(f"trace event `{name}` cannot be read: {error}") from error
