"""Solves that are worth killing: long completions, several waves, a checker, about a second."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final
from zlib import crc32

from doubles import PredicateVerifier, solver_with

from mull.core.expansion import Call
from mull.core.problem import Problem
from mull.core.protocols import Journal, Policy
from mull.core.spec import Spec
from mull.policies.scripted import ScriptedPolicy
from mull.solver import Solver

PROBLEM: Final = Problem.of("Use 4, 9, 10 and 13 once each with + - * / to make 24.")


@dataclass(frozen=True, slots=True)
class Setup:
    """A model, and what it is to do."""

    opened: Callable[[Path], AbstractAsyncContextManager[Policy]]
    """The policy; the folder holds its checkpoint, where it has one."""
    strategy: Spec
    is_right: Callable[[str], bool]
    """What the verifier accepts: something that no early answer is."""
    prepare: Callable[[Path], None] = lambda folder: None
    """Makes that checkpoint."""
    problem: Problem = PROBLEM

    def solver(self, policy: Policy, journal: Journal) -> Solver:
        """The solver that this setup is run and resumed with."""
        verifier = PredicateVerifier(self.is_right)
        return solver_with(policy, self.strategy, verifier, journal=journal)


STEP_SECONDS: Final = 0.004


def _script(call: Call) -> str:
    """20 to 40 lines and an answer, all drawn with the branch's seed."""
    chance = Random(call.branch.seed)
    lines = [f" {chance.randrange(1000)} + {index}\n" for index in range(chance.randrange(20, 40))]
    return f"<think>{''.join(lines)}</think> {chance.randrange(100)} of {call.branch.sample}"


def _pace(call: Call, index: int) -> float:
    return Random(f"{call.branch.seed} {index}").random() * 2 * STEP_SECONDS


@asynccontextmanager
async def _scripted(folder: Path) -> AsyncGenerator[Policy, None]:
    yield ScriptedPolicy(_script, delay=_pace)


def _save_toy(folder: Path) -> None:
    from crash.toy import save_toy  # noqa: PLC0415  (the base install has no torch)

    save_toy(folder)


@asynccontextmanager
async def _toy(folder: Path) -> AsyncGenerator[Policy, None]:
    from mull.engine import Dtype  # noqa: PLC0415  (see above)
    from mull.policies.local import open_local_policy  # noqa: PLC0415

    async with open_local_policy(folder, name="toy", dtype=Dtype.FLOAT64) as policy:
        yield policy


def _search(n: int, max_tokens: int) -> Spec:
    options = {"verifier": "predicate", "n": n, "width": 3, "max_tokens": max_tokens}
    return Spec("early_stop", options)


SETUPS: Final[Mapping[str, Setup]] = {
    "scripted": Setup(_scripted, _search(12, 1000), lambda answer: answer.endswith("of 10")),
    "toy": Setup(
        _toy, _search(24, 240), lambda answer: crc32(answer.encode()) % 17 == 0, _save_toy
    ),
}
