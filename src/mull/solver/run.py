"""One solve from where it stands to its end."""

from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from mull.core.errors import BadInputError, StoreError
from mull.core.events import SolveEnded, StopReason, WaveAsked
from mull.core.expansion import Branch, ExpansionKind, Finish
from mull.core.ledger import Ledger, Refused
from mull.core.protocols import (
    Abstain,
    Ask,
    Candidate,
    Controller,
    Escalate,
    Hasty,
    Policy,
    Run,
    Situation,
    Stop,
    Strategy,
)
from mull.core.spec import Spec
from mull.core.state import SolveState
from mull.core.tree import SearchTree
from mull.core.usage import Limit
from mull.solver.arrivals import grow_watched
from mull.solver.growth import Growth
from mull.solver.recorder import Recorder
from mull.solver.scoring import Scoring
from mull.solver.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True)
class SolveRun:
    """Drives one solve: decide, ask, grow, score, until a reason to stop."""

    policy: Policy
    controller: Controller
    strategies: Callable[[Spec], Strategy]
    ledger: Ledger
    recorder: Recorder
    stopwatch: Stopwatch
    growth: Growth
    scoring: Scoring

    @property
    def state(self) -> SolveState:
        """The solve as it stands."""
        return self.recorder.state

    async def drive(self) -> SolveEnded:
        """Run to the end, record it and free what the policy holds for it.

        Cancelled, it leaves a journal that can be resumed.
        """
        try:
            return await self._loop()
        except CancelledError:
            with suppress(StoreError):
                await self.stopwatch.charge()
                await self.recorder.journal.flush()
            raise
        finally:
            await self.policy.release([node.id for node in self.state.tree.nodes()])

    async def _loop(self) -> SolveEnded:
        done: StopReason | None = None
        refused = await self._finish_wave()
        while refused is None:
            situation = await self._situation(done)
            match self.controller.decide(situation):
                case Run(spec, limit):
                    headroom = situation.headroom.meet(limit)
                    ask = self.strategies(spec).ask(situation.tree, headroom)
                    if ask.is_empty and done is not None:
                        return await self.end(ask.stop)
                    done = ask.stop if ask.is_empty else None
                    if not ask.is_empty:
                        await self._begin_wave(spec, ask)
                        async with self.recorder.flushing():
                            refused = await self._finish_wave()
                case Stop(reason):
                    return await self.end(reason)
                case Abstain(note):
                    return await self.end(StopReason.ABSTAINED, note, gives_answer=False)
                case Escalate(note):
                    return await self.end(StopReason.ESCALATED, note, gives_answer=False)
        return await self._end_short(refused)

    async def _situation(self, done: StopReason | None) -> Situation:
        headroom = await self.ledger.headroom()
        return Situation(self.state.tree, self.state.usage, headroom, done)

    async def _begin_wave(self, spec: Spec, ask: Ask) -> None:
        kinds = self.policy.capabilities.kinds
        for expansion in ask.grow:
            if expansion.kind not in kinds:
                raise BadInputError(
                    f"strategy `{spec.name}` needs `{expansion.kind}` expansions, which policy "
                    f"`{self.policy.capabilities.model}` does not offer",
                    hint="use a strategy of whole answers, or a model that offers them",
                )
        wave = WaveAsked(self.state.num_waves, spec, ask.grow, ask.score, ask.drop)
        await self.recorder.record(wave)

    async def _finish_wave(self) -> Refused | None:
        """Do what the last wave asked for and is not done yet.

        That is all of it, or after a crash or a larger budget the rest of it.
        """
        if self.state.wave is not None and self.state.wave.drop:
            await self.policy.release(self.state.wave.drop)
        refused = await self.scoring.score(self.state.unscored)
        return refused or await self._grow()

    async def _grow(self) -> Refused | None:
        """Grow what is open; for a strategy that asks for it, with an eye on what arrives."""
        if self.state.wave is None:
            return None
        spec = self.state.wave.strategy
        strategy = self.strategies(spec)
        if isinstance(strategy, Hasty) and strategy.on_arrival:
            refused = await grow_watched(self.growth, partial(self._is_enough, spec, strategy))
            if refused is None and (unwanted := self.state.tree.pending()):
                await self._cancel(spec, unwanted)
            return refused
        return await self.growth.grow()

    async def _cancel(self, spec: Spec, branches: Sequence[Branch]) -> None:
        cancel = tuple(each.id for each in branches)
        await self.recorder.record(WaveAsked(self.state.num_waves, spec, cancel=cancel))

    async def _is_enough(self, spec: Spec, strategy: Strategy) -> bool:
        """Whether the strategy wants nothing more, once all that it wants scored by now is."""
        while True:
            ask = strategy.ask(self.state.tree, await self.ledger.headroom())
            if not ask.score:
                return ask.is_empty and ask.stop is not StopReason.COMPLETED
            await self._begin_wave(spec, Ask(score=ask.score))
            if await self.scoring.score(ask.score) is not None:
                return False  # it is found again when the wave is over

    async def _end_short(self, refused: Refused) -> SolveEnded:
        """Out of budget. What is finished is still scored, where scoring fits in what is left."""
        if self.state.wave is not None:
            spec = self.state.wave.strategy
            ask = self.strategies(spec).ask(self.state.tree, await self.ledger.headroom())
            is_late = refused.limit is Limit.SECONDS
            score = self.scoring.free(ask.score) if is_late else ask.score
            if score:
                await self._begin_wave(spec, Ask(score=score))
                await self.scoring.score(score)
        note = f"the {refused.limit.value} limit of `{refused.level}` is reached"
        return await self.end(StopReason.of_limit(refused.limit), note)

    async def end(self, reason: StopReason, *notes: str, gives_answer: bool = True) -> SolveEnded:
        """Record the end, with the answer of the strategy that asked last."""
        await self.stopwatch.charge()
        candidate = self._candidate()
        failures = list(self.state.tree.failures.values())
        num_asked = len(self.state.tree.branches())
        if failures:
            share = f"{len(failures)} of {num_asked} branches failed"
            notes = (*notes, f"{share}: {failures[-1].message}")
            reason = StopReason.FAILED if len(failures) == num_asked else reason
        notes = (*notes, *_cut_off(self.state.tree))
        ended = SolveEnded(
            reason,
            candidate.node_id if candidate else None,
            candidate.answer if candidate and gives_answer else None,
            candidate.confidence if candidate else None,
            (*(candidate.notes if candidate else ()), *notes),
        )
        await self.recorder.record(ended)
        await self.recorder.journal.flush()
        return ended

    def _candidate(self) -> Candidate | None:
        """The answer of the strategy that asked last, as the controller vouches for it."""
        if self.state.wave is None:
            return None
        tree = self.state.tree
        candidate = self.strategies(self.state.wave.strategy).select(tree)
        return None if candidate is None else self.controller.vouch(tree, candidate)


def _cut_off(tree: SearchTree) -> Iterator[str]:
    """What was not chosen from: answers that were longer than they may be."""
    limits = [
        branch.expansion.limits.max_tokens
        for branch in tree.branches()
        if branch.expansion.kind is ExpansionKind.FINISH
        and any(node.finish is Finish.LENGTH for node in tree.chain(branch.id))
    ]
    if limits:
        share = f"{len(limits)} of {len(tree.branches())} answers were cut off"
        yield f"{share} at their limit of {max(limits)} tokens (`max_tokens`)"
