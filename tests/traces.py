"""Traces that a journal can be asked to keep: shapes right, contents told apart by a number."""

from mull.core.events import Event, NodeGrown, SolveEnded, SolveStarted, StopReason
from mull.core.expansion import BranchId, Grown
from mull.core.problem import Problem
from mull.core.spec import SolveSpec, Spec
from mull.core.steps import Step
from mull.core.usage import Budget, Usage

ENDED = SolveEnded(StopReason.COMPLETED, answer="42")


def start(number: int = 0) -> SolveStarted:
    """The start of a solve of problem `number`."""
    spec = SolveSpec("scripted@1", Spec("scripted"), Spec("best_of_n", {"n": 4}))
    return SolveStarted(Problem.of(f"What is six times {number}?"), spec, number, Budget())


def grown(number: int, text: str = "") -> NodeGrown:
    """A step that says its number."""
    step = Step(text or f"step {number}\n", (number,), (-0.5 * number,))
    return NodeGrown(Grown(BranchId("b" * 20), number, step, Usage(visible_tokens=1)))


def trace(num_events: int, number: int = 0) -> list[Event]:
    """The first events of the one endless trace of solve `number`."""
    events: list[Event] = [start(number)]
    events += [grown(index + 1000 * number) for index in range(1, num_events)]
    return events[:num_events]
