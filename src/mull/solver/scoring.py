"""Having trajectories judged: quote, reserve, score, record, settle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mull.core.errors import MullError, UnknownNameError, VerifierError, boundary
from mull.core.events import NodeScored
from mull.core.expansion import ScoreRequest
from mull.core.ledger import Ledger, Refused
from mull.core.protocols import Verifier
from mull.core.score import Score
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.solver.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Scoring:
    """Answers the score requests of one solve."""

    verifiers: Mapping[str, Verifier]
    ledger: Ledger
    recorder: Recorder

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
            scores = await _scores(verifier, trajectories)
            for request, score in zip(requests, scores, strict=True):
                counted = replace(score, usage=replace(score.usage, seconds=0.0))
                spent += counted.usage
                await self.recorder.record(NodeScored(request.node_id, counted))
        finally:
            await self.ledger.settle(claim, spent)
        return None


async def _scores(verifier: Verifier, trajectories: Sequence[Trajectory]) -> Sequence[Score]:
    """The verifier's scores; one that fails has no opinion of any of them."""
    try:
        async with boundary(VerifierError, f"verifier `{verifier.source}`"):
            scores = await verifier.score(trajectories)
    except MullError as error:
        return [Score.unknown(verifier.source, error.message) for _ in trajectories]
    if len(scores) != len(trajectories):
        reason = f"gave {len(scores)} scores for {len(trajectories)} trajectories"
        return [Score.unknown(verifier.source, reason) for _ in trajectories]
    return [_own(verifier, score) for score in scores]


def _own(verifier: Verifier, score: Score) -> Score:
    """The score, if the verifier gave it in its own name: no other would ever be found again."""
    if score.source.verifier == verifier.source.verifier:
        return score
    reason = f"verifier `{verifier.source}` spoke as `{score.source}`"
    return Score.unknown(verifier.source, reason, score.usage)
