"""`/v1/verify`: the verifiers, for answers that came from anywhere."""

import asyncio
from collections.abc import Sequence

import msgspec

from mull.build import find_verifier, problem_for
from mull.core.errors import VerifierError, boundary
from mull.core.problem import AnswerKind, Problem
from mull.core.protocols import Verifier
from mull.core.score import Score
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Usage
from mull.policies.scheduling import Tier
from mull.server.errors import ApiError, refuse
from mull.server.fields import MullFields
from mull.server.gateway import Gateway
from mull.server.http import Exchange
from mull.server.orders import check_known
from mull.server.wire import decoded

MAX_ANSWERS = 1024
_AT_ONCE = 16
"""Answers of one request that are judged before others have their turn."""


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
    scores = await exchange.unless_left(_judged(gateway, exchange, verifier, paths))
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


async def _judged(
    gateway: Gateway, exchange: Exchange, verifier: Verifier, paths: Sequence[Trajectory]
) -> list[Score]:
    """A score for each, some at a time, in turn with what others want judged."""
    scheduler, caller, scores = gateway.checks, exchange.caller, list[Score]()
    gateway.check_queue(f"verifier `{verifier.source}`", scheduler, Tier.STANDARD)
    program = scheduler.queue.program(caller.tenant, Tier.STANDARD)
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        async with scheduler.turn(program, len(some)) as ticket:
            async with boundary(VerifierError, f"verifier `{verifier.source}`"):
                scores += await verifier.score(some)
            scheduler.deliver(ticket, len(some))
            await asyncio.sleep(0)  # a checker that computes lets nobody else in by itself
    await caller.account.current().charge(sum((score.usage for score in scores), Usage()))
    return scores


def _path(problem: Problem, answer: str) -> Trajectory:
    return Trajectory(problem, (Step(answer, kind=StepKind.ANSWER, is_final=True),))
