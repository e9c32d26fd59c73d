"""The solves of this process: started, watched, cancelled, resumed, extended.

A solve belongs to nobody's connection. It is journalled from its first event, so whoever knows its
id can come back to it, in this process or in the next one.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from mull.build import OpenModel, SearchPlan, plan_again, same_model
from mull.core.errors import BadInputError, MullError, UnknownSolveError
from mull.core.events import Event
from mull.core.expansion import Delta
from mull.core.protocols import Journal
from mull.core.solution import Solution
from mull.core.spec import Spec
from mull.core.state import SolveState, replay
from mull.core.usage import Budget
from mull.policies.scheduling import Scheduled, Scheduler, Tier
from mull.server.accounts import ANYBODY, Accounts, Payer
from mull.server.errors import ApiError
from mull.server.metrics import Metrics
from mull.server.orders import Order
from mull.solver import Solver

if TYPE_CHECKING:
    from mull.server.tracing import SolveSpan, Tracing

STORE_SECONDS: Final = 1.0
"""Between two writings of what tenants have spent."""
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Watcher:
    """What one client has not been told yet of a solve. Owned by whoever watches."""

    sees_all: bool
    """Whether it was there from the first event on."""
    _news: list[Event | Delta] = field(default_factory=list[Event | Delta])
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _is_over: bool = False

    def tell(self, event: Event | Delta) -> None:
        """Something happened."""
        self._news.append(event)
        self._wake.set()

    def end(self) -> None:
        """Nothing more will."""
        self._is_over = True
        self._wake.set()

    @property
    def has_all(self) -> bool:
        """Whether the solve is over and everything was taken."""
        return self._is_over and not self._news

    async def take(self, seconds: float) -> list[Event | Delta]:
        """All that is new, as soon as something is; empty after `seconds` or the solve's end."""
        if not self._news and not self._is_over:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        news, self._news = self._news, []
        return news


@dataclass(slots=True, eq=False)
class Live:
    """A solve that runs here. `Solves` owns it."""

    solve_id: str
    solver: Solver
    labels: Mapping[str, str]
    keeps_going: bool
    """Whether it runs on when nobody watches."""
    budget: Budget
    queued: Scheduled | None = None
    """Its place in the queue before its model, if there is one."""
    span: "SolveSpan | None" = None
    """Where its spans hang, if they are wanted."""
    num_before: int = 0
    """Events of its trace that an earlier run has recorded."""
    num_events: int = field(init=False)
    """Of its trace, so far."""
    is_unwanted: bool = False
    watchers: set[Watcher] = field(default_factory=set[Watcher])
    task: "asyncio.Task[Solution] | None" = None

    def __post_init__(self) -> None:
        self.num_events = self.num_before

    def observe(self, event: Event | Delta) -> None:
        """The solver's observer."""
        self.num_events += not isinstance(event, Delta)
        for watcher in self.watchers:
            watcher.tell(event)

    async def solution(self) -> Solution:
        """What it comes to. Cancelling the wait leaves the solve alone."""
        if self.task is None:
            raise RuntimeError("a live solve has a task")
        return await asyncio.shield(self.task)

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[Watcher, None]:
        """Be told what happens from now on, for as long as the block lasts."""
        watcher = Watcher(sees_all=self.num_events == 0)
        self.watchers.add(watcher)
        if self.task is not None and self.task.done():
            watcher.end()
        try:
            yield watcher
        finally:
            self.watchers.discard(watcher)


@dataclass(slots=True)
class Solves:
    """Every solve of one server. Owned by its gateway."""

    models: Mapping[str, OpenModel]
    journal: Journal
    accounts: Accounts = field(default_factory=Accounts.open_to_all)
    schedulers: Mapping[str, Scheduler] = field(default_factory=dict[str, Scheduler])
    """The queues before the models, by the same names; a model without one has no queue."""
    metrics: Metrics = field(default_factory=Metrics)
    tracing: "Tracing | None" = None
    """None: nobody wants spans."""
    live: dict[str, Live] = field(default_factory=dict[str, Live])
    is_draining: bool = False

    def __post_init__(self) -> None:
        for scheduler in self.schedulers.values():
            scheduler.on_end = self.metrics.observe_call

    def start(
        self, order: Order, solve_id: str, labels: Mapping[str, str], *, keeps_going: bool = False
    ) -> Live:
        """Begin a solve."""
        span = self._span(order.model, order.plan, solve_id)
        queued = self._queued(order.model, labels, order.plan.strategy, span)
        solver = self._solver(order.plan, self._view(order.model, queued, span), span)
        live = Live(solve_id, solver, labels, keeps_going, order.budget, queued, span)
        solving = solver.solve(
            order.problem,
            budget=order.budget,
            seed=order.seed,
            solve_id=solve_id,
            labels=labels,
            parent=self._payer(labels),
            observer=live.observe,
        )
        return self._run(live, solving)

    async def go_on(
        self, solve_id: str, *, extra: Budget | None = None, keeps_going: bool = True
    ) -> Live:
        """Resume a solve, with `extra` on top of its budget where given.

        One that runs is left to run; ApiError 409 where it was to get more.
        """
        events = await self.journal.load(solve_id)
        if (live := self.live.get(solve_id)) is not None:
            if extra is not None:  # its budget is promised already, to whoever was faster
                raise ApiError(409, f"solve `{solve_id}` is running", code="solve_running")
            return live
        state = replay(events)
        started = state.started
        spec = started.spec
        named = self.models.items()
        name = next((n for n, each in named if same_model(each.spec, spec.policy)), None)
        if name is None:
            raise BadInputError(
                f"solve `{solve_id}` was started with model `{spec.model}`, which is not served",
                hint="serve that model too, or continue it with `mull resume`",
            )
        plan = plan_again(started)
        span = self._span(name, plan, solve_id)
        queued = self._queued(name, started.labels, spec.strategy, span)
        solver = self._solver(plan, self._view(name, queued, span), span)
        budget = state.budget if extra is None else state.budget.extended(extra)
        labels = started.labels
        live = Live(solve_id, solver, labels, keeps_going, budget, queued, span, len(events))
        return self._run(live, self._resuming(live, plan, extra))

    async def _resuming(self, live: Live, plan: SearchPlan, extra: Budget | None) -> Solution:
        """Go on, with the judges that the journal names opened for as long as it takes."""
        payer = self._payer(live.labels)
        async with aclosing(plan):
            await plan.open()
            return await live.solver.resume(
                live.solve_id, extra=extra, parent=payer, observer=live.observe
            )

    def _span(self, name: str, plan: SearchPlan, solve_id: str) -> "SolveSpan | None":
        if self.tracing is None:
            return None
        return self.tracing.solve(name, self.models[name], plan.strategy.name, solve_id)

    def _solver(self, plan: SearchPlan, model: OpenModel, span: "SolveSpan | None") -> Solver:
        solver = plan.solver(model, self.journal)
        if span is None:
            return solver
        return replace(solver, verifiers=span.verifiers(solver.verifiers))

    def _queued(
        self, name: str, labels: Mapping[str, str], strategy: Spec, span: "SolveSpan | None"
    ) -> Scheduled | None:
        """A place in the queue before a model, if it has one."""
        scheduler = self.schedulers.get(name)
        if scheduler is None:
            return None
        tier = Tier(labels.get("tier", Tier.STANDARD))
        options = strategy.options
        kind = f"{strategy.name} {options.get('n')} {options.get('width')}"
        program = scheduler.queue.program(labels.get("tenant", ANYBODY), tier, kind=kind)
        policy = self.models[name].policy
        return Scheduled(policy if span is None else span.policy(policy), scheduler, program)

    def _view(self, name: str, queued: Scheduled | None, span: "SolveSpan | None") -> OpenModel:
        """The model as one solve is to use it."""
        model = self.models[name]
        if queued is not None:
            return replace(model, policy=queued)
        return model if span is None else replace(model, policy=span.policy(model.policy))

    def _payer(self, labels: Mapping[str, str]) -> Payer:
        caller = self.accounts.named(labels.get("tenant", ANYBODY), labels.get("key", ""))
        return Payer(caller.account)

    def _run(self, live: Live, solving: Coroutine[None, None, Solution]) -> Live:
        self.live[live.solve_id] = live
        live.task = asyncio.create_task(self._drive(live, solving), name=live.solve_id)
        live.task.add_done_callback(_look_at)
        return live

    async def _drive(self, live: Live, solving: Coroutine[None, None, Solution]) -> Solution:
        ended: Solution | None = None
        try:
            ended = solution = await self._wanted(live, solving)
            self._observe(live, solution)
        finally:
            del self.live[live.solve_id]
            if live.span is not None:
                live.span.end(ended)
            if live.queued is not None:
                live.queued.close()
            for watcher in live.watchers:
                watcher.end()
        return solution

    async def _wanted(self, live: Live, solving: Coroutine[None, None, Solution]) -> Solution:
        """The solve's solution; of one that is cancelled as unwanted the best so far."""
        try:
            return await solving
        except asyncio.CancelledError:
            if not live.is_unwanted:
                raise
            current = asyncio.current_task()
            if current is not None:
                current.uncancel()
            return await live.solver.give_up(live.solve_id, observer=live.observe)

    def _observe(self, live: Live, solution: Solution) -> None:
        """Count what the solve came to; one that had ended before it came here counts once."""
        if live.num_events > live.num_before:
            self.metrics.observe_solve(solution, live.budget, live.solver.spec.strategy.name)

    async def cancel(self, live: Live) -> None:
        """Stop growing at once; the solve ends with the best answer it has."""
        if live.task is None or live.task.done():
            return
        live.is_unwanted = True
        live.task.cancel()
        with suppress(MullError, asyncio.CancelledError):
            await live.solution()

    async def abandon(self, live: Live) -> None:
        """A client has left: what nobody waits for is cancelled."""
        if not live.watchers and not live.keeps_going:
            await self.cancel(live)

    async def state(self, solve_id: str, tenant: str) -> SolveState:
        """A solve as its journal has it; `UnknownSolveError` if the tenant has none of that id."""
        state = replay(await self.journal.load(solve_id))
        if state.started.labels.get("tenant", ANYBODY) != tenant:
            raise UnknownSolveError(f"no solve `{solve_id}`")
        return state

    async def resume_open(self) -> int:
        """Go on with every solve that an earlier process left open; how many there were."""
        resumed = 0
        for summary in await self.journal.solves():
            if summary.stop is not None or summary.solve_id in self.live:
                continue
            try:
                await self.go_on(summary.solve_id)
            except MullError as error:
                _log.warning("solve %s stays open: %s", summary.solve_id, error.message)
            else:
                resumed += 1
        return resumed

    @asynccontextmanager
    async def storing(self) -> AsyncGenerator[None, None]:
        """Keep what tenants have spent on disk, for as long as the block lasts."""

        async def store_often() -> None:
            while True:
                await asyncio.sleep(STORE_SECONDS)
                try:
                    await asyncio.to_thread(self.accounts.store)
                except OSError as error:  # a full disk may have room again in a second
                    _log.warning("what tenants have spent is not on disk: %s", error)

        storing = asyncio.create_task(store_often())
        try:
            yield
        finally:
            storing.cancel()
            await asyncio.wait({storing})
            self.accounts.store()

    async def drain(self, seconds: float) -> None:
        """Let what runs end within `seconds`; the rest stays open in the journal, to be resumed."""
        self.is_draining = True
        tasks = [live.task for live in self.live.values() if live.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


def _look_at(task: "asyncio.Task[Solution]") -> None:
    """An error that no client waits for is logged, not lost."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("solve %s broke off: %s", task.get_name(), error)
