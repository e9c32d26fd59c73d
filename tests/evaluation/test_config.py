import asyncio
from dataclasses import replace

import pytest

from mull.build import OpenModel, StrategyTable
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.expansion import Sampling
from mull.evaluation import EvalConfig, ProblemSet
from mull.evaluation.budgets import RULES, strategy_behind
from mull.evaluation.config import differences
from mull.evaluation.controls import RandomGuide
from mull.evaluation.runner import solver_for
from mull.policies.scripted import ScriptedPolicy
from mull.search import STRATEGIES, strategy_options


def test_arms_about_votes_and_greedy_have_no_verifier(config: EvalConfig) -> None:
    config = replace(config, strategies=("early_stop", "best_of_n"))
    verifiers = {arm.strategy: arm.verifier for arm in config.arms("m")}
    assert verifiers == {
        "early_stop": "countdown-checker",
        "best_of_n": "countdown-checker",
        "self_consistency": None,
        "greedy": None,
    }


def test_without_a_verifier_best_of_n_is_the_vote_and_says_so(config: EvalConfig) -> None:
    best, greedy = replace(config, verifier=None).arms("m")
    assert best.label == "m best of n (majority vote)"
    assert greedy.label == "m greedy"
    assert best.verifier is None


def test_a_spec_says_what_is_drawn_and_nothing_a_strategy_does_not_know(
    config: EvalConfig,
) -> None:
    config = replace(
        config, forms=("direct",), sampling=Sampling(0.7, top_k=5), strategies=("early_stop",)
    )
    early, vote, greedy = (config.spec(arm, 4) for arm in config.arms("m"))
    assert early.options == {
        "n": 4,
        "width": 1,
        "verifier": "countdown-checker",
        "max_tokens": 256,
        "thinking": "off",
        "temperature": 0.7,
        "top_k": 5,
        "top_p": 1.0,
        "min_p": 0.0,
    }
    assert "verifier" not in vote.options
    assert greedy.options == {"max_tokens": 256, "thinking": "off"}


def test_what_is_said_of_a_strategy_holds_at_every_budget(config: EvalConfig) -> None:
    texts = ("best_of_n", "best_of_n+temperature=0.5+top_k=3", "best_of_n+verifier=none")
    plain, said, vote = replace(config, strategies=texts, has_baselines=False).arms("m")
    assert len({plain.name, said.name, vote.name}) == 3
    assert config.spec(said, 4).options["temperature"] == 0.5
    assert config.spec(said, 64).options["top_k"] == 3
    assert config.spec(plain, 64).options["temperature"] == 1.0
    assert plain.verifier == said.verifier == "countdown-checker"
    assert vote.verifier is None
    assert said.label == "m best of n (temperature 0.5, top k 3)"
    assert vote.label == "m best of n (majority vote)"


def test_every_strategy_has_a_rule_whose_options_it_knows(config: EvalConfig) -> None:
    assert {strategy_behind(name) for name in RULES} == STRATEGIES.keys()
    everything = replace(config, strategies=tuple(RULES), guide="random", has_baselines=False)
    for level in (3, 4, 6):
        at_level = replace(everything, problems=ProblemSet("countdown", level=level))
        for n in (1, 2, 3, 4, 16, 64, 256):
            for arm in at_level.arms("m"):
                StrategyTable()(at_level.spec(arm, n))
                known = strategy_options(strategy_behind(arm.strategy))
                assert arm.rule.options(n, level - 1).keys() <= known.keys()


OTHERWISE = {"greedy", "early_stop", "rerank", "revise"}
"""Arms that have one answer, stop by themselves, or do not run on this player."""


@pytest.mark.parametrize("level", [4, 5, 6])
@pytest.mark.parametrize("name", sorted(RULES.keys() - OTHERWISE))
def test_a_budget_is_worth_about_as_many_samples(
    config: EvalConfig, player: ScriptedPolicy, name: str, level: int
) -> None:
    """The player never ends a path early, and nobody stops a search before its end."""
    problems = ProblemSet("countdown", level=level, count=1)
    config = replace(
        config, problems=problems, strategies=(name,), verifier=None, guide="random",
        has_baselines=False,
    )  # fmt: skip
    (arm,) = config.arms("player")
    solver = solver_for(OpenModel.own(player), (RandomGuide(),), config.spec(arm, 16))
    solution = asyncio.run(solver.solve(problems.examples()[0].problem))
    steps = len(solution.tree) - 1
    assert 0.6 <= steps / (16 * (level - 1)) <= 1.4


def test_replayed_arms_are_measured_at_powers_of_two_as_well(config: EvalConfig) -> None:
    config = replace(config, budgets=(3, 10), rollouts=40)
    best, _, greedy = config.arms("m")
    assert config.budgets_of(best) == (1, 2, 3, 4, 8, 10, 16, 20, 32, 40)
    assert config.budgets_of(greedy) == (1,)


def test_greedy_is_drawn_once_whatever_the_seeds(config: EvalConfig) -> None:
    best, _, greedy = replace(config, num_seeds=3, seed=5).arms("m")
    assert list(config.seeds_of(greedy)) == [0]
    assert list(replace(config, num_seeds=3, seed=5).seeds_of(best)) == [5, 6, 7]


def test_budgets_are_ordered_and_rollouts_cover_them(config: EvalConfig) -> None:
    assert replace(config, budgets=(16, 1, 4, 4)).budgets == (1, 4, 16)
    assert replace(config, rollouts=3).rollouts == 16
    assert config.has_blind_play
    assert not replace(config, has_baselines=False).has_blind_play
    assert len(replace(config, has_baselines=False).arms("m")) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategies": ("best_of",)}, "no strategy `best_of`"),
        ({"forms": ("verbose",)}, "no form `verbose`"),
        ({"strategies": ("best_of_n+width=3",)}, "`width=3` in `best_of_n\\+width=3` is no option"),
        ({"strategies": ("best_of_n+n",)}, "`n` in `best_of_n\\+n` is no option"),
        ({"budgets": ()}, "`budgets` is empty"),
        ({"budgets": (0,)}, "`budgets` is 0"),
        ({"budgets": (10_001,)}, "`budgets` is 10001"),
        ({"num_seeds": 0}, "`seeds` is 0"),
        ({"max_tokens": 0}, "`max_tokens` is 0"),
        ({"models": ()}, "at least one model"),
        ({"strategies": ()}, "at least one model, strategy"),
        ({"sampling": Sampling(-1.0)}, "temperature"),
        ({"sampling": Sampling(float("nan"))}, "temperature"),
        ({"strategies": ("early_stop",), "verifier": None}, "needs a verifier and there is none"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    config: EvalConfig, change: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        replace(config, **change)


def test_the_nearest_strategy_is_suggested(config: EvalConfig) -> None:
    with pytest.raises(UnknownNameError) as caught:
        replace(config, strategies=("best-of-n",))
    assert caught.value.hint == "did you mean `best_of_n`?"


def test_differences_are_named_by_their_path() -> None:
    there = {"a": 1, "b": {"c": [1, 2], "d": None}}
    here = {"a": 1, "b": {"c": [1], "d": "x"}, "e": 2}
    assert differences(there, here) == [
        "`b.c` is 1,2 there and 1 here",
        "`b.d` is unset there and x here",
        "`e` is unset there and 2 here",
    ]
    assert differences(there, there) == []


def test_rare_problems_follow_one_another_as_others_do() -> None:
    """A set begins where the one before it ended."""
    rare = ProblemSet("countdown", level=6, count=4, rarity=1_024)
    both = rare.examples()
    second = replace(rare, count=2, skip=2).examples()
    assert [each.id for each in second] == [each.id for each in both[2:]]
    assert rare.name == "countdown level 6, one walk in 1,024"


@pytest.mark.parametrize(
    "problems",
    [
        {"task": "chain", "level": 5, "rarity": 9},
        {"task": "countdown", "rarity": 9},
        {"task": "countdown", "level": 6, "rarity": -1},
    ],
)
def test_only_generated_countdowns_are_known_to_be_rare(problems: dict[str, object]) -> None:
    with pytest.raises(BadInputError):
        ProblemSet(**problems)  # type: ignore[arg-type]


def test_a_level_without_rare_problems_says_so() -> None:
    with pytest.raises(BadInputError, match="level 3 has hardly a problem"):
        ProblemSet("countdown", level=3, count=1, rarity=1_024).examples()
