"""Consensus by execution (CodeT, Chen et al. 2022): programs and tests vouch for each other."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import Final

from mull.verifiers.sandbox import Limits, Sandbox

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
