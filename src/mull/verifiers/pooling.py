"""Reward models behind vLLM's pooling endpoint.

    POST /pooling {"model": ..., "task": "token_classify", "messages": [...]}
    -> {"data": [{"data": [[0.99, 0.01], [0.84, 0.16]]}], "usage": {"prompt_tokens": 31}}

The conversation ends every step with the model's step tag, and the server answers with one row of
label probabilities a tag, in order. Which label means a good step is the model's own affair.

A model that judges whole answers has no tag and the task `classify`, and answers with one row: so
vLLM documents it; it was not run against one yet.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, cast

from mull.core.aggregation import AGGREGATIONS, Aggregation
from mull.core.codec import Json
from mull.core.digest import content_digest
from mull.core.errors import BadInputError, VerifierError
from mull.core.problem import Role
from mull.core.score import Score, Source
from mull.core.steps import Trajectory
from mull.core.usage import Usage

PATH: Final = "/pooling"


class Post(Protocol):
    """Sends one request and brings the JSON object it is answered with; a `MullError` if none."""

    async def __call__(self, path: str, body: Mapping[str, Json]) -> Mapping[str, object]: ...


class Judges(StrEnum):
    """What a reward model gives a value to."""

    STEPS = "steps"
    ANSWERS = "answers"
    """Finished ones alone."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a model is shown steps, and how its rows are read."""

    step_tag: str = "<extra_0>"
    """Closes every step: the text whose token the server was told as `step_tag_id`."""
    good: int = 1
    """Place of the good step's label in a row, from 0; from the end where negative."""
    aggregation: Aggregation = Aggregation.MIN
    """From the values of the steps to that of the path."""
    judges: Judges = Judges.STEPS

    def __post_init__(self) -> None:
        if not self.step_tag.strip():
            raise BadInputError("`step_tag` is empty; a reward model reads steps by their tag")

    def probability(self, row: object) -> float:
        """Of a good step; VerifierError for what is no row of probabilities."""
        labels = cast("list[object]", row) if isinstance(row, list) else []
        if not -len(labels) <= self.good < len(labels):
            raise VerifierError(f"the row {row!r} has no label number {self.good}")
        value = labels[self.good]
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise VerifierError(f"{value!r} is no probability: does the server apply its softmax?")
        return float(value)


@dataclass(frozen=True, slots=True)
class PoolingVerifier:
    """Asks a served reward model about every step; it is never sure, so it accepts nothing.

    A request that fails, or rows that do not fit the steps, are no opinion of that path alone.
    """

    name: str
    post: Post
    model: str
    """As the server calls it."""
    reading: Reading = Reading()
    in_flight: int = 32
    """Requests at once."""

    @property
    def source(self) -> Source:
        """The name, and as version what changes its opinions."""
        reading = self.reading
        digest = content_digest(reading.step_tag, reading.good, reading.aggregation.value)
        if reading.judges is Judges.ANSWERS:
            digest = content_digest(reading.good, reading.judges.value)
        return Source(self.name, f"{self.model}:{digest[:8]}")

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        """It reads what the paths say, a token a byte at most, and generates nothing."""
        sizes = (len(each.text.encode("utf-8", "replace")) for each in trajectories)
        return Usage(prompt_tokens=sum(sizes))

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """See `Verifier`; `per_step` gives a blank step the value of the one before it."""
        turns = asyncio.Semaphore(self.in_flight)

        async def in_turn(trajectory: Trajectory) -> Score:
            async with turns:
                return await self._score(trajectory)

        return list(await asyncio.gather(*(in_turn(each) for each in trajectories)))

    async def _score(self, trajectory: Trajectory) -> Score:
        if self.reading.judges is Judges.ANSWERS:
            return await self._score_whole(trajectory)
        steps = [self._shown(step.text) for step in trajectory.steps]
        if not any(steps):
            return Score.unknown(self.source, "there is no step yet")
        usage = Usage()
        try:
            answer = await self.post(PATH, self._body(trajectory, steps))
            usage = _usage_of(answer)
            values = self._values(answer, steps)
        except VerifierError as error:
            return Score.unknown(self.source, error.message, usage)
        rule = AGGREGATIONS[self.reading.aggregation]
        judged = [value for value, step in zip(values, steps, strict=True) if step]
        return Score(rule(judged), self.source, per_step=tuple(values), usage=usage)

    async def _score_whole(self, trajectory: Trajectory) -> Score:
        if not trajectory.is_finished:
            return Score.unknown(self.source, "the answer is not finished")
        usage = Usage()
        try:
            answer = await self.post(PATH, self._asked(trajectory, trajectory.text, "classify"))
            usage = _usage_of(answer)
            value = self.reading.probability(_rows_of(answer))
        except VerifierError as error:
            return Score.unknown(self.source, error.message, usage)
        return Score(value, self.source, usage=usage)

    def _shown(self, text: str) -> str:
        """A step as the model reads it: what it says, and never a tag of its own making."""
        return text.replace(self.reading.step_tag, "").strip()

    def _body(self, trajectory: Trajectory, steps: Sequence[str]) -> Mapping[str, Json]:
        said = "".join(f"{step}{self.reading.step_tag}" for step in steps if step)
        return self._asked(trajectory, said, "token_classify")

    def _asked(self, trajectory: Trajectory, said: str, task: str) -> Mapping[str, Json]:
        turns = [
            {"role": turn.role.value, "content": turn.content.replace(self.reading.step_tag, "")}
            for turn in trajectory.problem.messages
        ]
        turns.append({"role": Role.ASSISTANT.value, "content": said})
        return {"model": self.model, "task": task, "messages": turns}

    def _values(self, answer: Mapping[str, object], steps: Sequence[str]) -> list[float]:
        rows = _rows_of(answer)
        num_judged = sum(bool(step) for step in steps)
        if len(rows) != num_judged:
            raise VerifierError(
                f"`{self.model}` judged {len(rows)} steps where {num_judged} are shown: is "
                f"`{self.reading.step_tag}` its step tag?"
            )
        values, rest = list[float](), iter(rows)
        for step in steps:
            if step:
                values.append(self.reading.probability(next(rest)))
            elif values:
                values.append(values[-1])
            else:
                values.append(self.reading.probability(rows[0]))
        return values


def _rows_of(answer: Mapping[str, object]) -> list[object]:
    match answer:
        case {"data": [{"data": list()}]}:
            (found,) = cast("list[dict[str, list[object]]]", answer["data"])
            return found["data"]
        case _:
            raise VerifierError(f"the server's answer holds no rows: {str(answer)[:200]}")


def _usage_of(answer: Mapping[str, object]) -> Usage:
    match answer:
        case {"usage": {"prompt_tokens": int(num_tokens)}} if num_tokens >= 0:
            return Usage(prompt_tokens=num_tokens)
        case _:
            return Usage()
