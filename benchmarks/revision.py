"""What feedback is worth: revision with a checker's word, without one, and fresh samples instead.

    python benchmarks/revision.py [--level 4] [--count 200] [--n 4] [--model mull-base] [--seed 0]

Long multiplication that the model has not seen. Each arm draws answers until the checker accepts
one or n are drawn; the arms differ only in what the next answer builds on:

- fresh: nothing; the next answer is a new sample (early stop at the first accepted).
- extrinsic: the last answer and the checker's reason for refusing it, in words.
- cut back: no words; the answer is kept up to its first wrong line and drawn anew from there.
- intrinsic: the last answer and a request to look again; nobody says whether it was right, so the
  model revises n - 1 times and its last answer counts.

The checker is the family's own rules, an oracle for this task, and the same one in three arms.
Prints accuracy after 1 to n answers with 95 % intervals over problems (Wilson), and what it cost.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import mull
from mull.core.errors import BadInputError
from mull.core.score import Score, Source, Verdict
from mull.core.usage import Usage
from mull.puzzles import puzzle_of
from mull.tasks import Example, generate, grade
from mull.verifiers.hybrid import exact_words

CHECKER: Final = "product-checker"


@dataclass(frozen=True, slots=True)
class ProductChecker:
    """Says whether a finished answer is right, and which line of it is the first wrong."""

    @property
    def source(self) -> Source:
        return Source(CHECKER, "1")

    def quote(self, trajectories: Sequence[mull.Trajectory]) -> Usage:  # noqa: ARG002
        return Usage()

    async def score(self, trajectories: Sequence[mull.Trajectory]) -> list[Score]:
        return [self._score(each) for each in trajectories]

    def _score(self, trajectory: mull.Trajectory) -> Score:
        puzzle = puzzle_of(trajectory.problem)
        if puzzle is None:
            raise BadInputError("the problem is no multiplication")
        ruling = puzzle.check_answer(trajectory.answer_text)
        if ruling.accepted:
            return Score(1.0, self.source, Verdict.ACCEPT)
        values = tuple(
            1.0 if word.value is None else word.value for word in exact_words(trajectory)
        )
        said = [word.reason for word in exact_words(trajectory) if word.reason]
        reason = said[0] if said else ruling.reason
        return Score(0.0, self.source, Verdict.REJECT, per_step=values, reason=reason)


@dataclass(frozen=True, slots=True)
class CutBack:
    """Draws again from before the first step that the checker refutes."""

    n: int

    def ask(self, tree: mull.SearchTree, limit: mull.Headroom) -> mull.Ask:  # noqa: ARG002
        """Scores of what is new; then one more answer from the last good place."""
        new = [each for each in tree.finished() if tree.score(each.id, CHECKER) is None]
        if new:
            return mull.Ask(score=tuple(mull.ScoreRequest(each.id, CHECKER) for each in new))
        if tree.accepted(CHECKER) or len(tree.branches()) >= self.n:
            return mull.Ask()
        return mull.Ask((mull.Expansion((self._place(tree),), mull.ExpansionKind.FINISH),))

    def _place(self, tree: mull.SearchTree) -> mull.NodeId:
        finished = tree.finished()
        if not finished:
            return tree.root
        path = [finished[-1]]
        while path[0].inputs[0] != tree.root:
            path.insert(0, tree.node(path[0].inputs[0]))
        score = tree.score(path[-1].id, CHECKER)
        values = score.per_step if score is not None else ()
        # Where every line is right and the answer is not, the answer alone is drawn again.
        first = values.index(0.0) if 0.0 in values else len(path) - 1
        return path[first - 1].id if first > 0 else tree.root

    def select(self, tree: mull.SearchTree) -> mull.Candidate | None:
        """The last answer."""
        finished = tree.finished()
        if not finished:
            return None
        last = finished[-1].id
        return mull.Candidate(last, tree.trajectory(last).answer_text)


ARMS: Final = ("fresh", "extrinsic", "cut back", "intrinsic")


async def solve(
    arm: str, example: Example, model: mull.OpenModel, n: int, seed: int
) -> mull.Solution:
    checker = ProductChecker()
    if arm == "fresh":
        return await mull.solve_async(
            example.problem, model=model, strategy="early_stop", n=n, verifier=checker, seed=seed
        )
    if arm == "cut back":
        return await mull.solve_async(
            example.problem, model=model, strategy=CutBack(n), verifier=checker, seed=seed
        )
    verifier = checker if arm == "extrinsic" else "none"
    return await mull.solve_async(
        example.problem, model=model, strategy="revise", n=n, verifier=verifier, seed=seed
    )


def right_after(arm: str, example: Example, solution: mull.Solution, n: int) -> list[bool]:
    """Whether the arm's answer is right when it may draw 1, 2, ... n answers."""
    answers: list[str] = []
    for branch in solution.tree.branches():
        chain = solution.tree.chain(branch.id)
        path = solution.tree.trajectory(chain[-1].id) if chain else None
        answers.append(path.answer_text if path is not None and path.is_finished else "")
    graded = [bool(text) and grade(example, text) for text in answers]
    if arm == "intrinsic":
        finished = [index for index, text in enumerate(answers) if text]
        return [
            any(index <= k for index in finished)
            and graded[max(index for index in finished if index <= k)]
            for k in range(n)
        ]
    return [any(graded[: k + 1]) for k in range(n)]


def wilson(successes: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    z, share = 1.96, successes / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    return middle - half, middle + half


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--level", type=int, default=4)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--model", default="mull-base")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    examples = generate("multiply", given.level, given.count, seed=given.seed, split="test")
    sys.stdout.write(
        f"multiply level {given.level}, {given.count} problems, {given.model}, n {given.n}\n"
    )
    async with mull.open_model(given.model) as model:
        for arm in ARMS:
            solutions = await asyncio.gather(
                *(solve(arm, example, model, given.n, given.seed) for example in examples)
            )
            rows = [
                right_after(arm, example, solution, given.n)
                for example, solution in zip(examples, solutions, strict=True)
            ]
            tokens = sum(each.usage.generated_tokens for each in solutions) / len(examples)
            prompt = sum(each.usage.prompt_tokens for each in solutions) / len(examples)
            cells = []
            for k in range(given.n):
                low, high = wilson(sum(row[k] for row in rows), len(rows))
                share = 100 * sum(row[k] for row in rows) / len(rows)
                cells.append(f"{share:5.1f} ({100 * low:.0f}-{100 * high:.0f})")
            sys.stdout.write(
                f"{arm:10} {'  '.join(cells)}  {tokens:6.1f} generated, {prompt:6.1f} prompt\n"
            )
            failed = [f.message for s in solutions for f in s.tree.failures.values()]
            if failed:
                sys.stdout.write(f"           {len(failed)} answers failed: {failed[0]}\n")


if __name__ == "__main__":
    asyncio.run(main())
