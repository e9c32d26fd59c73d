"""Small fakes that tests share; what mull ships (`ScriptedPolicy`, `MemoryJournal`) is not here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from mull.control.fixed import Fixed
from mull.core.answers import text_key
from mull.core.clock import Clock, SystemClock
from mull.core.expansion import Call, Delta, Expansion, ExpansionKind, Failed, Grown, Limits
from mull.core.journal import MemoryJournal
from mull.core.problem import Problem
from mull.core.protocols import Controller, Journal, Policy, Verifier
from mull.core.score import Score, Source, Verdict
from mull.core.spec import SolveSpec, Spec
from mull.core.states import StateKey, no_state
from mull.core.steps import Trajectory
from mull.core.tree import SearchTree
from mull.core.usage import Usage
from mull.search import strategy_of
from mull.solver import Solver

PROBLEM = Problem.of("What is six times seven?")


def calls_for(policy: Policy, count: int = 1, max_tokens: int = 50) -> list[Call]:
    """Whole answers to the problem, as a solver would ask for them."""
    tree = SearchTree(PROBLEM, policy.capabilities.model, seed=1)
    expansion = Expansion((tree.root,), ExpansionKind.FINISH, count, limits=Limits(max_tokens))
    return [tree.call(branch) for branch in tree.ask(expansion)]


async def grown(policy: Policy, calls: Sequence[Call]) -> list[Grown]:
    """Every step of the calls, of which none may fail."""
    outcomes = [each async for each in policy.expand(calls) if not isinstance(each, Delta)]
    failed = [each.message for each in outcomes if isinstance(each, Failed)]
    assert not failed
    return [each for each in outcomes if isinstance(each, Grown)]


@dataclass(frozen=True, slots=True)
class PredicateVerifier:
    """Accepts the answers of which `is_right` holds; of an empty one it has no opinion."""

    is_right: Callable[[str], bool]
    name: str = "predicate"
    cost: Usage = Usage()
    """Of one score."""
    seen: list[str] = field(default_factory=list[str])
    """Every answer it was ever asked about."""

    @property
    def source(self) -> Source:
        return Source(self.name, "1")

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        return [self._score(trajectory.answer_text) for trajectory in trajectories]

    def _score(self, answer: str) -> Score:
        self.seen.append(answer)
        if not answer:
            return Score.unknown(self.source, "no answer", self.cost)
        if self.is_right(answer):
            return Score(1.0, self.source, Verdict.ACCEPT, usage=self.cost)
        return Score(0.0, self.source, Verdict.REJECT, reason="wrong", usage=self.cost)

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        return sum((self.cost for _ in trajectories), Usage())


@dataclass(frozen=True, slots=True)
class HashGuide:
    """Values every path by a digest of its text: any number, and always the same."""

    cost: Usage = Usage()
    """Of one score."""

    @property
    def source(self) -> Source:
        return Source("guide", "1")

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        return [self._score(trajectory) for trajectory in trajectories]

    def _score(self, trajectory: Trajectory) -> Score:
        ends = range(1, len(trajectory.steps) + 1)
        texts = ["".join(step.text for step in trajectory.steps[:end]) for end in ends]
        values = tuple(crc32(text.encode()) / 2**32 for text in texts)
        return Score(values[-1], self.source, per_step=values, usage=self.cost)

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        return sum((self.cost for _ in trajectories), Usage())


def solver_with(
    policy: Policy,
    strategy: Spec,
    *verifiers: Verifier,
    journal: Journal | None = None,
    clock: Clock = SystemClock(),
    state_key: StateKey = no_state,
    controller: Controller | None = None,
) -> Solver:
    """A solver of one strategy, fixed where no controller is given."""
    return Solver(
        SolveSpec(
            policy.capabilities.model,
            Spec("scripted"),
            strategy,
            verifiers=tuple(each.source for each in verifiers),
        ),
        policy,
        verifiers,
        controller or Fixed(strategy),
        lambda spec: strategy_of(spec, text_key, state_key),
        journal or MemoryJournal(),
        clock,
    )
