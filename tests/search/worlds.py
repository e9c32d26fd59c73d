"""A toy world in which a search can be worked out by hand.

A step is one letter; a path is the word its letters make. A capital letter ends the turn and is the
answer. From the path `ab`, sample i goes to letter number i of `steps["ab"]`, around and around.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from doubles import PROBLEM

from mull.control.fixed import Fixed
from mull.core.events import Event, NodeScored, WaveAsked
from mull.core.expansion import Call, Expansion, ExpansionKind
from mull.core.journal import MemoryJournal
from mull.core.problem import Problem
from mull.core.protocols import Strategy
from mull.core.score import Score, Source, Verdict
from mull.core.solution import Solution
from mull.core.spec import SolveSpec, Spec
from mull.core.state import replay
from mull.core.steps import Trajectory
from mull.core.tree import SearchTree
from mull.core.usage import Budget, Usage
from mull.policies.scripted import Reply, ScriptedPolicy
from mull.solver import Solver

Values = Mapping[str, float] | Callable[[str], float]


def word(text: str) -> str:
    """The path as a word."""
    return "".join(text.split())


def table(text: str) -> dict[str, float]:
    """`a .9 b .7` as values of paths."""
    words = text.split()
    return {path: float(value) for path, value in zip(words[::2], words[1::2], strict=True)}


def last_letter(problem: Problem, text: str) -> str | None:
    """Two answers are the same if they are the same capital letter."""
    letters = word(text)
    return letters[-1] if letters and letters[-1].isupper() else None


@dataclass(frozen=True, slots=True)
class World:
    """Where steps lead, and what they are worth."""

    steps: Mapping[str, str]
    values: Values = field(default_factory=dict[str, float])
    """The guide's value of every path it is asked about."""
    right: str = ""
    """The answer that the verifier `exact` accepts."""

    def script(self, call: Call) -> Reply | str:
        path, expansion = word(call.bases[0].text), call.branch.expansion
        letter = self._letter(path, 0 if expansion.sampling.is_greedy else call.branch.sample)
        if expansion.kind is not ExpansionKind.FINISH:
            return f" {letter}" if letter.isupper() else f" {letter}\n"
        said = [letter]
        while not said[-1].isupper():
            said.append(self._letter(path + "".join(said), 0))
        return "".join(f" {each}\n" for each in said[:-1]) + f" {said[-1]}"

    def _letter(self, path: str, sample: int) -> str:
        return self.steps[path][sample % len(self.steps[path])]


@dataclass(frozen=True, slots=True)
class ToyGuide:
    """Values a path as the world says; each step is worth what its beginning of the path is."""

    world: World
    cost: Usage = Usage()

    @property
    def source(self) -> Source:
        return Source("guide", "1")

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        return [self._score(word(each.text)) for each in trajectories]

    def _score(self, path: str) -> Score:
        values = [self._value(path[: end + 1]) for end in range(len(path))]
        return Score(values[-1], self.source, per_step=tuple(values), usage=self.cost)

    def _value(self, path: str) -> float:
        values = self.world.values
        return values(path) if callable(values) else values[path]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        return sum((self.cost for _ in trajectories), Usage())


@dataclass(frozen=True, slots=True)
class Exact:
    """Accepts one answer and rejects all others."""

    right: str

    @property
    def source(self) -> Source:
        return Source("exact", "1")

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        return [self._score(word(each.text)) for each in trajectories]

    def _score(self, path: str) -> Score:
        is_right = path.endswith(self.right)
        verdict = Verdict.ACCEPT if is_right else Verdict.REJECT
        return Score(float(is_right), self.source, verdict)

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        return Usage()


@dataclass(frozen=True, slots=True)
class Played:
    """A solve and the trace it left."""

    solution: Solution
    events: Sequence[Event]

    @property
    def tree(self) -> SearchTree:
        return self.solution.tree

    @property
    def story(self) -> list[str]:
        """Every wave in a few words."""
        return story(self.events)


async def play(
    world: World,
    strategy: Strategy,
    *,
    budget: Budget = Budget(),
    seed: int = 0,
    arrival_seed: int | None = None,
) -> Played:
    """One solve by a strategy object, with the guide and, where something is right, `exact`."""
    policy = ScriptedPolicy(world.script, arrival_seed=arrival_seed)
    verifiers = (ToyGuide(world), *([Exact(world.right)] if world.right else []))
    journal, spec = MemoryJournal(), Spec("own")
    solver = Solver(
        SolveSpec(policy.capabilities.model, Spec("scripted"), spec),
        policy,
        verifiers,
        Fixed(spec),
        lambda _: strategy,
        journal,
    )
    solution = await solver.solve(PROBLEM, budget=budget, seed=seed, solve_id="it")
    solution.tree.check()
    return Played(solution, journal.traces["it"])


def story(events: Sequence[Event]) -> list[str]:
    """Every wave: `grow .4` is four steps from the root, `ab>` completes greedily, `ab~` draws."""
    tree = replay(events).tree
    waves = list[str]()
    for event in events:
        if isinstance(event, WaveAsked):
            parts = [
                ("grow", [_grow(tree, each) for each in event.grow]),
                ("score", [path(tree, each.node_id) + _by(each.verifier) for each in event.score]),
                ("drop", [path(tree, each) for each in event.drop]),
            ]
            waves.append("; ".join(f"{name} {' '.join(said)}" for name, said in parts if said))
    return waves


def _grow(tree: SearchTree, expansion: Expansion) -> str:
    start = path(tree, expansion.parents[0])
    if expansion.kind is ExpansionKind.FINISH:
        return start + (">" if expansion.sampling.is_greedy else "~")
    return f"{start}{expansion.count}"


def _by(verifier: str) -> str:
    return "" if verifier == "guide" else "!"


def path(tree: SearchTree, node_id: str) -> str:
    """A node as the word of its path; the root is a dot."""
    return word("".join(step.text for step in tree.steps(node_id))) or "."  # type: ignore[arg-type]


def num_scored(events: Sequence[Event], verifier: str) -> int:
    """How many scores a verifier gave."""
    scored = [each for each in events if isinstance(each, NodeScored)]
    return sum(each.score.source.verifier == verifier for each in scored)


def state_after_last(trajectory: Trajectory) -> str | None:
    """Paths that end in the same small letter stand at the same state."""
    letters = word(trajectory.text)
    return letters[-1] if letters and letters[-1].islower() else None


__all__ = ["World", "play", "replace", "state_after_last"]
