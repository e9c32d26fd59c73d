"""Tree of Thoughts on a recorded GPT-4 run: its thoughts and values through our search.

The log is that of the paper's authors (Yao et al. 2023, MIT), Game of 24, puzzles 900 to 949, beam
width 5: every proposal of every step with its value. A narrower beam is a replay as far as the log
goes: now and then it keeps a path that the wider one pruned, and nothing was proposed from there.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pytest

from mull.control.fixed import Fixed
from mull.core.expansion import Call, ExpansionKind
from mull.core.journal import MemoryJournal
from mull.core.problem import Problem
from mull.core.score import Score, Source
from mull.core.spec import SolveSpec, Spec
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.policies.scripted import Reply, ScriptedPolicy
from mull.search.judges import Judges
from mull.search.steps import Stepwise
from mull.search.tot_bfs import Thoughts, TotBfs
from mull.solver import Solver

NAME = "tot_gpt4"
LOG = Path(__file__).parents[3] / "shared" / "data" / NAME / "game24_tot_b5.idx900-949.jsonl.gz"
LARGEST_VALUE = 60.0
"""Three votes of `sure`, 20 each."""


class LoggedStep(TypedDict):
    """One level of the authors' search."""

    ys: list[str]
    new_ys: list[str]
    values: list[float]


class LoggedVerdict(TypedDict):
    """Whether an answer was right, by the authors' check."""

    r: int


class LoggedPuzzle(TypedDict):
    """One line of the log."""

    idx: int
    steps: list[LoggedStep]
    ys: list[str]
    infos: list[LoggedVerdict]


@dataclass(frozen=True, slots=True)
class Recording:
    """A puzzle's thoughts by the path they continue, and values by path."""

    problem: Problem
    thoughts: Mapping[str, Sequence[str]]
    values: Mapping[str, float]
    right: frozenset[str]

    @classmethod
    def of(cls, puzzle: LoggedPuzzle) -> "Recording":
        thoughts, values = dict[str, list[str]](), dict[str, float]()
        for step in puzzle["steps"]:
            for path, value in zip(step["new_ys"], step["values"], strict=True):
                if path in values:
                    continue  # proposed twice
                start = next(start for start in step["ys"] if path.startswith(start))
                thoughts.setdefault(start, []).append(path.removeprefix(start))
                values[path] = value / LARGEST_VALUE
        verdicts = zip(puzzle["ys"], puzzle["infos"], strict=True)
        right = frozenset(path for path, verdict in verdicts if verdict["r"] == 1)
        return cls(Problem.of(f"puzzle {puzzle['idx']}"), thoughts, values, right)

    def script(self, call: Call) -> Reply:
        """Proposal number `sample` of the path; the fourth line is the answer."""
        assert call.branch.expansion.kind is ExpansionKind.PROPOSE
        path = call.bases[0].text
        proposals = self.thoughts.get(path, ())
        if call.branch.sample >= len(proposals):
            return Reply("", fails_after=0, failure="nothing more was proposed")
        line = proposals[call.branch.sample]
        return Reply(line.removesuffix("\n") if path.count("\n") == 3 else line)


@dataclass(frozen=True, slots=True)
class RecordedValues:
    """GPT-4's values; the second copy of a proposal in one step is worth nothing, as there."""

    recording: Recording

    @property
    def source(self) -> Source:
        return Source("gpt-4", "recorded")

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        paths = [logged(trajectory) for trajectory in trajectories]
        return [
            Score(0.0 if path in paths[:index] else self.recording.values[path], self.source)
            for index, path in enumerate(paths)
        ]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        return Usage()


def logged(trajectory: Trajectory) -> str:
    """The path as the log spells it, where an answer's line has its newline too."""
    return trajectory.text if trajectory.text.endswith("\n") else f"{trajectory.text}\n"


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    if not LOG.is_file():
        pytest.skip(f"no data set `{NAME}` beside the repository")
    with gzip.open(LOG, "rt", encoding="utf-8") as lines:
        return [Recording.of(json.loads(line)) for line in lines]


async def is_solved(recording: Recording, breadth: int) -> bool:
    """Whether any of the b answers that the search ends with is right: the paper's success."""
    proposals = max(len(thoughts) for thoughts in recording.thoughts.values())
    strategy = TotBfs(
        Judges("gpt-4"),
        breadth=breadth,
        proposals=proposals,
        thoughts=Thoughts.PROPOSE,
        steps=Stepwise(depth=4),
    )
    policy, spec = ScriptedPolicy(recording.script), Spec("own")
    solver = Solver(
        SolveSpec(policy.capabilities.model, Spec("scripted"), spec),
        policy,
        (RecordedValues(recording),),
        Fixed(spec),
        lambda _: strategy,
        MemoryJournal(),
    )
    tree = (await solver.solve(recording.problem)).tree
    kept = [logged(tree.trajectory(node_id)) for node_id in strategy.kept(tree)]
    assert len(kept) <= breadth
    return any(path in recording.right for path in kept)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("breadth", "percent"),
    [
        (1, 42),
        pytest.param(2, 56, marks=pytest.mark.full),
        pytest.param(3, 62, marks=pytest.mark.full),
        pytest.param(4, 68, marks=pytest.mark.full),
        (5, 70),
    ],
)
async def test_the_recorded_run_is_solved_as_often_as_its_authors_values_allow(
    recordings: list[Recording], breadth: int, percent: int
) -> None:
    solved = [await is_solved(recording, breadth) for recording in recordings]
    assert len(solved) == 50
    assert sum(solved) * 2 == percent
