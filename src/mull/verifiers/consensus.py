"""Consensus by execution (CodeT, Chen et al. 2022): programs and tests vouch for each other."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from mull.core.score import Score, Source
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.verifiers.code import program_in
from mull.verifiers.sandbox import Limits, Sandbox

VERSION: Final = "1"
MAX_TESTS: Final = 200
MAX_TEXT_CHARS: Final = 100_000
_UNSURE: Final = 0.3
"""Standard error of an agreement: programs may agree on a mistake."""
_ASSERT = re.compile(r"^[ \t]{0,12}(assert [^\n]{1,500})$", re.MULTILINE)
_LIMITS: Final = Limits(seconds=30.0, item_seconds=0.1)


def agreement_scores(passed: Sequence[Sequence[bool]]) -> list[float]:
    """How strongly each program agrees with the others; the best one is the consensus.

    `passed[i][j]` says whether program i passes generated test j. Programs that pass the same
    tests are one group x with its tests y, scored sqrt(|x|) * |y|: the paper's |x| * |y|, with the
    root of its released code, since programs repeat one another more than tests do. Equal programs
    should be given as often as they were sampled. No reference is needed.
    """
    rows = [tuple(row) for row in passed]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("every program needs the result of every test")
    group_sizes = Counter(rows)
    return [sqrt(group_sizes[row]) * sum(row) for row in rows]


async def pass_matrix(
    sandbox: Sandbox,
    programs: Sequence[str],
    tests: Sequence[str],
    limits: Limits = _LIMITS,
) -> list[list[bool]]:
    """Which program passes which `assert` statement; equal programs are run once.

    The statements run inside the program, so a result is the program's own claim: good for finding
    agreement among samples, not for judging one that wants to be accepted.
    """
    unique = list(dict.fromkeys(programs))
    rows = await asyncio.gather(*(_results(sandbox, each, tests, limits) for each in unique))
    row_of = dict(zip(unique, rows, strict=True))
    return [row_of[program] for program in programs]


async def _results(
    sandbox: Sandbox, program: str, tests: Sequence[str], limits: Limits
) -> list[bool]:
    evaluation = await sandbox.evaluate(program, tests, limits)
    reached = [value.error is None for value in evaluation.values]
    return reached + [False] * (len(tests) - len(reached))


@dataclass(frozen=True, slots=True)
class ConsensusVerifier:
    """Scores programs by how well they agree with generated tests and with one another (CodeT).

    Tests are the `assert` statements that the completions hold outside their program, and those of
    the problem. All finished trajectories of one call of `score` vouch for each other, so it is for
    strategies that score a wave at once, as `best_of_n` does. A value is the share of the best
    agreement there is; nothing is ever accepted or rejected. Generates no tokens.
    """

    limits: Limits = _LIMITS

    @property
    def source(self) -> Source:
        """Its name and version."""
        return Source("consensus", VERSION)

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (the seam's)
        """Nothing: running programs costs no tokens, calls or money."""
        return Usage()

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order. VerifierError where nothing here contains programs."""
        programs = [
            program_in(each.answer_text) if each.is_finished else None for each in trajectories
        ]
        tests = tests_in(trajectories)
        known = [program for program in programs if program is not None]
        if not known or not tests:
            why = "no completion holds a test" if known else "there is no program"
            return [Score.unknown(self.source, why) for _ in trajectories]
        async with await Sandbox.open() as sandbox:
            rows = await pass_matrix(sandbox, known, tests, self.limits)
        agreement = agreement_scores(rows)
        best = max(agreement)
        scores = iter(
            self._score(value / best if best else 0.0, sum(row), len(tests))
            for value, row in zip(agreement, rows, strict=True)
        )
        return [
            Score.unknown(self.source, "the answer holds no program")
            if program is None
            else next(scores)
            for program in programs
        ]

    def _score(self, value: float, passed: int, total: int) -> Score:
        reason = f"passes {passed} of {total} tests, with {value:.2f} of the best agreement"
        return Score(value, self.source, uncertainty=_UNSURE, reason=reason)


def tests_in(trajectories: Sequence[Trajectory]) -> list[str]:
    """The different `assert` statements of all completions and their problems, in order.

    What stands inside the program itself is part of the program. At most `MAX_TESTS`.
    """
    found = dict[str, None]()
    for trajectory in trajectories:
        program = {line.lstrip() for line in (program_in(trajectory.answer_text) or "").split("\n")}
        for text in (trajectory.problem.statement, trajectory.text):
            lines: list[str] = _ASSERT.findall(text[:MAX_TEXT_CHARS])
            found |= dict.fromkeys(line for line in lines if line not in program)
        if len(found) >= MAX_TESTS:
            break
    return list(found)[:MAX_TESTS]
