"""The server's parts, and how a request becomes a solve."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING

from mull.build import OpenModel, Passage, passage_of
from mull.core.digest import content_digest
from mull.core.errors import UnknownSolveError
from mull.core.solution import Solution
from mull.core.state import SolveState
from mull.policies.scheduling import CallQueue, Scheduler, Tier
from mull.server.accounts import Caller
from mull.server.errors import ApiError, ClientLeftError
from mull.server.http import Exchange
from mull.server.metrics import Metrics
from mull.server.orders import Order
from mull.server.solves import Live, Solves, Watcher

if TYPE_CHECKING:
    from mull.server.tracing import Tracing

SOLVE_HEADER = "x-mull-solve"
CHECK_SLOTS = 4
"""Requests whose answers are judged at once."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a server does when more is asked of it than it can do. In seconds."""

    shrinks_at: float = 20.0
    """Of work in the queue: from here on searches get a token budget, the smaller the longer."""
    refuses_at: float = 300.0
    """Before the first call of a new request would begin."""
    max_waiting: int = 10_000
    """Calls."""
    body_seconds: float = 60.0
    """In which a request's body must have come."""


@dataclass(slots=True)
class Gateway:
    """Models, solves and whoever asks for them. Owned by the process that serves."""

    models: Mapping[str, OpenModel]
    """By the name they are served under; the first is the default."""
    solves: Solves
    load: Load = Load()
    checks: Scheduler = field(default_factory=lambda: Scheduler(CallQueue(CHECK_SLOTS)))
    """The queue before the verifiers, of answers that came from elsewhere."""
    passages: Mapping[str, Passage] = field(init=False)
    """The models whose own server takes plain requests as they are."""

    def __post_init__(self) -> None:
        found = {name: passage_of(model.policy) for name, model in self.models.items()}
        self.passages = {name: each for name, each in found.items() if each is not None}

    @property
    def metrics(self) -> Metrics:
        """The server's counters."""
        return self.solves.metrics

    @property
    def tracing(self) -> "Tracing | None":
        """Where spans go; None: nowhere."""
        return self.solves.tracing

    @property
    def names(self) -> list[str]:
        """The models that are served."""
        return list(self.models)

    @asynccontextmanager
    async def solving(
        self, order: Order, exchange: Exchange
    ) -> AsyncGenerator[tuple[Live, Watcher], None]:
        """A solve for a request that waits for it, watched from its beginning where it is new.

        With an `Idempotency-Key` a request that is repeated finds the solve of the first. A client
        that leaves takes the solve with it, unless somebody else waits too.
        """
        live = await self._begin(self._admitted(order, exchange.caller), exchange)
        exchange.extra_headers[SOLVE_HEADER] = live.solve_id
        has_left = False
        async with live.watched() as watcher:
            try:
                yield live, watcher
            except ClientLeftError:
                has_left = True
        if has_left:
            await self.solves.abandon(live)
            raise ClientLeftError

    def check_open(self, caller: Caller) -> None:
        """ApiError where no request, or none of this caller, is taken now."""
        if self.solves.is_draining:
            raise ApiError(503, "the server is shutting down", kind="server_error", retry_after=5)
        limit = caller.account.exhausted
        if limit is not None:
            message = f"the {limit.value} limit of `{caller.account.name}` is reached"
            raise out_of_quota(caller, message)

    @asynccontextmanager
    async def turn(
        self, caller: Caller, model: str, tier: Tier | None, max_tokens: int
    ) -> AsyncGenerator[None, None]:
        """A place among the calls of a model, for a request that is no solve."""
        scheduler = self.solves.schedulers.get(model)
        if scheduler is None:
            yield
            return
        given = caller.tier(tier or Tier.STANDARD)
        self.check_queue(f"model `{model}`", scheduler, given)
        program = scheduler.queue.program(caller.tenant, given)
        async with scheduler.turn(program, max_tokens):
            yield

    def check_queue(self, what: str, scheduler: Scheduler, tier: Tier) -> None:
        """ApiError 429 where the first call would wait too long."""
        wait, load = scheduler.wait_seconds(tier), self.load
        if wait > load.refuses_at or scheduler.queue.num_waiting >= load.max_waiting:
            raise ApiError(
                429,
                f"{scheduler.queue.num_waiting} calls wait for {what}",
                kind="rate_limit_error",
                code="overloaded",
                retry_after=max(1.0, wait - load.refuses_at),
            )

    def _admitted(self, order: Order, caller: Caller) -> Order:
        """The order, or under load less of it; ApiError 429 where even that would wait too long."""
        scheduler = self.solves.schedulers.get(order.model)
        if scheduler is None:
            return order
        self.check_queue(f"model `{order.model}`", scheduler, caller.tier(order.tier))
        wait, load = scheduler.backlog_seconds, self.load
        if wait > load.shrinks_at and not order.is_plain:
            return order.shrunk(load.shrinks_at / wait)
        return order

    async def _begin(self, order: Order, exchange: Exchange) -> Live:
        self.check_open(exchange.caller)
        caller = exchange.caller
        labels = {"tenant": caller.tenant, "tier": caller.tier(order.tier), "order": order.digest}
        if caller.key:
            labels["key"] = caller.key
        key = exchange.headers.get("idempotency-key")
        if key is None:
            return self.solves.start(order, token_hex(8), labels)
        solve_id, running = content_digest("idempotent", caller.tenant, key), self.solves.live
        is_stored = solve_id not in running and await self._is_stored(order, solve_id, caller)
        # Another request with the same key may have begun it meanwhile.
        if (live := running.get(solve_id)) is not None:
            _check_same(order, live.labels)
            return live
        if is_stored:
            return await self.solves.go_on(solve_id, keeps_going=False)
        return self.solves.start(order, solve_id, labels)

    async def state(self, exchange: Exchange) -> SolveState:
        """The solve of the request's path, if it is the caller's."""
        return await self.solves.state(exchange.path_params["solve_id"], exchange.caller.tenant)

    async def _is_stored(self, order: Order, solve_id: str, caller: Caller) -> bool:
        """Whether this request came before; looked at before anything of it goes on."""
        try:
            state = await self.solves.state(solve_id, caller.tenant)
        except UnknownSolveError:
            return False
        _check_same(order, state.started.labels)
        return True


def _check_same(order: Order, labels: Mapping[str, str]) -> None:
    """ApiError 422 where an `Idempotency-Key` stands for a request that asked for another thing."""
    if labels.get("order") != order.digest:
        raise ApiError(422, "the `Idempotency-Key` was used for another request", code="key_reused")


def out_of_quota(caller: Caller, message: str) -> ApiError:
    """The error for a request that its tenant cannot pay for in this window."""
    return ApiError(
        429,
        message,
        kind="insufficient_quota",
        code="insufficient_quota",
        retry_after=caller.account.seconds_left,
    )


def check_paid(solution: Solution, caller: Caller) -> None:
    """ApiError 429 where the caller's account could not pay for a single call."""
    note = f"limit of `{caller.account.name}`"
    if not solution.usage.calls and any(note in each for each in solution.notes):
        raise out_of_quota(caller, "; ".join(solution.notes))
