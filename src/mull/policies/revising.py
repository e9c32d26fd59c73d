"""Revision for any policy that can hold a conversation.

The last answer and what is wrong with it become turns of the problem, the revision is the next one.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from mull.core.expansion import Call, ExpansionKind, NodeId, Outcome
from mull.core.problem import Message, Problem, Role
from mull.core.protocols import Capabilities, Policy
from mull.core.steps import Trajectory
from mull.core.usage import Usage

MAX_FEEDBACK_CHARS: Final = 2_000
CHECKED: Final = "That answer was checked and is not right: {feedback}"
UNCHECKED: Final = "Look at that answer again and find what is wrong with it, if anything."
AGAIN: Final = "Now solve the problem once more.\n\n{statement}"


@dataclass(frozen=True, slots=True)
class RevisingPolicy:
    """Adds `ExpansionKind.REVISE` to a policy that grows whole turns; all else passes through.

    Only the last answer is shown to the model, not those before it, so that prompts stay short.
    """

    inner: Policy

    @property
    def capabilities(self) -> Capabilities:
        """The inner policy's, and revision."""
        inner = self.inner.capabilities
        return replace(inner, kinds=inner.kinds | {ExpansionKind.REVISE})

    def quote(self, call: Call) -> Usage:
        """The worst case of the call as the inner policy will see it."""
        return self.inner.quote(_as_turn(call))

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """Grow the calls; see `Policy.expand`."""
        async with aclosing(self.inner.expand([_as_turn(call) for call in calls])) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """Free what the inner policy keeps for these nodes."""
        await self.inner.release(node_ids)


def _as_turn(call: Call) -> Call:
    """A revision as a whole turn of a longer conversation; any other call as it is."""
    expansion = call.branch.expansion
    if expansion.kind is not ExpansionKind.REVISE:
        return call
    branch = replace(call.branch, expansion=replace(expansion, kind=ExpansionKind.FINISH))
    base = Trajectory(conversation(call.bases[0], expansion.feedback))
    return replace(call, branch=branch, bases=(base,))


def conversation(trajectory: Trajectory, feedback: str) -> Problem:
    """The problem, the answer it got, and what to do about it."""
    problem = trajectory.problem
    note = CHECKED.format(feedback=feedback[:MAX_FEEDBACK_CHARS]) if feedback else UNCHECKED
    again = AGAIN.format(statement=problem.statement)
    turns = (
        Message(Role.ASSISTANT, trajectory.answer_text),
        Message(Role.USER, f"{note} {again}"),
    )
    return Problem((*problem.messages, *turns), problem.answer_kind, problem.metadata)
