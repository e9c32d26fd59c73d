"""The reward verifier over a scripted scorer: what it makes of outputs, when it says nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log, nan

import pytest

from mull.core.aggregation import Aggregation
from mull.core.protocols import Verifier
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Step, Trajectory
from mull.core.usage import Usage
from mull.engine import Judgement
from mull.models.config import ModelConfig
from mull.models.reward_card import Head, RewardCard, RewardKind
from mull.puzzles import recognise, to_problem
from mull.verifiers.reward import (
    Encoded,
    Opinion,
    RewardVerifier,
    deviation_of,
    distance_of,
    opinion_of,
)

CONFIG = ModelConfig(64, 32, 2, 1, 1, 32, max_positions=20)
GAME = to_problem(recognise("Use 4, 9, 10 and 13 once each with + - * / to make 24."))
SUM = to_problem(recognise("Add 57, 33 and 90 modulo 97."))
PROMPT = (1, 2, 3)


def logit(p: float) -> float:
    return log(p / (1 - p))


@dataclass(slots=True)
class ScriptedScorer:
    """Says at place t what was written for token t's id."""

    outputs: dict[int, tuple[float, ...]]
    seen: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    is_closed: bool = False
    cached_tokens: int = 0

    async def score(
        self, sequences: Sequence[tuple[int, ...]], places: Sequence[tuple[int, ...]]
    ) -> list[Judgement]:
        self.seen += sequences
        return [
            Judgement(tuple(self.outputs[sequence[place]] for place in where), self.cached_tokens)
            for sequence, where in zip(sequences, places, strict=True)
        ]

    async def forget(self) -> None:
        self.cached_tokens = 0

    async def close(self) -> None:
        self.is_closed = True


def encode(trajectory: Trajectory) -> Encoded:
    ids, ends = list[int](PROMPT), list[int]()
    for step in trajectory.steps:
        ids += step.token_ids
        ends.append(len(ids) - 1)
    return Encoded(tuple(ids), tuple(ends))


def path(*tokens: int, finished: bool = False) -> Trajectory:
    steps = [Step(str(token), (9, token)) for token in tokens]
    if finished:
        steps[-1] = Step("end", (9, tokens[-1]), is_final=True)
    return Trajectory(GAME, tuple(steps))


SAYS = {
    10: (logit(0.9), 1.0),
    11: (logit(0.5), 1.0),
    12: (logit(0.8), 1.0),
    13: (logit(0.7), 9.0),
    14: (nan, 1.0),
}


def verifier(scorer: ScriptedScorer | None = None, **facts: object) -> RewardVerifier:
    given: dict[str, object] = {"families": ("countdown",), "aggregation": "min", **facts}
    kind = RewardKind(str(given.pop("kind", "process")))
    head = Head(str(given.pop("head", "binary")))
    card = RewardCard(kind, head, **given)  # pyright: ignore[reportArgumentType]
    return RewardVerifier(Source("prm", "1"), card, CONFIG, scorer or ScriptedScorer(SAYS), encode)


def score(judge: Verifier, *paths: Trajectory) -> list[Score]:
    return asyncio.run(judge.score(paths))


@pytest.mark.parametrize(
    ("rule", "value"), [("last", 0.8), ("min", 0.5), ("product", 0.36), ("mean", 2.2 / 3)]
)
def test_step_values_are_aggregated_by_the_rule_of_the_card(rule: str, value: float) -> None:
    (said,) = score(verifier(aggregation=rule), path(10, 11, 12))
    assert said.per_step == pytest.approx((0.9, 0.5, 0.8))
    assert said.value == pytest.approx(value)
    assert said.verdict is Verdict.UNKNOWN
    assert said.is_opinion


def test_the_value_is_calibrated_for_the_family_and_the_steps_are_not() -> None:
    facts = {"countdown": {"kind": "platt", "slope": 2.0, "shift": 0.0}}
    (said,) = score(verifier(calibration=facts, error={"countdown": 0.03}), path(10))
    assert said.per_step == pytest.approx((0.9,))
    assert said.value == pytest.approx(0.81 / 0.82)
    assert said.uncertainty == pytest.approx(0.03)


def test_a_beta_head_says_how_sure_it_is() -> None:
    outputs = {10: (log(8.0), log(2.0), 1.0), 11: (log(0.8), log(0.2), 1.0)}
    sure, unsure = score(verifier(ScriptedScorer(outputs), head="beta"), path(10), path(11))
    assert sure.value == pytest.approx(0.8)
    assert unsure.value == pytest.approx(0.8)
    assert sure.uncertainty == pytest.approx((0.16 / 11) ** 0.5)
    assert unsure.uncertainty == pytest.approx((0.16 / 2) ** 0.5)


def test_the_weakest_of_beta_opinions_is_still_an_opinion() -> None:
    assert opinion_of(Head.BETA, (-50.0, -50.0, 1.0)).deviation < 0.5
    (said,) = score(verifier(ScriptedScorer({10: (-50.0, -50.0, 1.0)}), head="beta"), path(10))
    assert said.is_opinion


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Aggregation.LAST, 0.2),
        (Aggregation.MIN, 0.1),
        (Aggregation.MEAN, (0.01 + 0.04) ** 0.5 / 2),
        (Aggregation.PRODUCT, 0.4 * ((0.1 / 0.5) ** 2 + (0.2 / 0.8) ** 2) ** 0.5),
    ],
)
def test_deviations_go_through_the_aggregation(rule: Aggregation, expected: float) -> None:
    opinions = [Opinion(0.5, 0.1, 1.0), Opinion(0.8, 0.2, 1.0)]
    assert deviation_of(rule, opinions) == pytest.approx(expected)


def test_how_foreign_a_path_is_does_not_hang_on_its_last_place() -> None:
    near, far = Opinion(0.5, 0.1, 1.0), Opinion(0.5, 0.1, 4.0)
    assert distance_of([near, far]) == 1.0
    assert distance_of([far, near]) == 4.0
    assert distance_of([far]) == 4.0


def test_what_it_cannot_judge_is_unknown_and_free_where_nothing_was_read() -> None:
    judge = verifier(max_distance=3.0)
    nothing, other, long, foreign, broken, fine = score(
        judge,
        Trajectory(GAME),
        Trajectory(SUM, path(10).steps),
        path(*[10] * 9),
        path(13, 10),
        path(14),
        path(10),
    )
    assert [each.is_opinion for each in (nothing, other, long, foreign, broken)] == [False] * 5
    assert "no step" in nothing.reason
    assert "trained on countdown alone" in other.reason
    assert "21 tokens" in long.reason
    assert "distance 9.00" in foreign.reason
    assert "not a number" in broken.reason
    assert nothing.usage == other.usage == long.usage == Usage()
    assert foreign.usage.prompt_tokens == 7
    assert fine.is_opinion


def test_an_outcome_model_judges_whole_answers_by_their_last_token() -> None:
    judge = verifier(kind="outcome", aggregation="last")
    open_, done = score(judge, path(10), path(10, 11, finished=True))
    assert not open_.is_opinion
    assert done.value == pytest.approx(0.5)
    assert done.per_step == ()


def test_equal_paths_are_read_and_paid_once_and_the_quote_is_kept() -> None:
    scorer = ScriptedScorer(SAYS)
    judge = verifier(scorer)
    paths = (path(10), path(10), path(10, 11))
    scores = score(judge, *paths)
    assert len(scorer.seen) == 2
    assert [each.usage.prompt_tokens for each in scores] == [5, 0, 7]
    assert scores[0].value == scores[1].value
    spent, quoted = sum((each.usage for each in scores), Usage()), judge.quote(paths)
    assert spent.prompt_tokens <= quoted.prompt_tokens
    assert spent.flops <= quoted.flops
    # A pass over n tokens costs 2 FLOPs a weight and token, and attention to all before.
    attention = 4 * CONFIG.num_layers * CONFIG.hidden_size * (1 + 2 + 3 + 4 + 5)
    # It is judged by a head of one output, and its distance found by a square matrix.
    judging = 2 * 5 * CONFIG.hidden_size * (1 + CONFIG.hidden_size)
    assert scores[0].usage.flops == 2 * 5 * CONFIG.num_core_parameters + attention + judging
    assert scores[0].usage.generated_tokens == 0


def test_what_was_read_before_is_counted_and_costs_nothing() -> None:
    whole, shorter, rest = (
        score(verifier(ScriptedScorer(SAYS, cached_tokens=count)), each)[0].usage
        for count, each in ((0, path(10, 11)), (0, path(10)), (5, path(10, 11)))
    )
    assert (rest.prompt_tokens, rest.cached_tokens) == (7, 5)
    assert rest.flops == whole.flops - shorter.flops > 0


def test_closing_it_closes_the_scorer() -> None:
    scorer = ScriptedScorer(SAYS)
    asyncio.run(verifier(scorer).close())
    assert scorer.is_closed


def test_outputs_of_a_binary_head_are_logits() -> None:
    said = opinion_of(Head.BINARY, (2.0, 1.5))
    assert said.mean == pytest.approx(1 / (1 + exp(-2.0)))
    assert (said.deviation, said.distance) == (0.0, 1.5)
    assert opinion_of(Head.BINARY, (-800.0, 1.5)).mean == 0.0
