"""A revision is a turn of a longer conversation, whatever the policy behind it."""

from dataclasses import replace

from doubles import PROBLEM, PredicateVerifier

import mull
from mull.core.expansion import Call, ExpansionKind
from mull.core.problem import Role
from mull.core.protocols import Capabilities, Policy
from mull.core.steps import Step, StepKind, Trajectory
from mull.policies.revising import RevisingPolicy, conversation
from mull.policies.scripted import ScriptedPolicy

WHOLE_TURNS = frozenset({ExpansionKind.FINISH})


class WholeTurns(ScriptedPolicy):
    """Knows nothing of revision."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, kinds=WHOLE_TURNS)


def said(text: str) -> Trajectory:
    thought = Step("hm\n", kind=StepKind.THOUGHT)
    return Trajectory(PROBLEM, (thought, Step(text, kind=StepKind.ANSWER, is_final=True)))


def test_the_model_is_shown_its_last_answer_and_what_is_wrong_with_it() -> None:
    first, answer, feedback = conversation(said(" 41"), "off by one").messages
    assert first == PROBLEM.messages[0]
    assert (answer.role, answer.content) == (Role.ASSISTANT, "41")
    assert feedback.role is Role.USER
    assert "is not right: off by one" in feedback.content
    assert feedback.content.endswith(PROBLEM.statement)


def test_without_feedback_it_is_asked_to_look_for_itself_and_long_feedback_is_cut() -> None:
    assert "Look at that answer again" in conversation(said("41"), "").messages[-1].content
    assert len(conversation(said("41"), "x" * 9_000).messages[-1].content) < 2_200


def test_only_the_last_of_several_answers_is_shown() -> None:
    twice = said("41").extend(Step("43", kind=StepKind.ANSWER, is_final=True))
    assert conversation(twice, "").messages[1].content == "43"


async def test_a_policy_of_whole_turns_revises_behind_it() -> None:
    asked = list[Call]()

    def script(call: Call) -> str:
        asked.append(call)
        turns = len(call.bases[0].problem.messages)
        return {1: "41", 3: "42"}[turns]

    inner: Policy = WholeTurns(script)
    revising: Policy = RevisingPolicy(inner)
    assert revising.capabilities.kinds == {ExpansionKind.FINISH, ExpansionKind.REVISE}
    assert revising.capabilities.model == inner.capabilities.model
    verifier = PredicateVerifier(lambda answer: answer == "42")
    solution = await mull.solve_async(PROBLEM, model=inner, strategy="revise", verifier=verifier)
    assert (solution.answer, solution.stop) == ("42", mull.StopReason.ACCEPTED)
    assert {call.branch.expansion.kind for call in asked} == {ExpansionKind.FINISH}
    solution.tree.check()
    revised = solution.tree.branches()[1]
    call = solution.tree.call(revised)
    assert revising.quote(call) == inner.quote(call)
    await revising.release([])
