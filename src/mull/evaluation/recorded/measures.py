"""What a recorded set comes to: samples drawn through the solver, strategies read off its trees."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mull.build import OpenModel, SearchPlan, StrategyTable, answer_keys
from mull.core.answers import answer_classes
from mull.core.expansion import Grown, NodeId
from mull.core.spec import Spec
from mull.core.tree import SearchTree
from mull.evaluation.intervals import Interval, mean_intervals
from mull.evaluation.journal import NoJournal
from mull.policies.replay import ReplayPolicy
from mull.tasks import pass_at_k
from mull.tasks.recorded import RecordedProblem, RecordedSet
from mull.verifiers.recorded import RecordedScores

MAX_TOKENS: Final = 1_000_000
"""Cuts no recorded sample."""

Values = list[float]
"""One value in [0, 1] a problem."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Every problem of a set, solved with all its samples and their scores."""

    recorded: RecordedSet
    trees: tuple[SearchTree, ...]
    verifier: str
    """The name of its recorded scores."""

    def votes(self) -> Values:
        """Whether the majority's answer is right; of equals, the one reached first."""
        return self.chosen_by(Spec("self_consistency", {"n": self._n}))

    def best(self) -> Values:
        """Whether the sample with the best recorded score is right; of equals, the first."""
        return self.chosen_by(Spec("best_of_n", {"n": self._n, "verifier": self.verifier}))

    def votes_with_ties_averaged(self) -> Values:
        """Share of right ones among the answers with most votes."""
        return [self._mean_over(problem, tree, _leaders(tree)) for problem, tree in self._pairs]

    def best_with_ties_averaged(self) -> Values:
        """Share of right ones among the samples with the best score."""
        return [
            self._mean_over(problem, tree, _best(tree, self.verifier))
            for problem, tree in self._pairs
        ]

    def chosen_by(self, spec: Spec) -> Values:
        """Whether the answer that a strategy selects is right."""
        strategy = StrategyTable()(spec)
        found = Values()
        for problem, tree in self._pairs:
            candidate = strategy.select(tree)
            node_id = candidate.node_id if candidate and candidate.answer is not None else None
            found.append(self._mean_over(problem, tree, [node_id] if node_id else []))
        return found

    def first(self, n: int) -> "Drawn":
        """The same with the first n samples of every problem."""
        return replace(self, trees=tuple(_first(tree, n) for tree in self.trees))

    @property
    def _n(self) -> int:
        return max(1, *(len(each.records) for each in self.recorded.problems))

    @property
    def _pairs(self) -> list[tuple[RecordedProblem, SearchTree]]:
        return list(zip(self.recorded.problems, self.trees, strict=True))

    def _mean_over(self, problem: RecordedProblem, tree: SearchTree, nodes: list[NodeId]) -> float:
        right = [is_right(self.recorded, problem, tree, each) for each in nodes]
        return sum(right) / max(1, len(right))


def _first(tree: SearchTree, n: int) -> SearchTree:
    """The tree with n samples: ids do not depend on how many were asked for."""
    smaller = SearchTree(tree.problem, tree.model, tree.seed)
    for branch in tree.branches()[:n]:
        smaller.ask(branch.expansion)
        for node in tree.chain(branch.id):
            if node.step is not None:
                smaller.grow(Grown(branch.id, node.index, node.step, node.usage, node.finish))
            for score in tree.scores(node.id):
                smaller.judge(node.id, score)
        if branch.id in tree.failures:
            smaller.fail(tree.failures[branch.id])
    return smaller


def _leaders(tree: SearchTree) -> list[NodeId]:
    """The first sample of every answer with most votes."""
    classes = answer_classes(tree, answer_keys())
    most = max((len(each.node_ids) for each in classes), default=0)
    return [each.node_ids[0] for each in classes if len(each.node_ids) == most]


def _best(tree: SearchTree, verifier: str) -> list[NodeId]:
    """Every sample with the best score."""
    scored = [(node.id, tree.score(node.id, verifier)) for node in tree.finished()]
    values = {node_id: score.value for node_id, score in scored if score and score.is_opinion}
    best = max(values.values(), default=0.0)
    return [node_id for node_id, value in values.items() if value == best]


def is_right(
    recorded: RecordedSet, problem: RecordedProblem, tree: SearchTree, node_id: NodeId
) -> bool:
    """Whether the answer read off a sample is right, as its data set says."""
    answer = tree.trajectory(node_id).answer_text
    if recorded.grades_answers:
        key, stated = answer_keys(), tree.problem
        return key(stated, answer) == key(stated, problem.example.reference)
    branch_id = tree.node(node_id).branch_id
    if branch_id is None:
        raise ValueError("the root is no sample")
    return bool(problem.right[tree.branch(branch_id).sample])


async def draw(recorded: RecordedSet) -> Drawn:
    """Solve every problem with as many samples as it has, over the replay policy."""
    recording = recorded.recording()
    scores = RecordedScores(recording)
    model, trees = OpenModel.own(ReplayPolicy(recording)), list[SearchTree]()
    for problem in recorded.problems:
        options = {"n": len(problem.records), "max_tokens": MAX_TOKENS}
        spec = Spec("best_of_n", {**options, "verifier": scores.source.verifier})
        solver = SearchPlan(spec, StrategyTable(), (scores,)).solver(model, NoJournal())
        solution = await solver.solve(problem.example.problem)
        trees.append(solution.tree)
    return Drawn(recorded, tuple(trees), scores.source.verifier)


def one_sample(recorded: RecordedSet) -> Values:
    """The mean over a problem's samples: what one of them is worth."""
    return [sum(map(bool, each.right)) / len(each.right) for each in recorded.problems]


def any_sample(recorded: RecordedSet) -> Values:
    """Whether any of a problem's samples is right."""
    return [float(any(each.right)) for each in recorded.problems]


def pass_at(recorded: RecordedSet, k: int) -> Values:
    """Chance that one of k samples is right, unbiased (Chen et al. 2021)."""
    return [pass_at_k(len(each.right), sum(map(bool, each.right)), k) for each in recorded.problems]


def percent(values: Values) -> Interval:
    """The mean over problems in percent, with its 95 % interval."""
    (found,) = mean_intervals(100 * np.array([values], dtype=np.float64).T)
    return found
