"""Samples of a policy with exact labels, and what reward models say of every step of them.

Kept in a folder: one line a problem, so that a stopped audit goes on where it was.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, fsum
from pathlib import Path
from typing import Final, NamedTuple, Self, cast

from mull.build import OpenModel, SearchPlan, StrategyTable, answer_keys
from mull.core.errors import BadInputError
from mull.core.protocols import Verifier
from mull.core.spec import Spec
from mull.core.steps import Step, StepKind, Trajectory
from mull.evaluation.journal import NoJournal
from mull.evaluation.results import writable
from mull.puzzles import recognise
from mull.tasks import Example, generate, grade, suite_named
from mull.tasks.exact import exact_labels
from mull.tasks.suites import SUITES
from mull.verifiers.supported import least_probability

PLAN: Final = "plan.json"
SAMPLES: Final = "samples.jsonl"
FORMAT: Final = 2
"""Of a line of samples: a folder of another one is another audit."""
ROWS: Final = 512
"""Answers grown at once."""
Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """Which held-out problems, and how often each is answered."""

    task: str
    """A generated task, or a suite's name."""
    level: int = 4
    count: int = 200
    model: str = "mull-base"
    n: int = 64
    temperature: float = 1.0
    seed: int = 0
    format: int = FORMAT

    def examples(self) -> list[Example]:
        """Problems that nothing was trained on."""
        if self.task in SUITES:
            return suite_named(self.task)[: self.count]
        return generate(self.task, self.level, self.count, self.seed, "test")


class Sample(NamedTuple):
    """One finished answer."""

    texts: tuple[str, ...]
    token_ids: tuple[tuple[int, ...], ...]
    kinds: tuple[str, ...]
    key: str
    """Of the answer's class; empty where there is no answer."""
    is_right: bool
    exact: tuple[bool, ...]
    """For each step: can it still come out right, by the rules?"""
    own: tuple[float, ...]
    """For each step: the probability that the policy itself gave it."""
    least: float
    """The probability of the least probable token of all."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """As a verifier sees them."""
        last = len(self.texts) - 1
        return tuple(
            Step(text, ids, kind=StepKind(kind), is_final=place == last)
            for place, (text, ids, kind) in enumerate(
                zip(self.texts, self.token_ids, self.kinds, strict=True)
            )
        )

    @classmethod
    def read(cls, raw: Sequence[object]) -> Self:
        """From JSON."""
        texts, ids, kinds, key, right, exact, own, least = raw
        return cls(
            tuple(cast("list[str]", texts)),
            tuple(map(tuple, cast("list[list[int]]", ids))),
            tuple(cast("list[str]", kinds)),
            cast("str", key),
            cast("bool", right),
            tuple(cast("list[bool]", exact)),
            tuple(cast("list[float]", own)),
            cast("float", least),
        )


class SampleFolder:
    """The samples of one plan, and scores of them. One process at a time writes."""

    def __init__(self, folder: Path, plan: SamplePlan) -> None:
        self.folder = folder
        self.plan = plan
        self.examples = plan.examples()
        text = json.dumps(asdict(plan), indent=2) + "\n"
        path = folder / PLAN
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise BadInputError(
                f"`{folder}` holds another audit", hint="name another folder, or the same settings"
            )
        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    @property
    def samples(self) -> Mapping[str, list[Sample]]:
        """By problem, as far as there are any."""
        return {
            cast("str", line["id"]): [
                Sample.read(each) for each in cast("list[list[object]]", line["samples"])
            ]
            for line in _lines(self.folder / SAMPLES)
        }

    def scores(self, verifier: Verifier) -> Mapping[str, list[list[float]]]:
        """By problem: the step values of every sample; an empty list where it has no opinion."""
        return {
            cast("str", line["id"]): cast("list[list[float]]", line["values"])
            for line in _lines(self._scores_path(verifier))
        }

    async def draw(self, model: OpenModel, report: Report) -> None:
        """Answer the problems that have not been answered."""
        spec = Spec("self_consistency", {"n": self.plan.n, "temperature": self.plan.temperature})
        solver = SearchPlan(spec, StrategyTable()).solver(model, NoJournal())
        done = len(self.samples)
        group = max(1, ROWS // self.plan.n)
        for start in range(done, len(self.examples), group):
            examples = self.examples[start : start + group]
            solved = [solver.solve(each.problem, seed=self.plan.seed) for each in examples]
            for example, solution in zip(examples, await asyncio.gather(*solved), strict=True):
                tree = solution.tree
                paths = [tree.trajectory(node.id) for node in tree.finished()]
                samples = [_sample(example, path) for path in paths]
                self._append(SAMPLES, {"id": example.id, "samples": samples})
            report(start + len(examples), len(self.examples))

    async def judge(self, verifier: Verifier, report: Report) -> None:
        """Have what has not been judged judged."""
        path = self._scores_path(verifier)
        done = {cast("str", line["id"]) for line in _lines(path)}
        samples = self.samples
        for example in self.examples:
            if example.id not in done:
                paths = [Trajectory(example.problem, each.steps) for each in samples[example.id]]
                scores = await verifier.score(paths)
                values = [
                    [round(value, 6) for value in each.per_step or (each.value,)]
                    if each.is_opinion
                    else []
                    for each in scores
                ]
                self._append(path.name, {"id": example.id, "values": values})
                done.add(example.id)
                report(len(done), len(self.examples))

    def _scores_path(self, verifier: Verifier) -> Path:
        return self.folder / f"scores-{verifier.source.version.split(':')[0]}.jsonl"

    def _append(self, name: str, line: Mapping[str, object]) -> None:
        with writable(self.folder), (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _lines(path: Path) -> Iterator[dict[str, object]]:
    """Every whole line; the last one may be cut short by a kill and is then left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def _sample(example: Example, path: Trajectory) -> Sample:
    puzzle = recognise(path.problem.statement)
    right = grade(example, path.answer_text)
    texts = tuple(step.text for step in path.steps)
    return Sample(
        texts,
        tuple(step.token_ids for step in path.steps),
        tuple(step.kind.value for step in path.steps),
        answer_keys()(path.problem, path.answer_text) or "",
        right,
        tuple(exact_labels(puzzle, texts, is_right=right)),
        tuple(round(exp(fsum(step.logprobs)), 6) for step in path.steps),
        round(least_probability(path), 9),
    )
