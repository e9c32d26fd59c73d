"""Exact tools for what can be checked in a trace, another verifier for the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mull.core.problem import AnswerKind
from mull.core.protocols import Verifier
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Usage
from mull.puzzles import Puzzle, puzzle_of
from mull.puzzles.reading import one_line
from mull.verifiers.assertions import assertions_in
from mull.verifiers.maths import extract_answer

VERSION: Final = "1"
SCHEME: Final = "hybrid:"
"""Of its name: another verifier's name follows."""
_OPEN: Final = 0.5
"""The value of a step of which nobody can say anything."""
_UNSURE: Final = 0.3
"""Standard error of a value that arithmetic alone supports: right sums make no right answer."""
_STEPWISE: Final = frozenset({"multiply", "chain", "letters"})
"""Families of integers whose lines have rules, so that a line is checked by its own family's."""


@dataclass(frozen=True, slots=True)
class _Word:
    """What exact tools say of one step."""

    value: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HybridVerifier:
    """Judges steps by rules or exact arithmetic where they apply, else by `rest`, if there is one.

    `Score.per_step` holds the exact word (1 or 0) where there is one, else that of `rest`. The
    value is 0 where an exact tool refutes a step, else that of `rest`; without `rest` it is 1 less
    the share of steps that nobody could check. A refuted step does not prove the answer wrong, so
    the verdict is that of `rest`, or unknown. The reason says who said what.
    """

    rest: Verifier | None = None
    name: str = ""
    """The name it speaks under; empty: `assertions`, or `hybrid:` and the name of `rest`."""

    @property
    def source(self) -> Source:
        """Its name and version, with those of the verifier it asks."""
        if self.rest is None:
            return Source(self.name or "assertions", VERSION)
        rest = self.rest.source
        if self.name:
            return Source(self.name, f"{VERSION}+{rest}")
        return Source(f"{SCHEME}{rest.verifier}", f"{VERSION}+{rest.version}")

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        """What the other verifier quotes; exact tools cost nothing."""
        return Usage() if self.rest is None else self.rest.quote(trajectories)

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order."""
        if self.rest is None:
            return [self._combined(trajectory, None) for trajectory in trajectories]
        others = await self.rest.score(trajectories)
        pairs = zip(trajectories, others, strict=True)
        return [self._combined(trajectory, other) for trajectory, other in pairs]

    def _combined(self, trajectory: Trajectory, other: Score | None) -> Score:
        words = exact_words(trajectory)
        usage = Usage() if other is None else other.usage
        said = [
            f"step {number}: {word.reason}"
            for number, word in enumerate(words, start=1)
            if word.value == 0.0
        ]
        num_exact = sum(word.value is not None for word in words)
        said += [f"{num_exact} of {len(words)} steps checked exactly"]
        if other is not None:
            said += [f"the rest by {other.source}: {other.reason or f'{other.value:.2f}'}"]
        reason = "; ".join(said)
        if num_exact == 0 and (other is None or not other.is_opinion):
            return Score.unknown(self.source, reason, usage)
        is_refuted = any(word.value == 0.0 for word in words)
        value = other.value if other is not None and other.is_opinion else num_exact / len(words)
        return Score(
            0.0 if is_refuted else value,
            self.source,
            Verdict.UNKNOWN if other is None else other.verdict,
            uncertainty=_UNSURE if other is None or is_refuted else other.uncertainty,
            per_step=_per_step(words, other),
            reason=reason,
            usage=usage,
        )


def _per_step(words: Sequence[_Word], other: Score | None) -> tuple[float, ...]:
    has_steps = other is not None and len(other.per_step) == len(words)
    rest = other.per_step if other is not None and has_steps else (_OPEN,) * len(words)
    pairs = zip(words, rest, strict=True)
    return tuple(value if word.value is None else word.value for word, value in pairs)


def exact_words(trajectory: Trajectory) -> list[_Word]:
    """What exact tools say of each step; nothing of those that hold no claim."""
    puzzle = puzzle_of(trajectory.problem)
    if puzzle is not None and puzzle.name in _STEPWISE:
        return _by_rules(puzzle, trajectory.steps)
    return [_by_arithmetic(step.text) for step in trajectory.steps]


def _by_rules(puzzle: Puzzle, steps: Sequence[Step]) -> list[_Word]:
    words, done = list[_Word](), list[str]()
    for step in steps:
        line = one_line(step.text)
        if not line or step.kind is StepKind.ANSWER:
            words.append(_Word())
            continue
        ruling = puzzle.check_step(done, line)
        words.append(_Word(float(ruling.accepted), "" if ruling.accepted else ruling.reason))
        if ruling.accepted:
            done.append(line)
    return words


def _by_arithmetic(text: str) -> _Word:
    found = assertions_in(text)
    false = [assertion.text for assertion in found if not assertion.holds]
    if false:
        return _Word(0.0, f"`{false[0][:80]}` is false")
    return _Word(1.0 if found else None)


@dataclass(frozen=True, slots=True)
class MathsChecker:
    """What can be said of a maths solution without a reference and without solving the problem.

    A finished solution that states no answer is rejected. Else its arithmetic is checked as
    `HybridVerifier` does, which never accepts: right sums do not make a right answer.
    """

    @property
    def source(self) -> Source:
        """Its name and version."""
        return Source("maths-checker", VERSION)

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (the seam's)
        """Nothing: checking costs no tokens, calls or money."""
        return Usage()

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order."""
        return [await self._score(trajectory) for trajectory in trajectories]

    async def _score(self, trajectory: Trajectory) -> Score:
        if trajectory.problem.answer_kind not in {AnswerKind.MATHS, AnswerKind.INTEGER}:
            return Score.unknown(self.source, "the problem does not ask for mathematics")
        if trajectory.is_finished and extract_answer(trajectory.answer_text) is None:
            return Score(0.0, self.source, Verdict.REJECT, reason="it gives no final answer")
        (score,) = await HybridVerifier().score([trajectory])
        return Score(
            score.value,
            self.source,
            score.verdict,
            score.uncertainty,
            score.per_step,
            score.reason,
        )
