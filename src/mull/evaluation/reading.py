"""From one finished tree to the result of an arm.

Strategies select from the tree and its scores; only afterwards are their answers graded against the
reference. Nothing here flows back into a tree.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from mull.core.answers import AnswerKey
from mull.core.events import StopReason
from mull.core.problem import Problem
from mull.core.protocols import Candidate
from mull.core.score import Verdict
from mull.core.tree import Node, SearchTree
from mull.core.usage import Usage
from mull.evaluation.arms import Arm
from mull.evaluation.grading import Grading
from mull.evaluation.results import Level, Pruning, Result
from mull.puzzles import Countdown, Puzzle, puzzle_of
from mull.tasks import Arithmetic, CountdownSolver, Example
from mull.verifiers.finding import Finding


@dataclass(frozen=True, slots=True)
class Judged:
    """What an arm came to on one problem, before anybody looked at the reference."""

    tree: SearchTree
    candidate: Candidate | None
    stop: StopReason
    spent: Usage


@dataclass(slots=True)
class Grades:
    """The grader's word on texts and states of one example, each worked out once."""

    example: Example
    grading: Grading
    solver: CountdownSolver = field(
        default_factory=lambda: CountdownSolver(Arithmetic.WHOLE), repr=False
    )
    """For exact labels of countdown states, in the arithmetic that traces are written in."""
    puzzle: Puzzle | None = field(init=False)
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    """By the text of the answer."""
    states: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """State keys by the text that leads there."""
    solvable: dict[str, bool] = field(default_factory=dict[str, bool])
    """By state key."""

    def __post_init__(self) -> None:
        self.puzzle = puzzle_of(self.example.problem)

    async def learn(self, texts: Iterable[str]) -> None:
        """Have these answers graded, so that the others can be asked about them."""
        new = [text for text in dict.fromkeys(texts) if text not in self.findings]
        found = await asyncio.gather(*(self._graded(text) for text in new))
        self.findings.update(zip(new, found, strict=True))

    async def _graded(self, text: str) -> Finding:
        return await self.grading.grade(self.example, text) if text else Finding.reject("empty")

    def is_right(self, text: str) -> bool:
        """Whether an answer that was graded is right. KeyError for another one."""
        return self.findings[text].is_accepted

    def is_known(self, text: str) -> bool:
        """Whether the grader could tell."""
        return self.findings[text].verdict is not Verdict.UNKNOWN

    def state(self, tree: SearchTree, node: Node) -> str | None:
        """The state an unfinished node stands in; None where nobody can read one."""
        if self.puzzle is None or node.step is None or node.step.is_final:
            return None
        return self.puzzle.state_key([step.text for step in tree.steps(node.id)])

    def can_be_solved(self, lines: Sequence[str]) -> bool | None:
        """Whether an unfinished path can still end well; None without exact labels.

        An illegal one cannot.
        """
        if not isinstance(self.puzzle, Countdown):
            return None
        text = "".join(lines)
        if text not in self.states:
            self.states[text] = self.puzzle.state_key(lines)
        state = self.states[text]
        return False if state is None else self.is_solvable(state)

    def is_solvable(self, state: str) -> bool | None:
        """Whether the target can still be reached; None where there is no exact label."""
        if not isinstance(self.puzzle, Countdown):
            return None
        if state not in self.solvable:
            numbers = [Fraction(number) for number in state.split()]
            self.solvable[state] = self.solver.reachable(numbers, self.puzzle.target)
        return self.solvable[state]


@dataclass(slots=True)
class MemoizedKeys:
    """An `AnswerKey` for texts about one problem, each text read once."""

    answer_key: AnswerKey
    known: dict[str, str | None] = field(default_factory=dict[str, str | None])

    def __call__(self, problem: Problem, text: str) -> str | None:
        if text not in self.known:
            self.known[text] = self.answer_key(problem, text)
        return self.known[text]


async def read(arm: Arm, budget: int, judged: Judged, grades: Grades) -> Result:
    """The result of an arm at a budget."""
    tree, candidate = judged.tree, judged.candidate
    answer = candidate.answer if candidate is not None else None
    answers = [tree.trajectory(node.id).answer_text for node in tree.finished()]
    await grades.learn(answers if answer is None else [*answers, answer])
    right = [grades.is_right(text) for text in answers]
    levels, pruning = _search(tree, grades)
    return Result(
        arm.name,
        budget,
        grades.example.id,
        tree.seed,
        is_right=answer is not None and grades.is_right(answer),
        has_answer=answer is not None,
        num_answers=len(right),
        num_right=sum(right),
        ungraded=tuple(_ungraded(answers, grades)),
        spent=judged.spent,
        stop=judged.stop.value,
        value=_value(arm, judged),
        levels=levels,
        pruning=pruning,
    )


def _ungraded(answers: Sequence[str], grades: Grades) -> Iterator[str]:
    return (grades.findings[text].reason for text in answers if not grades.is_known(text))


def _value(arm: Arm, judged: Judged) -> float | None:
    if judged.candidate is None or judged.candidate.answer is None or not arm.judges:
        return None
    score = judged.tree.score(judged.candidate.node_id, arm.judges[0])
    return None if score is None else score.value


def _search(tree: SearchTree, grades: Grades) -> tuple[tuple[Level, ...], Pruning | None]:
    """States by depth, and what became of those that were dropped.

    Nothing for a tree whose branches are all whole answers: it chose among no states.
    """
    if all(branch.parents == (tree.root,) for branch in tree.branches()):
        return (), None
    seen, dropped = dict[int, Counter[str]](), list[bool]()
    for depth, node, state in _states(tree, grades):
        seen.setdefault(depth, Counter())[state] += 1
        label = grades.is_solvable(state) if tree.is_dropped(node.id) else None
        dropped += [] if label is None else [label]
    levels = tuple(Level(seen[depth].total(), len(seen[depth])) for depth in sorted(seen))
    return levels, Pruning(len(dropped), sum(dropped)) if dropped else None


def _states(tree: SearchTree, grades: Grades) -> Iterator[tuple[int, Node, str]]:
    for node in tree.nodes():
        state = grades.state(tree, node)
        if state is not None:
            yield len(tree.steps(node.id)), node, state


def spent_by(tree: SearchTree) -> Usage:
    """What stands in a tree: its steps, its scores and its failures.

    Only the axes that a tree knows; adding whole vectors is ten times slower.
    """
    usages = [node.usage for node in tree.nodes()]
    usages += [score.usage for node in tree.nodes() for score in tree.scores(node.id)]
    usages += [failure.usage for failure in tree.failures.values()]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        visible_tokens=sum(usage.visible_tokens for usage in usages),
        hidden_tokens=sum(usage.hidden_tokens for usage in usages),
        verifier_tokens=sum(usage.verifier_tokens for usage in usages),
        discarded_tokens=sum(usage.discarded_tokens for usage in usages),
        calls=len(tree.branches()),
        flops=sum(usage.flops for usage in usages),
        seconds=sum(usage.seconds for usage in usages),
        money_usd=sum(usage.money_usd for usage in usages),
    )
