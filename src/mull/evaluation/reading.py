"""From one finished solve to the results of every arm that reads it.

Strategies select from the tree and its scores; only afterwards are their answers graded against the
reference. Nothing here flows back into a tree.
"""

from dataclasses import dataclass, field
from itertools import accumulate

from mull.core.answers import AnswerKey
from mull.core.problem import Problem
from mull.core.solution import Solution
from mull.core.tree import SearchTree
from mull.core.usage import Usage
from mull.evaluation.config import Arm, Draw, EvalConfig
from mull.evaluation.prefix import prefix_tree
from mull.evaluation.results import ArmResult, Reading
from mull.search import strategy_of
from mull.tasks import Example, grade


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the results of a draw's arms off its solves."""

    config: EvalConfig
    draw: Draw
    answer_key: AnswerKey

    def read(self, example: Example, solution: Solution, seconds: float) -> list[ArmResult]:
        """One result an arm, in the order of `draw.arms`."""
        grades = Grades(example)
        keys = MemoizedKeys(self.answer_key)
        tree = solution.tree
        right = [grades.is_right(text) for text in completions(tree)]
        prefixes = {n: tree if n >= len(right) else prefix_tree(tree, n) for n in self.draw.ns}
        return [
            ArmResult(
                arm=arm.name,
                problem_id=example.id,
                group=example.group,
                seed=tree.seed,
                num_samples=len(right),
                num_right=sum(right),
                readings=self._readings(arm, prefixes, grades, keys),
                stop=solution.stop.value,
                seconds=seconds,
            )
            for arm in self.draw.arms
        ]

    def _readings(
        self, arm: Arm, prefixes: dict[int, SearchTree], grades: "Grades", keys: AnswerKey
    ) -> tuple[Reading, ...]:
        largest = prefixes[self.draw.ns[-1]]
        spent = spent_by_sample(largest, arm.verifier)
        readings = list[Reading]()
        for n, tree in prefixes.items():
            strategy = strategy_of(self.config.spec(arm, n), keys)
            candidate = strategy.select(tree)
            answer = candidate.answer if candidate is not None else None
            is_right = answer is not None and grades.is_right(answer)
            cost = spent[min(n, len(spent) - 1)]
            readings.append(
                Reading(
                    n,
                    is_right,
                    answer is not None,
                    cost.generated_tokens,
                    cost.prompt_tokens,
                    cost.cached_tokens,
                    cost.flops,
                )
            )
        return tuple(readings)


@dataclass(slots=True)
class Grades:
    """The grader's word on texts about one example, each text graded once."""

    example: Example
    known: dict[str, bool] = field(default_factory=dict[str, bool])

    def is_right(self, text: str) -> bool:
        """Whether the answer is right; an empty one is not."""
        if text not in self.known:
            self.known[text] = bool(text) and grade(self.example, text)
        return self.known[text]


@dataclass(slots=True)
class MemoizedKeys:
    """An `AnswerKey` for texts about one problem, each text read once."""

    answer_key: AnswerKey
    known: dict[str, str | None] = field(default_factory=dict[str, str | None])

    def __call__(self, problem: Problem, text: str) -> str | None:
        if text not in self.known:
            self.known[text] = self.answer_key(problem, text)
        return self.known[text]


def completions(tree: SearchTree) -> list[str]:
    """The answer of every sample in canonical order; empty where a sample did not finish."""
    answers = list[str]()
    for branch in tree.branches():
        chain = tree.chain(branch.id)
        trajectory = tree.trajectory(chain[-1].id) if chain else None
        is_finished = trajectory is not None and trajectory.is_finished
        answers.append(trajectory.answer_text if trajectory and is_finished else "")
    return answers


def spent_by_sample(tree: SearchTree, verifier: str | None) -> list[Usage]:
    """What the first k samples cost, for k from 0 to all: steps and this verifier's scores."""
    costs = [Usage()]
    for branch in tree.branches():
        nodes = tree.chain(branch.id)
        scores = (tree.score(node.id, verifier) for node in nodes if verifier is not None)
        usages = [node.usage for node in nodes] + [score.usage for score in scores if score]
        if branch.id in tree.failures:
            usages.append(tree.failures[branch.id].usage)
        costs.append(_total(usages))
    return list(accumulate(costs))


def _total(usages: list[Usage]) -> Usage:
    """Their sum on the axes that are reported (adding whole vectors is ten times slower)."""
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        visible_tokens=sum(usage.completion_tokens for usage in usages),
        verifier_tokens=sum(usage.verifier_tokens for usage in usages),
        discarded_tokens=sum(usage.discarded_tokens for usage in usages),
        flops=sum(usage.flops for usage in usages),
    )
