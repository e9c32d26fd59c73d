"""Reasoning as a path of steps."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from mull.core.problem import Problem


class StepKind(StrEnum):
    """Whether a step is reasoning or (part of) the answer."""

    THOUGHT = "thought"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Step:
    """One step as the policy wrote it: usually a line."""

    text: str
    """What a person reads, its newline included; control tokens (think marks, end of turn) are not
    part of it."""
    token_ids: tuple[int, ...] = ()
    """Every token generated for this step, control tokens included: the path's ids, joined, are the
    exact completion so far. Empty where the policy gives no ids."""
    logprobs: tuple[float, ...] = ()
    """Natural logarithms, one a token id, under the untempered model; empty where not given."""
    kind: StepKind = StepKind.THOUGHT
    is_final: bool = False
    """The model ended its turn with this step."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A partial or finished solution: the path from the root of the search tree."""

    problem: Problem
    steps: tuple[Step, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether the model has ended its turn."""
        return bool(self.steps) and self.steps[-1].is_final

    @property
    def text(self) -> str:
        """Everything a person reads, thoughts and answer."""
        return "".join(step.text for step in self.steps)

    @property
    def last_turn(self) -> tuple[Step, ...]:
        """The steps since the turn before ended: all of them, but for a revision's own."""
        ends = [number for number, step in enumerate(self.steps[:-1], start=1) if step.is_final]
        return self.steps[ends[-1] if ends else 0 :]

    @property
    def answer_text(self) -> str:
        """The answer steps of the last turn alone, stripped; empty while there is no answer.

        A revision is a further turn, and its answer stands for the one before.
        """
        return "".join(step.text for step in self.last_turn if step.kind is StepKind.ANSWER).strip()

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The exact completion so far as token ids."""
        return tuple(token for step in self.steps for token in step.token_ids)

    def extend(self, *steps: Step) -> Self:
        """The path with these steps after it."""
        return type(self)(self.problem, (*self.steps, *steps))
