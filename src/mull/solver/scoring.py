"""Having trajectories judged: quote, reserve, score, record, settle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mull.core.clock import Clock
from mull.core.errors import MullError, UnknownNameError, VerifierError, boundary
from mull.core.events import NodeScored
from mull.core.expansion import ScoreRequest
from mull.core.ledger import Ledger, Refused
from mull.core.protocols import Verifier
from mull.core.score import Score
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.solver.recorder import Recorder
from mull.solver.stream import DeadlinePassedError, in_time

LAST_LOOK: Final = 1.0
"""Seconds that a checker which costs nothing has even after the solve's time is up."""
TOO_LATE: Final = "did not answer in time"


class _BrokenError(VerifierError):
    """A verifier met something in one path that it cannot take, and so lost the verdict of all.

    Its own `VerifierError` is something else: that is meant for all of them.
    """


@dataclass(frozen=True, slots=True)
class Scoring:
    """Answers the score requests of one solve."""

    verifiers: Mapping[str, Verifier]
    ledger: Ledger
    recorder: Recorder
    clock: Clock
    patience: float
    """Seconds that a verifier may take for one request."""
    silent: set[str] = field(default_factory=set[str])
    """Verifiers that took longer; this solve does not ask them again."""

    async def score(self, requests: Sequence[ScoreRequest]) -> Refused | None:
        """Score what is asked, a verifier at a time; returns what refused to pay for it."""
        by_verifier = dict[str, list[ScoreRequest]]()
        for request in requests:
            by_verifier.setdefault(request.verifier, []).append(request)
        for name, asked in by_verifier.items():
            if name not in self.verifiers:
                raise UnknownNameError("verifier", name, self.verifiers)
            refused = await self._score_with(self.verifiers[name], asked)
            if refused is not None:
                return refused
        return None

    def free(self, requests: Sequence[ScoreRequest]) -> tuple[ScoreRequest, ...]:
        """Those whose verifier costs nothing: exact checkers, for which it is never too late."""
        tree = self.recorder.state.tree
        return tuple(
            each
            for each in requests
            if each.verifier in self.verifiers
            and self.verifiers[each.verifier].quote([tree.trajectory(each.node_id)]) == Usage()
        )

    async def _score_with(
        self, verifier: Verifier, requests: Sequence[ScoreRequest]
    ) -> Refused | None:
        tree = self.recorder.state.tree
        trajectories = [tree.trajectory(request.node_id) for request in requests]
        claim = await self.ledger.reserve(verifier.quote(trajectories))
        if isinstance(claim, Refused):
            return claim
        spent = Usage()
        try:
            scores = await self._scores(verifier, trajectories)
            for request, score in zip(requests, scores, strict=True):
                counted = replace(score, usage=replace(score.usage, seconds=0.0))
                spent += counted.usage
                await self.recorder.record(NodeScored(request.node_id, counted))
        finally:
            await self.ledger.settle(claim, spent)
        return None

    async def _scores(
        self, verifier: Verifier, trajectories: Sequence[Trajectory]
    ) -> Sequence[Score]:
        """The verifier's scores; one that fails on them together is asked about each alone."""
        name = verifier.source.verifier
        if name in self.silent:
            return _unknown(verifier, trajectories, TOO_LATE)
        try:
            seconds = await self._patience()
            scores = await in_time(_asked(verifier, trajectories), self.clock, seconds)
        except DeadlinePassedError:
            self.silent.add(name)
            return _unknown(verifier, trajectories, TOO_LATE)
        except MullError as error:
            if isinstance(error, _BrokenError) and _can_be_asked_again(verifier, trajectories):
                return [(await self._scores(verifier, [each]))[0] for each in trajectories]
            return _unknown(verifier, trajectories, error.message)
        if len(scores) != len(trajectories):
            reason = f"gave {len(scores)} scores for {len(trajectories)} trajectories"
            return _unknown(verifier, trajectories, reason)
        return [_own(verifier, score) for score in scores]

    async def _patience(self) -> float:
        """What is left of the solve's time, but no less than a checker needs for a last look."""
        left = (await self.ledger.headroom()).seconds
        return self.patience if left is None else min(self.patience, max(left, LAST_LOOK))


async def _asked(verifier: Verifier, trajectories: Sequence[Trajectory]) -> Sequence[Score]:
    async with boundary(_BrokenError, f"verifier `{verifier.source}`"):
        return await verifier.score(trajectories)


def _can_be_asked_again(verifier: Verifier, trajectories: Sequence[Trajectory]) -> bool:
    """Whether it may be asked about each path alone: what costs something is not asked twice."""
    return len(trajectories) > 1 and verifier.quote(trajectories) == Usage()


def _unknown(
    verifier: Verifier, trajectories: Sequence[Trajectory], reason: str
) -> Sequence[Score]:
    return [Score.unknown(verifier.source, reason) for _ in trajectories]


def _own(verifier: Verifier, score: Score) -> Score:
    """The score, if the verifier gave it in its own name: no other would ever be found again."""
    if score.source.verifier == verifier.source.verifier:
        return score
    reason = f"verifier `{verifier.source}` spoke as `{score.source}`"
    return Score.unknown(verifier.source, reason, score.usage)
