"""The replay bank: rollouts of problems, recorded once, from which samples are handed out again.

A sample's id and seed depend on its index and not on how many siblings were asked for. What a
strategy that draws whole answers would do with n samples can therefore be found out without the
model: it is asked, wave by wave, and given what was recorded. It is the strategy's own code that
chooses and stops; only the drawing is from the record.

A bank is a folder named after what its rollouts depend on (weights, number format, what was asked),
so it can serve any number of evaluations and never holds the wrong samples. One file a problem and
seed, written at once; another for each verifier that judged them.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, cast

from mull.core.codec import DecodeError, Json, decode, encode
from mull.core.digest import content_digest
from mull.core.errors import StoreError
from mull.core.events import StopReason
from mull.core.expansion import Branch, BranchId, Expansion, Finish, Grown, NodeId
from mull.core.problem import Problem
from mull.core.protocols import Strategy
from mull.core.score import Score, Source
from mull.core.spec import Option
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.tree import SearchTree
from mull.core.usage import Headroom, Usage
from mull.evaluation.results import writable

ABOUT: Final = "about.json"
_SUFFIX: Final = ".json.gz"
_LEVEL: Final = 1
"""Of compression: a quarter of the size for little time."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One recorded sample."""

    steps: tuple[Step, ...]
    finish: Finish
    usage: Usage
    """Of the whole sample. Its seconds are its share of the time in which many were drawn."""

    @property
    def is_finished(self) -> bool:
        """Whether the model ended its turn."""
        return self.finish is Finish.STOP

    def to_json(self) -> Json:
        """As small as it can be: there are hundreds a problem."""
        return {
            "text": [step.text for step in self.steps],
            "ids": [step.token_ids for step in self.steps],
            "kinds": "".join(step.kind.value[0] for step in self.steps),
            "finish": self.finish.value,
            "usage": encode(self.usage),
        }

    @classmethod
    def from_json(cls, data: Json) -> "Rollout":
        """What `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        fields = cast("Mapping[str, Sequence[str]]", data)
        finish = Finish(cast(str, fields["finish"]))
        ids = cast("Sequence[Sequence[int]]", fields["ids"])
        last = len(ids) - 1
        steps = tuple(
            Step(
                text,
                tuple(tokens),
                kind=StepKind.THOUGHT if kind == "t" else StepKind.ANSWER,
                is_final=finish is Finish.STOP and place == last,
            )
            for place, (text, tokens, kind) in enumerate(
                zip(fields["text"], ids, fields["kinds"], strict=True)
            )
        )
        return cls(steps, finish, decode(Usage, cast(Json, fields["usage"])))


@dataclass(frozen=True, slots=True)
class Record:
    """The rollouts of one problem with one seed, and what verifiers thought of them."""

    problem: Problem
    model: str
    seed: int
    rollouts: tuple[Rollout, ...]
    scores: Mapping[str, Sequence[Score | None]] = field(
        default_factory=dict[str, Sequence[Score | None]]
    )
    """By the verifier's name, one a rollout; None for those that did not finish."""

    def trajectory(self, sample: int) -> Trajectory:
        """A rollout as a verifier sees it."""
        return Trajectory(self.problem, self.rollouts[sample].steps)

    def replay(self, strategy: Strategy) -> tuple[SearchTree, StopReason]:
        """The tree that the strategy grows if its samples are these, and why it stops.

        ValueError for one that asks for anything but whole answers from the problem, or for more
        than were recorded.
        """
        tree = SearchTree(self.problem, self.model, self.seed)
        while not (ask := strategy.ask(tree, Headroom())).is_empty:
            for request in ask.score:
                tree.judge(request.node_id, self._score(tree, request.node_id, request.verifier))
            for expansion in ask.grow:
                for branch in tree.ask(expansion):
                    self._grow(tree, branch)
            tree.drop(ask.drop)
        return tree, ask.stop

    def _grow(self, tree: SearchTree, branch: Branch) -> None:
        if branch.parents != (tree.root,) or branch.sample >= len(self.rollouts):
            raise ValueError(f"sample {branch.sample} of {branch.parents} was not recorded")
        rollout = self.rollouts[branch.sample]
        last = len(rollout.steps) - 1
        for index, step in enumerate(rollout.steps):
            usage = Usage() if index else rollout.usage
            finish = rollout.finish if index == last else None
            tree.grow(Grown(branch.id, index, step, usage, finish))

    def _score(self, tree: SearchTree, node_id: NodeId, verifier: str) -> Score:
        sample = tree.branch(BranchId(node_id.rpartition(".")[0])).sample
        score = self.scores[verifier][sample]
        if score is None:
            raise ValueError(f"sample {sample} was not judged by `{verifier}`: it did not finish")
        return score


def rollouts_of(tree: SearchTree, seconds: float) -> tuple[Rollout, ...]:
    """The samples of a finished solve, in order; `seconds` is what all of them took."""
    branches = tree.branches()
    return tuple(_rollout(tree, branch, seconds / len(branches)) for branch in branches)


def _rollout(tree: SearchTree, branch: Branch, seconds: float) -> Rollout:
    nodes = tree.chain(branch.id)
    steps = tuple(replace(node.step, logprobs=()) for node in nodes if node.step is not None)
    usage = sum((node.usage for node in nodes), Usage(seconds=seconds))
    return Rollout(steps, nodes[-1].finish or Finish.CUT, usage)


@dataclass(frozen=True, slots=True)
class Bank:
    """The rollouts of one model, asked in one way. Files are whole or not there."""

    folder: Path
    model: str
    """Name, weights and number format."""
    asked: Expansion
    """What every rollout answers, with no parents."""

    @classmethod
    def under(cls, root: Path, model: str, asked: Expansion) -> "Bank":
        """The bank of these rollouts in a directory of banks; made if it is not there."""
        placeless = replace(asked, parents=(), count=1)
        name = f"{model.partition('@')[0]}-{content_digest(model, asked.asked)[:12]}"
        bank = cls(root / Path(name).name, model, placeless)
        about = json.dumps({"model": model, "asked": encode(placeless)}, indent=2)
        with writable(bank.folder):
            bank.folder.mkdir(parents=True, exist_ok=True)
            (bank.folder / ABOUT).write_text(about + "\n", encoding="utf-8")
        return bank

    @property
    def name(self) -> str:
        """The model's, for people."""
        return self.model.partition("@")[0]

    @property
    def options(self) -> Mapping[str, Option]:
        """What a strategy must be told to draw such rollouts."""
        asked = self.asked
        options: dict[str, Option] = {
            "max_tokens": asked.limits.max_tokens,
            "thinking": asked.thinking.value,
            "temperature": asked.sampling.temperature,
            "top_p": asked.sampling.top_p,
            "min_p": asked.sampling.min_p,
        }
        return (
            options if asked.sampling.top_k is None else options | {"top_k": asked.sampling.top_k}
        )

    def count(self, problem: Problem, seed: int) -> int:
        """How many rollouts are recorded."""
        rollouts = self._rollouts(problem, seed)
        return 0 if rollouts is None else len(rollouts)

    def add(self, problem: Problem, seed: int, rollouts: Sequence[Rollout]) -> None:
        """Record the rollouts of a problem, instead of what was there."""
        self._write(self._stem(problem, seed), [each.to_json() for each in rollouts])

    def judged(self, problem: Problem, seed: int, source: Source) -> Sequence[Score | None]:
        """What a verifier thought of each rollout; empty if it was not asked."""
        data = self._read(self._stem(problem, seed), source)
        return () if data is None else tuple(_score_or_none(each) for each in data)

    def judge(
        self, problem: Problem, seed: int, source: Source, scores: Sequence[Score | None]
    ) -> None:
        """Record a verifier's scores, one a rollout."""
        self._write(self._stem(problem, seed), [encode(each) for each in scores], source)

    def record(self, problem: Problem, seed: int, sources: Sequence[Source] = ()) -> Record:
        """Everything about a problem. KeyError if it has no rollouts."""
        rollouts = self._rollouts(problem, seed)
        if rollouts is None:
            raise KeyError(problem.id)
        scores = {each.verifier: self.judged(problem, seed, each) for each in sources}
        return Record(problem, self.model, seed, rollouts, scores)

    def _rollouts(self, problem: Problem, seed: int) -> tuple[Rollout, ...] | None:
        data = self._read(self._stem(problem, seed))
        try:
            return None if data is None else tuple(map(Rollout.from_json, data))
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(self._path(self._stem(problem, seed)), error) from error

    def _stem(self, problem: Problem, seed: int) -> str:
        return content_digest(problem.id, problem.statement, seed)[:24]

    def _path(self, stem: str, source: Source | None = None) -> Path:
        judge = "" if source is None else f".{content_digest(str(source))[:12]}"
        return self.folder / f"{stem}{judge}{_SUFFIX}"

    def _read(self, stem: str, source: Source | None = None) -> Sequence[Json] | None:
        path = self._path(stem, source)
        try:
            return cast("Sequence[Json]", json.loads(gzip.decompress(path.read_bytes())))
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError) as error:
            raise self._damaged(path, error) from error

    def _write(self, stem: str, data: Sequence[Json], source: Source | None = None) -> None:
        path = self._path(stem, source)
        text = json.dumps(data, separators=(",", ":"))
        with writable(self.folder):
            draft = path.with_suffix(".draft")
            draft.write_bytes(gzip.compress(text.encode(), _LEVEL))
            draft.replace(path)

    @staticmethod
    def _damaged(path: Path, error: Exception) -> StoreError:
        return StoreError(
            f"`{path}` does not hold what a bank keeps: {error}",
            hint="delete that file to have its problem done again",
        )


def _score_or_none(data: Json) -> Score | None:
    try:
        return None if data is None else decode(Score, data)
    except DecodeError as error:
        raise StoreError(f"a bank holds a score that cannot be read: {error}") from error
