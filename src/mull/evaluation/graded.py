"""Graded samples: what a model answered to problems, and whether it was right."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from mull.build import (
    ModelChoice,
    OpenModel,
    SearchChoice,
    SearchSettings,
    answer_keys,
    open_model,
    plan_search,
)
from mull.core.codec import decode, parse_json
from mull.core.errors import BadInputError
from mull.core.recording import Record
from mull.core.seeds import derive_seed
from mull.core.tree import SearchTree
from mull.evaluation.agreement import ORDERS, Ballots
from mull.evaluation.grading import Grading
from mull.evaluation.journal import NoJournal
from mull.tasks import Example, pass_at_k
from mull.tasks.recorded import RecordedProblem, RecordedSet


@dataclass(frozen=True)
class Samples:
    """The graded samples of one problem, in the order in which they were drawn."""

    right: tuple[bool, ...]
    tokens: tuple[int, ...] = ()
    """Generated, one a sample; empty or all zero where nobody counted."""
    keys: tuple[str | None, ...] = ()
    """What each votes for; empty where the answers are not known."""

    @property
    def is_counted(self) -> bool:
        """Whether it is known how long the samples are."""
        return any(self.tokens)

    @property
    def num_right(self) -> int:
        """How many are right."""
        return sum(self.right)

    @cached_property
    def orders(self) -> tuple[Ballots, ...]:
        """The samples as votes, in several orders."""
        rng, cast = Random(derive_seed(0, "orders")), Ballots(self.keys, self.right)
        return tuple(cast.shuffled(rng) for _ in range(ORDERS))

    def checked(self, k: int) -> float:
        """Chance that one of k samples is right, unbiased."""
        return pass_at_k(len(self.right), self.num_right, k)

    def bought(self, k: float) -> float:
        """`checked`, for a number in between two whole ones by how close it is to each."""
        below = max(1, int(k))
        share = max(0.0, min(1.0, k - below))
        above = self.checked(min(len(self.right), below + 1))
        return (1.0 - share) * self.checked(below) + share * above

    def voted(self, k: int) -> float:
        """Share of orders in which the majority of the first k is right."""
        found = [each.after(k) for each in self.orders]
        return sum(each is not None and each[2] for each in found) / len(found)

    def draws(self, k: int) -> float:
        """Samples until the first right one, k at most; the expectation, unbiased."""
        return 1.0 + sum(1.0 - self.checked(each) for each in range(1, k))

    def within(self, cap: float) -> "Samples":
        """Every sample cut at so many tokens: what was longer has no answer."""
        fits = [each <= cap for each in self.tokens]
        right = tuple(is_right and fit for is_right, fit in zip(self.right, fits, strict=True))
        tokens = tuple(int(min(each, cap)) for each in self.tokens)
        return Samples(right, tokens)


async def record_by(
    choice: ModelChoice, examples: Sequence[Example], settings: SearchSettings, *, seed: int = 0
) -> RecordedSet:
    """`record`, by a model that is opened for it."""
    async with open_model(choice) as model:
        return await record(model, examples, settings, seed=seed)


async def record(
    model: OpenModel,
    examples: Sequence[Example],
    settings: SearchSettings,
    *,
    at_once: int = 32,
    seed: int = 0,
) -> RecordedSet:
    """Draw `settings.n` answers to every problem, and grade them."""
    limit = asyncio.Semaphore(at_once)

    async with Grading() as grading:
        await grading.prepare(examples)

        async def one(example: Example) -> RecordedProblem:
            async with limit:
                tree = await _grown(model, example, settings, seed)
            return await _graded(grading, example, tree)

        problems = await asyncio.gather(*map(one, examples))
    name = model.policy.capabilities.model
    return RecordedSet(name, name, tuple(problems))


async def _grown(
    model: OpenModel, example: Example, settings: SearchSettings, seed: int
) -> SearchTree:
    plan = plan_search(example.problem, SearchChoice("self_consistency", settings, None))
    solver = plan.fitted(model).solver(model, NoJournal())
    return (await solver.solve(example.problem, seed=seed)).tree


async def _graded(grading: Grading, example: Example, tree: SearchTree) -> RecordedProblem:
    records, right = list[Record](), list[bool | None]()
    for branch in tree.branches():
        chain = tree.chain(branch.id)
        tokens = sum(node.usage.completion_tokens for node in chain)
        is_finished = bool(chain) and chain[-1].step is not None and chain[-1].step.is_final
        text = tree.trajectory(chain[-1].id).answer_text if is_finished else ""
        finding = await grading.grade(example, text) if is_finished else None
        records.append(Record(example.problem.messages, text, text, tokens=tokens))
        right.append(finding is not None and finding.is_accepted)
    return RecordedProblem(example, tuple(records), tuple(right))


def samples_of(recorded: RecordedSet) -> list[Samples]:
    """Samples that were drawn and graded, as `record` has them or a data set."""
    key, found = answer_keys(), list[Samples]()
    for each in recorded.problems:
        told = [one.text if one.answer is None else one.answer for one in each.records]
        tokens = tuple(one.tokens + one.hidden_tokens for one in each.records)
        keys = tuple(key(each.example.problem, text) if text else None for text in told)
        found.append(Samples(tuple(map(bool, each.right)), tokens, keys))
    return found


def read_graded(path: Path) -> list[Samples]:
    """Samples that were graded elsewhere, one JSON line each; see `Line`.

    Raises `BadInputError` for a line that cannot be read.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"`{path}` cannot be read: {error}", hint="give a file of JSON lines in UTF-8"
        ) from error
    problems = dict[str, list[Line]]()
    for number, text in enumerate(lines, start=1):
        if text.strip():
            line = _line(path, number, text)
            problems.setdefault(line.problem, []).append(line)
    return [_samples(lines) for lines in problems.values()]


@dataclass(frozen=True, slots=True)
class Line:
    """One graded sample as a file states it.

    {"problem": "sums-17", "correct": true, "tokens": 812, "answer": "42"}
    """

    problem: str
    """Names the problem; equal names are one problem."""
    correct: bool
    tokens: int = 0
    """Generated; 0: nobody counted."""
    answer: str | None = None
    """What was answered, for votes; equal texts are one answer."""


def _line(path: Path, number: int, text: str) -> Line:
    try:
        found = decode(Line, parse_json(text))
    except ValueError as error:  # a `DecodeError` is one
        raise BadInputError(
            f"line {number} of `{path}` is no graded sample: {error}",
            hint='write {"problem": "NAME", "correct": true, "tokens": 812, "answer": "42"}',
        ) from error
    if found.tokens < 0:
        raise BadInputError(f"line {number} of `{path}` has {found.tokens} tokens")
    return found


def _samples(lines: Sequence[Line]) -> Samples:
    answers = [each.answer for each in lines]
    keys = tuple(each.strip() or None for each in answers if each is not None)
    return Samples(
        tuple(each.correct for each in lines),
        tuple(each.tokens for each in lines),
        keys if len(keys) == len(lines) else (),
    )
