"""Labelled search states of a policy, in files of a folder: what reward models are trained on.

Problems are drawn from the training split alone, and no state that is kept shows numbers that are
held out for evaluation: a completion is cut before the first line that would.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain as chained
from pathlib import Path
from random import Random
from typing import Any, Final, Self, cast

from mull.core.errors import BadInputError, StoreError
from mull.core.expansion import Sampling, Thinking
from mull.core.seeds import derive_seed
from mull.engine import Dtype, Engine, EngineSettings
from mull.models.tokenizer import TextTokenizer
from mull.policies.formats import ChatFormat
from mull.puzzles import Puzzle, to_problem
from mull.tasks.exact import exact_labels
from mull.training.labels import Evidence, Explored, monte_carlo, omega
from mull.training.problems import SOURCES, draw_problem, shows_held_out
from mull.training.rollouts import EngineSampler, Rollout, Steps, prefixes

PLAN_FILE: Final = "plan.json"
PROBLEMS_A_FILE: Final = 128
MAX_STEPS: Final = 16
"""More than any problem takes."""
MAX_TOKENS: Final = 256
"""Nor more than any takes: a policy that has lost its way can go on for ever within a step."""
SEARCHES: Final = ("mc", "omega", "steps")
"""How states are found: whole rollouts, OmegaPRM's divisions, or next steps alone, which have exact
labels only."""
GOOD_SHARE: Final = 0.75
"""How often `steps` goes on from a state that can still be completed rightly, where there is one:
after a state that cannot, there is nothing to tell apart."""


@dataclass(frozen=True, slots=True)
class StatesPlan:
    """Which states to visit and how to label them."""

    policy: str
    """A shipped name or a folder, as it was given."""
    families: tuple[str, ...] = ("countdown",)
    num_problems: int = 8_192
    search: str = "mc"
    """One of `SEARCHES`."""
    traces: int = 4
    """Completions from the start of each problem; with `steps`, next steps from each state."""
    rollouts: int = 2
    """Completions from each state of the first of them; with `omega`, from each state looked at."""
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_problems < 1 or self.traces < 1 or self.rollouts < 0:
            raise BadInputError("labelling needs at least one problem and one trace a problem")
        for family in self.families:
            if family not in SOURCES:
                raise BadInputError(f"no states of family `{family}`; known: {', '.join(SOURCES)}")

    @property
    def num_files(self) -> int:
        """How many files the states come in."""
        return -(-self.num_problems // PROBLEMS_A_FILE)


@dataclass(frozen=True, slots=True)
class Branch:
    """One completion, or the beginning of one that was cut, with what is known after each step."""

    steps: Steps
    trials: tuple[int, ...]
    """Rollouts from the state after each step; 0 where another branch has counted them or none is
    known."""
    successes: tuple[int, ...]
    exact: tuple[bool, ...]
    """Whether the state can still be completed rightly by the rules, whatever the policy does."""
    is_right: bool | None
    """Of a completion that was not cut."""

    @classmethod
    def from_json(cls, raw: Mapping[str, object]) -> Self:
        """Read what `asdict` wrote."""
        steps = cast("list[list[int]]", raw["steps"])
        return cls(
            tuple(map(tuple, steps)),
            tuple(cast("list[int]", raw["trials"])),
            tuple(cast("list[int]", raw["successes"])),
            tuple(cast("list[bool]", raw["exact"])),
            cast("bool | None", raw["is_right"]),
        )


@dataclass(frozen=True, slots=True)
class LabelledProblem:
    """One problem with the policy's branches."""

    statement: str
    family: str
    prompt: tuple[int, ...]
    branches: tuple[Branch, ...]
    num_drawn: int
    """Completions that its labels cost."""

    @classmethod
    def from_json(cls, raw: Mapping[str, object]) -> Self:
        """Read what `asdict` wrote."""
        branches = cast("list[dict[str, object]]", raw["branches"])
        return cls(
            cast("str", raw["statement"]),
            cast("str", raw["family"]),
            tuple(cast("list[int]", raw["prompt"])),
            tuple(map(Branch.from_json, branches)),
            cast("int", raw["num_drawn"]),
        )


class StateFolder:
    """The states of one plan on disk, a file for every 128 problems; one run at a time writes."""

    def __init__(self, folder: Path, plan: StatesPlan) -> None:
        self.folder = folder
        self.plan = plan

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The files that are there, however many the plan was to make. Raises `BadInputError`."""
        path = folder / PLAN_FILE
        try:
            raw: Any = json.loads(path.read_text(encoding="utf-8"))
            plan = StatesPlan(**(raw | {"families": tuple(raw["families"]), "num_problems": 1}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInputError(
                f"`{folder}` holds no labelled states: {error}",
                hint="make some with `mull train states`",
            ) from error
        num_files = len(list(folder.glob("[0-9]*.jsonl")))
        if not num_files:
            raise BadInputError(
                f"`{folder}` holds no labelled states yet",
                hint="run `mull train states` to its end",
            )
        return cls(folder, replace(plan, num_problems=num_files * PROBLEMS_A_FILE))

    @property
    def missing(self) -> list[int]:
        """The numbers of the files that are not there."""
        return [number for number in range(self.plan.num_files) if not self._path(number).exists()]

    def claim(self) -> None:
        """Make the folder, or see that it is this plan's (of any number of problems)."""
        path = self.folder / PLAN_FILE
        text = json.dumps(asdict(self.plan) | {"num_problems": 0}, indent=2) + "\n"
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise BadInputError(
                f"`{self.folder}` holds states of another plan",
                hint=f"name another folder; its plan is in `{path}`",
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StoreError(f"cannot write to `{self.folder}`: {error}") from error

    def write(self, number: int, problems: list[LabelledProblem]) -> None:
        """Put one file down in one rename."""
        path = self._path(number)
        lines = "".join(json.dumps(asdict(problem)) + "\n" for problem in problems)
        try:
            new = path.with_suffix(".new")
            new.write_text(lines, encoding="utf-8")
            new.replace(path)
        except OSError as error:
            raise StoreError(f"cannot write `{path}`: {error}") from error

    def read(self) -> Iterator[LabelledProblem]:
        """Every problem, in order."""
        for number in range(self.plan.num_files):
            with self._path(number).open(encoding="utf-8") as file:
                for line in file:
                    yield LabelledProblem.from_json(json.loads(line))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.jsonl"


async def label_states(
    states: StateFolder, policy_folder: Path, report: Callable[[int, int], None]
) -> None:
    """Make the files that are missing; `report` is told how many are there and how many will be.

    A file is a function of the plan and its number up to the rounding of the policy's arithmetic,
    which can differ between machines.
    """
    states.claim()
    missing = states.missing
    if not missing:
        return
    tokenizer = TextTokenizer.load(policy_folder)
    form = ChatFormat.load(policy_folder, tokenizer)
    settings = EngineSettings(policy_folder, form.punctuation, Dtype.FLOAT32)
    engine = await Engine.start(settings)
    try:
        labeller = Labeller(states.plan, engine, form)
        for number in missing:
            states.write(number, await labeller.file(number))
            report(states.plan.num_files - len(states.missing), states.plan.num_files)
    finally:
        await engine.close()


@dataclass(frozen=True, slots=True)
class Labeller:
    """Draws problems and has the policy explore them."""

    plan: StatesPlan
    engine: Engine
    form: ChatFormat

    async def file(self, number: int) -> list[LabelledProblem]:
        """The problems of one file."""
        first = number * PROBLEMS_A_FILE
        last = min(first + PROBLEMS_A_FILE, self.plan.num_problems)
        found = await asyncio.gather(*map(self.problem, range(first, last)))
        return list(chained.from_iterable(found))

    async def problem(self, number: int) -> list[LabelledProblem]:
        """Problem `number` of the plan, explored and labelled; with `steps`, state by state."""
        rng = Random(derive_seed(self.plan.seed, "problem", number))
        family = self.plan.families[number % len(self.plan.families)]
        puzzle = draw_problem(family, rng)
        prompt = self.form.prompt(to_problem(puzzle), Thinking.AUTO)
        sample = EngineSampler(
            self.engine,
            prompt,
            lambda steps: puzzle.check_answer(completion_text(steps, self.form)).accepted,
            derive_seed(self.plan.seed, "rollouts", number),
            Sampling(self.plan.temperature),
        )
        if self.plan.search == "steps":
            return [each async for each in self._step_by_step(puzzle, sample, rng)]
        explored = await self._explore(sample)
        branches = branches_of(puzzle, explored, self.form)
        return [LabelledProblem(puzzle.statement, family, prompt, branches, explored.num_drawn)]

    async def _step_by_step(
        self, puzzle: Puzzle, sample: EngineSampler, rng: Random
    ) -> AsyncGenerator[LabelledProblem]:
        """The next steps of a state, then of one of the states they lead to, to the end."""
        start: Steps = ()
        while True:
            drawn = await sample.next_steps(start, self.plan.traces)
            branches = dict[Steps, Branch]()
            for steps in dict.fromkeys(drawn):
                branch = self._next_step(puzzle, sample, steps)
                if branch is not None:
                    branches[steps] = branch
            prompt = (*sample.prompt, *chained.from_iterable(start))
            if branches:
                yield LabelledProblem(
                    puzzle.statement, puzzle.name, prompt, tuple(branches.values()), len(drawn)
                )
            open_ = [steps for steps in branches if not self._is_over(steps)]
            good = [steps for steps in open_ if branches[steps].exact[0]]
            if not open_:
                return
            start = rng.choice(good if good and rng.random() < GOOD_SHARE else open_)

    def _is_over(self, steps: Steps) -> bool:
        is_long = len(steps) >= MAX_STEPS or sum(map(len, steps)) >= MAX_TOKENS
        return is_long or steps[-1][-1] in self.form.punctuation.stops

    def _next_step(self, puzzle: Puzzle, sample: EngineSampler, steps: Steps) -> Branch | None:
        """The last step alone as a branch; None where it shows held-out numbers."""
        texts = [completion_text((step,), self.form) for step in steps]
        if shows_held_out(puzzle, texts[-1]):
            return None
        is_over = steps[-1][-1] in self.form.punctuation.stops
        if is_over:
            good = sample.check(steps)
        else:
            good = exact_labels(puzzle, [*texts, ""], is_right=False)[-2]
        return Branch(steps[-1:], (1,), (int(good),), (good,), None)

    async def _explore(self, sample: EngineSampler) -> Explored:
        plan = self.plan
        if plan.search == "omega":
            return await omega(
                sample, rollouts=plan.rollouts, searches=20, max_drawn=plan.traces * plan.rollouts
            )
        return await monte_carlo(sample, traces=plan.traces, rollouts=plan.rollouts)


def completion_text(steps: Steps, form: ChatFormat) -> str:
    """What checkers read: think marks kept, the end of the turn not."""
    ids = [each for each in chained.from_iterable(steps) if each not in form.punctuation.stops]
    return form.tokenizer.decode(ids)


def branches_of(puzzle: Puzzle, explored: Explored, form: ChatFormat) -> tuple[Branch, ...]:
    """The rollouts as branches: each state's evidence once, cut where held-out numbers appear."""
    evidence = dict(explored.evidence)
    branches = list[Branch]()
    for rollout in dict.fromkeys(explored.rollouts):
        texts = [completion_text((step,), form) for step in rollout.steps]
        shown = [index for index, text in enumerate(texts) if shows_held_out(puzzle, text)]
        end = shown[0] if shown else len(texts)
        if end:
            exact = exact_labels(puzzle, texts, is_right=rollout.is_right)
            branches.append(_branch(rollout, end, exact, evidence))
    return tuple(branches)


def _branch(
    rollout: Rollout, end: int, exact: list[bool], evidence: dict[Steps, Evidence]
) -> Branch:
    """The first `end` steps of a rollout; takes the evidence it tells out of what is left."""
    kept = rollout.steps[:end]
    told = [evidence.pop(state, Evidence(0, 0)) for state in prefixes(kept)]
    return Branch(
        kept,
        tuple(each.trials for each in told),
        tuple(each.successes for each in told),
        tuple(exact[:end]),
        rollout.is_right if end == len(rollout.steps) else None,
    )
