"""`/v1/verify`: the verifiers, for answers that came from anywhere."""

import msgspec

from mull.build import find_verifier, problem_for
from mull.core.errors import VerifierError, boundary
from mull.core.problem import AnswerKind, Problem
from mull.core.steps import Step, StepKind, Trajectory
from mull.server.errors import ApiError, refuse
from mull.server.fields import MullFields
from mull.server.gateway import Gateway
from mull.server.http import Exchange
from mull.server.orders import check_known
from mull.server.wire import decoded

MAX_ANSWERS = 1024


class VerifyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A problem and answers to it."""

    problem: str
    answers: list[str]
    verifier: str = "auto"
    answer_kind: AnswerKind | None = None
    """What an answer is, where the problem's text alone does not say it."""


async def verify(gateway: Gateway, exchange: Exchange) -> None:
    """Judge every answer by the problem's statement alone."""
    request = decoded(VerifyRequest, await exchange.body())
    gateway.check_open(exchange.caller)
    if not 1 <= len(request.answers) <= MAX_ANSWERS:
        raise refuse("answers", f"there must be from 1 to {MAX_ANSWERS}")
    check_known(MullFields(verifier=request.verifier))
    problem = problem_for(request.problem, request.answer_kind)
    verifier = find_verifier(request.verifier, problem.answer_kind)
    if verifier is None:
        raise ApiError(400, "no verifier knows this kind of problem", param="verifier")
    paths = [_path(problem, answer) for answer in request.answers]
    async with boundary(VerifierError, f"verifier `{verifier.source}`"):
        scores = await exchange.unless_left(verifier.score(paths))
    await exchange.send_json(
        {
            "object": "mull.verdicts",
            "verifier": str(verifier.source),
            "answer_kind": problem.answer_kind.value,
            "verdicts": [
                {
                    "verdict": score.verdict.value,
                    "value": score.value,
                    "uncertainty": score.uncertainty,
                    "reason": score.reason,
                }
                for score in scores
            ],
        }
    )


def _path(problem: Problem, answer: str) -> Trajectory:
    return Trajectory(problem, (Step(answer, kind=StepKind.ANSWER, is_final=True),))
