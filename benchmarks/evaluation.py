"""What an evaluation costs beside the model: processor time a completion, without an engine.

    python benchmarks/evaluation.py [--problems 20] [--n 256] [--repeats 3]

The completions are legal blind derivations, made before and handed over as a policy would. Prints
one line a sample count, so that a cost that grows with the number of samples shows: microseconds a
completion for everything (solver, checker, prefixes, votes, grading, results on disk), and how much
of it is the rules of the game alone (checking, grading and naming each answer once).
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mull.build import OpenModel
from mull.core.expansion import Call, ExpansionKind, Finish, Grown, NodeId, Outcome
from mull.core.protocols import Capabilities
from mull.core.steps import Step, StepKind
from mull.core.usage import Usage
from mull.evaluation import Bench, EvalConfig, ProblemSet, evaluate
from mull.puzzles import Countdown
from mull.tasks import Example, grade
from mull.tasks.walk import random_walk, write_moves
from mull.verifiers import CountdownChecker

TOKENS_PER_LINE = 9


@dataclass(frozen=True, slots=True)
class PreparedPolicy:
    """Hands over steps that were made before."""

    steps: Mapping[str, Sequence[Sequence[Step]]]
    """Of every sample, by statement."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("prepared@1", frozenset(ExpansionKind))

    def quote(self, call: Call) -> Usage:
        return Usage(visible_tokens=call.max_tokens)

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        for call in calls:
            steps = self.steps[call.bases[0].problem.statement]
            for index, step in enumerate(steps[call.branch.sample % len(steps)]):
                usage = Usage(visible_tokens=len(step.token_ids))
                finish = Finish.STOP if step.is_final else None
                yield Grown(call.branch.id, index, step, usage, finish)

    async def release(self, node_ids: Collection[NodeId]) -> None:
        pass


def derivation(numbers: Sequence[int], seed: int) -> list[Step]:
    lines = write_moves(random_walk(numbers, Random(seed))).splitlines(keepends=True)
    ids = tuple(range(TOKENS_PER_LINE))
    return [
        Step(line, ids, kind=StepKind.ANSWER, is_final=place == len(lines) - 1)
        for place, line in enumerate(lines)
    ]


def prepared(examples: Sequence[Example], n: int) -> PreparedPolicy:
    steps = {
        example.problem.statement: [
            derivation(tuple(map(int, example.group.split())), seed) for seed in range(n)
        ]
        for example in examples
    }
    return PreparedPolicy(steps)


def seconds_of_all(policy: PreparedPolicy, problems: ProblemSet, n: int) -> float:
    @asynccontextmanager
    async def already_open(*_: object) -> AsyncGenerator[OpenModel, None]:
        yield OpenModel.own(policy)

    checker = CountdownChecker()
    counts = tuple(count for count in (1, 4, 16, 64, 256, 1_024) if count < n)
    config = EvalConfig(
        problems, ("prepared",), budgets=(*counts, n), verifier=checker.source.verifier
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        asyncio.run(evaluate(config, Path(folder) / "run", bench=Bench((checker,), already_open)))
        return time.process_time() - start


def seconds_of_rules(policy: PreparedPolicy, examples: Sequence[Example]) -> float:
    start = time.process_time()
    for example in examples:
        puzzle = Countdown.parse(example.problem.statement)
        for steps in policy.steps[example.problem.statement]:
            text = "".join(step.text for step in steps).strip()
            grade(example, text)
            if puzzle is not None:
                puzzle.check_answer(text)
                puzzle.answer_key(text)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    problems = ProblemSet("countdown", suite="game24-hard", count=asked.problems)
    examples = problems.examples()
    for n in (asked.n // 4, asked.n, asked.n * 4):
        policy = prepared(examples, n)
        repeats = range(asked.repeats)
        everything = min(seconds_of_all(policy, problems, n) for _ in repeats)
        rules = min(seconds_of_rules(policy, examples) for _ in repeats)
        completions = n * len(examples)
        sys.stdout.write(
            f"n {n:>5}: {everything / completions * 1e6:4.0f} us a completion, "
            f"{rules / completions * 1e6:4.0f} us of them the rules\n"
        )


if __name__ == "__main__":
    main()
