"""Several verifiers as one: the formulas, and wrong variants of them that must not pass."""

import asyncio
from dataclasses import dataclass
from statistics import pvariance, variance

import pytest

from mull.core.errors import BadInputError
from mull.core.problem import Problem
from mull.core.protocols import Verifier
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Step, Trajectory
from mull.core.usage import Usage
from mull.verifiers.ensemble import PENALTY, SPREAD, Ensemble, Rule, combine

PATH = Trajectory(Problem.of("?"), (Step("x", is_final=True),))


@dataclass(slots=True)
class Says:
    """Gives one score to everything."""

    name: str
    value: float
    verdict: Verdict = Verdict.UNKNOWN
    uncertainty: float = 0.1
    per_step: tuple[float, ...] = ()
    is_closed: bool = False

    @property
    def source(self) -> Source:
        return Source(self.name, "1")

    async def score(self, trajectories: object) -> list[Score]:
        usage = Usage(prompt_tokens=5)
        return [
            Score(
                self.value,
                self.source,
                self.verdict,
                self.uncertainty,
                self.per_step,
                f"{self.name} says so",
                usage,
            )
        ]

    def quote(self, trajectories: object) -> Usage:
        return Usage(prompt_tokens=5)

    async def close(self) -> None:
        self.is_closed = True


def joined(*members: Says, rule: Rule = Rule.MEAN, max_disagreement: float = 1.0) -> Score:
    ensemble: Verifier = Ensemble(members, rule, max_disagreement)
    (score,) = asyncio.run(ensemble.score([PATH]))
    return score


VALUES = (0.9, 0.6, 0.3)


def test_the_formulas_by_hand() -> None:
    assert combine(Rule.MEAN, VALUES) == pytest.approx(0.6)
    assert combine(Rule.WORST, VALUES) == 0.3
    # Variance (0.09 + 0 + 0.09) / 3 = 0.06; the penalty 0.5 * 0.06 / 0.25 = 0.12.
    assert combine(Rule.UNCERTAINTY, VALUES) == pytest.approx(0.48)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("the variance of a sample", 0.6 - PENALTY * variance(VALUES) / SPREAD),
        ("the deviation", 0.6 - PENALTY * (pvariance(VALUES) / SPREAD) ** 0.5),
        ("a bonus for disagreement", 0.6 + PENALTY * pvariance(VALUES) / SPREAD),
        ("the median", 0.6),
        ("the best", 0.9),
    ],
)
def test_wrong_variants_of_the_uncertainty_rule_are_told_apart(name: str, wrong: float) -> None:
    assert combine(Rule.UNCERTAINTY, VALUES) != pytest.approx(wrong), name


def test_members_that_agree_are_not_punished_and_no_value_leaves_the_range() -> None:
    assert all(combine(rule, (0.7, 0.7)) == pytest.approx(0.7) for rule in Rule)
    assert combine(Rule.UNCERTAINTY, (0.0, 1.0)) == pytest.approx(0.0)
    assert combine(Rule.UNCERTAINTY, (0.0, 0.0, 0.9)) >= 0.0


def test_one_value_that_is_too_good_to_be_true_wins_by_the_mean_alone() -> None:
    honest, fooled = (0.62, 0.6, 0.64), (1.0, 0.9, 0.15)
    assert combine(Rule.MEAN, fooled) > combine(Rule.MEAN, honest)
    for rule in (Rule.WORST, Rule.UNCERTAINTY):
        assert combine(rule, fooled) < combine(rule, honest)


def test_steps_are_combined_one_by_one_and_everything_is_charged() -> None:
    score = joined(
        Says("a", 0.8, per_step=(0.9, 0.8)), Says("b", 0.4, per_step=(0.5, 0.4)), rule=Rule.WORST
    )
    assert score.value == 0.4
    assert score.per_step == (0.5, 0.4)
    assert score.usage.prompt_tokens == 10
    assert score.uncertainty == pytest.approx((0.1**2 / 2 + 0.2**2) ** 0.5)
    assert joined(Says("a", 0.8, per_step=(0.9,)), Says("b", 0.4)).per_step == ()


def test_a_rejection_is_final_and_acceptance_needs_everybody() -> None:
    no = joined(Says("a", 1.0, Verdict.ACCEPT), Says("b", 0.0, Verdict.REJECT))
    assert (no.verdict, no.value) == (Verdict.REJECT, 0.0)
    assert "b says so" in no.reason
    half = joined(Says("a", 1.0, Verdict.ACCEPT), Says("b", 0.9))
    assert half.verdict is Verdict.UNKNOWN
    yes = joined(Says("a", 1.0, Verdict.ACCEPT), Says("b", 1.0, Verdict.ACCEPT))
    assert (yes.verdict, yes.uncertainty) == (Verdict.ACCEPT, 0.0)


def test_without_enough_opinions_or_agreement_there_is_no_opinion() -> None:
    silent = [Says(name, 0.5, uncertainty=0.5) for name in "bc"]
    score = joined(Says("a", 0.9), *silent)
    assert not score.is_opinion
    assert "b says so" in score.reason
    assert joined(Says("a", 0.9), silent[0]).value == 0.9
    torn = joined(Says("a", 0.9), Says("b", 0.1), max_disagreement=0.3)
    assert not torn.is_opinion
    assert "disagree by 0.40" in torn.reason
    assert torn.usage.prompt_tokens == 10


def test_an_ensemble_is_named_by_its_rule_and_members() -> None:
    pair = (Says("a", 0.5), Says("b", 0.5))
    sources = {Ensemble(pair, rule).source for rule in Rule}
    sources.add(Ensemble(pair[::-1], Rule.MEAN).source)
    sources.add(Ensemble((*pair, Says("c", 0.5)), Rule.MEAN).source)
    assert len(sources) == 4  # the order of members is not what they are
    with pytest.raises(BadInputError, match="two different verifiers"):
        Ensemble((pair[0], pair[0]))


def test_closing_and_quoting_reach_every_member() -> None:
    members = (Says("a", 0.5), Says("b", 0.5))
    ensemble = Ensemble(members)
    assert ensemble.quote([PATH]).prompt_tokens == 10
    asyncio.run(ensemble.close())
    assert all(each.is_closed for each in members)
