"""Measuring water: fill, empty and pour jugs until one of them holds the amount asked for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from mull.core.errors import ProblemNotUnderstoodError
from mull.core.problem import AnswerKind
from mull.puzzles.puzzle import Ruling
from mull.puzzles.reading import (
    MAX_ANSWER_CHARS,
    NUMBER,
    NUMBER_LIST,
    listed,
    match_statement,
    numbers_in,
    one_line,
    shown,
    split_completion,
    step_lines,
    whole_number,
    wording_key,
)

MIN_JUGS: Final = 2
MAX_JUGS: Final = 4
MAX_CAPACITY: Final = 99
MAX_STEPS: Final = 100

_LITRES: Final = r"(?:l|lit(?:re|er)s?)"
_PHRASINGS: Final = (
    re.compile(
        rf"measure (?:out )?(?:exactly )?(?P<target>{NUMBER}) ?{_LITRES}(?: of water)? "
        rf"(?:with|using|from) (?:the |two |three |four )?(?:empty )?jugs of "
        rf"(?P<jugs>{NUMBER_LIST}) ?{_LITRES}(?:\. write [a-z0-9 ,]{{1,120}})?"
    ),
)
_JUG: Final = rf"(?:the )?(?:jug )?([0-9]{{1,2}})(?: ?{_LITRES}(?: jug)?)?"
_FILL = re.compile(rf"fill {_JUG}")
_EMPTY = re.compile(rf"empty {_JUG}")
_POUR = re.compile(rf"pour {_JUG} (?:in)?to {_JUG}")

State = dict[int, int]
"""Litres in each jug, by its capacity."""


class _IllegalStepError(ValueError):
    """A step cannot be taken where it stands; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Measure `target` litres with jugs of these capacities, all empty at first."""

    jugs: tuple[int, ...]
    """Capacities, ascending and different: a jug is named by its own."""
    target: int

    name: ClassVar[str] = "plan"
    example: ClassVar[str] = (
        "Measure exactly 4 litres with jugs of 3 and 5 litres. "
        "Write one step a line, as fill 5, pour 5 into 3 or empty 3."
    )
    answer_kind: ClassVar[AnswerKind] = AnswerKind.PUZZLE

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a statement; see `Puzzle.parse`."""
        match = match_statement(_PHRASINGS, text)
        if match is None:
            return None
        literals = numbers_in(match["jugs"])
        jugs = {
            whole_number(literal, smallest=1, largest=MAX_CAPACITY, what="the jug")
            for literal in literals
        }
        if len(jugs) != len(literals) or not MIN_JUGS <= len(jugs) <= MAX_JUGS:
            raise ProblemNotUnderstoodError(
                f"a plan has {MIN_JUGS} to {MAX_JUGS} jugs of different sizes",
                hint=f"give {MIN_JUGS} to {MAX_JUGS} different capacities",
            )
        target = whole_number(match["target"], smallest=1, largest=MAX_CAPACITY, what="the amount")
        return cls(tuple(sorted(jugs)), target)

    @property
    def statement(self) -> str:
        """The canonical wording."""
        small, large = self.jugs[0], self.jugs[-1]
        return (
            f"Measure exactly {self.target} litres with jugs of {listed(self.jugs)} litres. "
            f"Write one step a line, as fill {large}, pour {large} into {small} or empty {small}."
        )

    def check_step(self, done: Sequence[str], line: str) -> Ruling:
        """Rule on the next step. One that changes nothing is illegal."""
        try:
            state = _advance(self._after(step_lines("\n".join(done))), one_line(line))
        except _IllegalStepError as error:
            return Ruling.reject(str(error))
        return Ruling.accept(f"the jugs hold {_shown_state(state)}")

    def check_answer(self, text: str) -> Ruling:
        """Rule on a whole plan: every step legal, and the amount in some jug at the end."""
        lines = _plan_lines(text)
        if not lines:
            return Ruling.reject("there is no plan")
        try:
            state = self._after(lines)
        except _IllegalStepError as error:
            return Ruling.reject(str(error))
        if self.target not in state.values():
            return Ruling.reject(f"no jug holds {self.target}; the jugs hold {_shown_state(state)}")
        return Ruling.accept(f"{self.target} litres after {len(lines)} steps")

    def state_key(self, done: Sequence[str]) -> str | None:
        """What the jugs hold; None after an illegal step."""
        try:
            return _shown_state(self._after(step_lines("\n".join(done))))
        except _IllegalStepError:
            return None

    def answer_key(self, text: str) -> str | None:
        """The plan in the plainest words; two plans that differ are different answers."""
        lines = _plan_lines(text)
        try:
            self._after(lines)
        except _IllegalStepError:
            return wording_key(text)
        return "; ".join(_plain(line) for line in lines) or wording_key(text)

    def _after(self, lines: Sequence[str]) -> State:
        if len(lines) > MAX_STEPS:
            raise _IllegalStepError(f"a plan has at most {MAX_STEPS} steps")
        state = dict.fromkeys(self.jugs, 0)
        for line in lines:
            state = _advance(state, line)
        return state


def _plan_lines(text: str) -> tuple[str, ...]:
    answer = split_completion(text).answer if len(text) <= MAX_ANSWER_CHARS else None
    return () if answer is None else step_lines(answer)


def _plain(line: str) -> str:
    return " ".join(line.lower().split()).strip(" .")


def _shown_state(state: State) -> str:
    return ", ".join(f"{litres}/{jug}" for jug, litres in state.items())


def _advance(state: State, line: str) -> State:
    """The state after one step. Raises _IllegalStepError."""
    plain = _plain(line[:80])
    if match := _FILL.fullmatch(plain):
        after = state | {_jug(state, match[1]): int(match[1])}
    elif match := _EMPTY.fullmatch(plain):
        after = state | {_jug(state, match[1]): 0}
    elif match := _POUR.fullmatch(plain):
        source, into = _jug(state, match[1]), _jug(state, match[2])
        if source == into:
            raise _IllegalStepError(f"`{shown(line)}` pours a jug into itself")
        moved = min(state[source], into - state[into])
        after = state | {source: state[source] - moved, into: state[into] + moved}
    else:
        raise _IllegalStepError(f"`{shown(line)}` is no step such as `fill 5` or `pour 5 into 3`")
    if after == state:
        raise _IllegalStepError(f"`{shown(line)}` changes nothing")
    return after


def _jug(state: State, literal: str) -> int:
    jug = int(literal)
    if jug not in state:
        raise _IllegalStepError(f"there is no jug of {jug} litres")
    return jug
