"""Solves: started, resumed, extended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex

from mull.core.clock import Clock, SystemClock
from mull.core.errors import BadInputError
from mull.core.events import Extended, SolveStarted, StopReason
from mull.core.ledger import Account, Ledger
from mull.core.problem import Problem
from mull.core.protocols import Controller, Journal, Policy, Strategy, Verifier
from mull.core.solution import Solution
from mull.core.spec import SolveSpec, Spec
from mull.core.state import SolveState, replay
from mull.core.usage import Budget
from mull.solver.growth import Growth
from mull.solver.recorder import Observer, Recorder, ignore
from mull.solver.run import SolveRun
from mull.solver.scoring import Scoring
from mull.solver.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True)
class Solver:
    """Runs solves of one set-up. Holds no state of any of them: many may run at once.

    A cancelled solve frees what it holds, stays open in the journal and can be resumed.
    """

    spec: SolveSpec
    """How this set-up is made again; journalled with every solve."""
    policy: Policy
    verifiers: Sequence[Verifier]
    controller: Controller
    strategies: Callable[[Spec], Strategy]
    """Makes the strategies that the controller names."""
    journal: Journal
    clock: Clock = SystemClock()
    patience: float = 600.0
    """Seconds that a verifier may take for one request before the solve goes on without it."""
    new_id: Callable[[], str] = lambda: token_hex(5)

    async def solve(
        self,
        problem: Problem,
        *,
        budget: Budget = Budget(),
        seed: int = 0,
        solve_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        parent: Account | None = None,
        observer: Observer = ignore,
    ) -> Solution:
        """Solve a problem within a budget (and within that of `parent`, such as a tenant's).

        Running out of budget is a stop reason, not an error. Raises `BadInputError` for a set-up
        that cannot work and `StoreError` when the journal cannot be written.
        """
        self._check_model(self.spec.model)
        started = SolveStarted(problem, self.spec, seed, budget, labels or {})
        solve_id = solve_id or self.new_id()
        await self.journal.append(solve_id, (started,))
        observer(started)
        return await self._drive(solve_id, SolveState.start(started), parent, observer)

    async def resume(
        self,
        solve_id: str,
        *,
        extra: Budget | None = None,
        parent: Account | None = None,
        observer: Observer = ignore,
    ) -> Solution:
        """Continue a solve from its journal, with `extra` on top of its budget where given.

        Every journalled step is kept; only steps in flight when it was interrupted are generated
        again, to the same tokens. An ended solve without `extra` is returned as it is.
        """
        state = replay(await self.journal.load(solve_id))
        self._check_model(state.started.spec.model)
        if extra is not None:
            extended = Extended(state.budget.extended(extra))
            state.apply(extended)
            await self.journal.append(solve_id, (extended,))
            observer(extended)
        return await self._drive(solve_id, state, parent, observer)

    async def give_up(self, solve_id: str, *, observer: Observer = ignore) -> Solution:
        """End an open solve that nobody drives any more with the best answer it has."""
        state = replay(await self.journal.load(solve_id))
        if state.ended is None:
            run = self._run(solve_id, state, None, observer)
            await run.end(StopReason.CANCELLED)
        return solution_of(solve_id, state)

    async def _drive(
        self, solve_id: str, state: SolveState, parent: Account | None, observer: Observer
    ) -> Solution:
        if state.ended is None:
            await self._run(solve_id, state, parent, observer).drive()
        return solution_of(solve_id, state)

    def _run(
        self, solve_id: str, state: SolveState, parent: Account | None, observer: Observer
    ) -> SolveRun:
        ledger = Ledger(
            state.budget, parent, bound=self.policy.capabilities.bound, spent=state.usage
        )
        recorder = Recorder(solve_id, state, self.journal, observer)
        stopwatch = Stopwatch(self.clock, ledger, recorder)
        verifiers = {verifier.source.verifier: verifier for verifier in self.verifiers}
        return SolveRun(
            self.policy,
            self.controller,
            self.strategies,
            ledger,
            recorder,
            stopwatch,
            Growth(self.policy, ledger, recorder, stopwatch, self.clock),
            Scoring(verifiers, ledger, recorder, self.clock, self.patience),
        )

    def _check_model(self, model: str) -> None:
        offered = self.policy.capabilities.model
        if model != offered:
            raise BadInputError(
                f"the solve was set up for model `{model}`, but the policy offers `{offered}`",
                hint="ids and seeds belong to a model; use the one it was started with",
            )


def solution_of(solve_id: str, state: SolveState) -> Solution:
    """The solution of an ended solve, from its state alone. ValueError while it is open."""
    ended = state.ended
    if ended is None:
        raise ValueError(f"solve `{solve_id}` has not ended")
    return Solution(
        solve_id,
        ended.answer,
        ended.confidence,
        ended.stop,
        state.tree.trajectory(ended.node_id) if ended.node_id is not None else None,
        state.usage,
        state.tree,
        ended.notes,
        state.started.spec.quality,
    )
