"""A reward model as a verifier: it judges steps or whole completions, and knows when it cannot.

Torch is nowhere here: the model runs behind a `Scorer`, in the engine's process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import exp, fsum, hypot, isfinite, prod, sqrt
from typing import Final, NamedTuple, Protocol

from mull.core.aggregation import AGGREGATIONS, Aggregation
from mull.core.score import Score, Source
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.engine import Judgement
from mull.models.config import ModelConfig
from mull.models.reward_card import Head, RewardCard, RewardKind
from mull.puzzles import puzzle_of
from mull.verifiers.calibration import calibration_of

MOST_UNCERTAIN: Final = 0.49
"""Of an opinion; 0.5 would be none."""


class Scorer(Protocol):
    """Runs the reward model; `Engine` is one."""

    async def score(
        self, sequences: Sequence[tuple[int, ...]], places: Sequence[tuple[int, ...]]
    ) -> list[Judgement]:
        """What the model says at these places (from 0) of each sequence, in order."""
        ...

    async def forget(self) -> None:
        """Read from their start what is asked next."""
        ...

    async def close(self) -> None:
        """Let go of the model."""
        ...


class Encoded(NamedTuple):
    """A trajectory as the model reads it."""

    token_ids: tuple[int, ...]
    """The problem and the steps."""
    ends: tuple[int, ...]
    """The place of the last token of every step."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the model says of one place."""

    mean: float
    deviation: float
    distance: float


@dataclass(frozen=True, slots=True)
class RewardVerifier:
    """A PRM or ORM of mull's own. Its verdict is always `unknown`: it is never sure.

    `Score.per_step` holds the model's value of each step (a PRM's), `Score.value` their validated
    aggregation, calibrated for the problem's family. There is no opinion of other families, of
    unfinished completions (an ORM's) and of what is too far from everything it was trained on.
    Reads tokens and generates none: its usage is prompt tokens and the FLOPs of those that had not
    been read before.
    """

    source: Source
    card: RewardCard
    config: ModelConfig
    scorer: Scorer
    encode: Callable[[Trajectory], Encoded]

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order; equal ones are read once."""
        refusals = [self._refusal(each) for each in trajectories]
        encoded = [
            self.encode(each) if refusal is None else None
            for each, refusal in zip(trajectories, refusals, strict=True)
        ]
        unique = list(dict.fromkeys(each for each in encoded if each is not None))
        fitting = [each for each in unique if len(each.token_ids) <= self.config.max_positions]
        judgements = await self.scorer.score(
            [each.token_ids for each in fitting], [self._places(each) for each in fitting]
        )
        read = dict(zip(fitting, judgements, strict=True))
        unpaid = set(fitting)
        scores = list[Score]()
        for trajectory, refusal, each in zip(trajectories, refusals, encoded, strict=True):
            if each is None:
                scores.append(Score.unknown(self.source, refusal or ""))
            elif each not in read:
                reason = f"{len(each.token_ids)} tokens do not fit the model's window"
                scores.append(Score.unknown(self.source, reason))
            else:
                judgement = read[each]
                usage = self._usage(each, judgement.cached_tokens) if each in unpaid else Usage()
                unpaid.discard(each)
                scores.append(self._score(self._family(trajectory), judgement.outputs, usage))
        return scores

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        """What reading all of them afresh costs."""
        judged = (each for each in trajectories if self._refusal(each) is None)
        return sum((self._usage(self.encode(each)) for each in judged), Usage())

    @property
    def calibrated(self) -> Collection[str]:
        """Families for which its values are chances."""
        return self.card.calibration.keys()

    async def forget(self) -> None:
        """Let what is asked next cost what it costs alone."""
        await self.scorer.forget()

    async def close(self) -> None:
        """Let go of the model; it is opened again when it is asked again."""
        await self.scorer.close()

    def _refusal(self, trajectory: Trajectory) -> str | None:
        """Why there is nothing to judge."""
        if not trajectory.steps:
            return "there is no step to judge"
        if self.card.kind is RewardKind.OUTCOME and not trajectory.is_finished:
            return "the answer is not finished"
        if self._family(trajectory) not in self.card.families:
            return f"it was trained on {', '.join(self.card.families)} alone"
        return None

    def _family(self, trajectory: Trajectory) -> str:
        puzzle = puzzle_of(trajectory.problem)
        return "" if puzzle is None else puzzle.name

    def _places(self, encoded: Encoded) -> tuple[int, ...]:
        return encoded.ends[-1:] if self.card.kind is RewardKind.OUTCOME else encoded.ends

    def _usage(self, encoded: Encoded, cached_tokens: int = 0) -> Usage:
        num_tokens = len(encoded.token_ids)
        if num_tokens > self.config.max_positions:
            return Usage()
        # Every token that is read is judged, and its distance from training found.
        judging = (
            2.0 * self.config.hidden_size * (self.card.head.num_outputs + self.config.hidden_size)
        )
        trunk = self.config.trunk_flops(num_tokens) - self.config.trunk_flops(cached_tokens)
        return Usage(
            prompt_tokens=num_tokens,
            cached_tokens=cached_tokens,
            flops=trunk + judging * (num_tokens - cached_tokens),
        )

    def _score(self, family: str, outputs: Sequence[tuple[float, ...]], usage: Usage) -> Score:
        if not all(isfinite(value) for each in outputs for value in each):
            return Score.unknown(self.source, "the model's output is not a number", usage)
        opinions = [opinion_of(self.card.head, each) for each in outputs]
        furthest = distance_of(opinions)
        if self.card.max_distance is not None and furthest > self.card.max_distance:
            reason = f"it is foreign: at distance {furthest:.2f} from what was trained on"
            return Score.unknown(self.source, reason, usage)
        means = [opinion.mean for opinion in opinions]
        raw = AGGREGATIONS[Aggregation(self.card.aggregation)](means)
        fitted = self.card.calibration.get(family)
        deviation = deviation_of(Aggregation(self.card.aggregation), opinions)
        uncertainty = hypot(deviation, self.card.error.get(family, 0.0))
        return Score(
            raw if fitted is None else calibration_of(fitted)(raw),
            self.source,
            uncertainty=min(MOST_UNCERTAIN, uncertainty),
            per_step=tuple(means) if self.card.kind is RewardKind.PROCESS else (),
            usage=usage,
        )


def opinion_of(head: Head, outputs: Sequence[float]) -> Opinion:
    """Read a head's outputs at one place, the distance last.

    A binary head has no deviation of its own; a Beta(a, b) has the mean a / (a + b) and the
    variance mean * (1 - mean) / (a + b + 1).
    """
    *values, distance = outputs
    if head is Head.BINARY:
        return Opinion(_sigmoid(values[0]), 0.0, distance)
    log_alpha, log_beta = (min(max(value, -5.0), 7.0) for value in values)
    mean, strength = _sigmoid(log_alpha - log_beta), exp(log_alpha) + exp(log_beta)
    return Opinion(mean, sqrt(mean * (1 - mean) / (strength + 1)), distance)


def distance_of(opinions: Sequence[Opinion]) -> float:
    """How foreign a path is: the furthest of its places but the last, if there are others.

    An answer's last place differs with its target, however familiar all before it is.
    """
    return max(opinion.distance for opinion in opinions[:-1] or opinions)


def deviation_of(rule: Aggregation, opinions: Sequence[Opinion]) -> float:
    """The deviation of the aggregated value, steps taken as independent (to first order)."""
    means = [each.mean for each in opinions]
    deviations = [each.deviation for each in opinions]
    if rule is Aggregation.LAST:
        return deviations[-1]
    if rule is Aggregation.MIN:
        return deviations[means.index(min(means))]
    if rule is Aggregation.MEAN:
        return sqrt(fsum(each**2 for each in deviations)) / len(deviations)
    relative = (each.deviation / each.mean for each in opinions if each.mean > 0)
    return prod(means) * sqrt(fsum(each**2 for each in relative))


def _sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z)) if z >= 0 else exp(z) / (1 + exp(z))
