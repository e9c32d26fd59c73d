from dataclasses import replace

import pytest

from mull.core.errors import BadInputError, UnknownNameError
from mull.core.expansion import Sampling
from mull.evaluation import EvalConfig
from mull.evaluation.config import differences


def test_samples_are_drawn_once_for_all_arms_that_want_them(config: EvalConfig) -> None:
    config = replace(config, strategies=("best_of_n", "early_stop"), forms=("reasoning", "direct"))
    drawn = [[arm.name for arm in draw.arms] for draw in config.draws("m")]
    assert drawn == [
        ["m/reasoning/best_of_n", "m/reasoning/self_consistency"],
        ["m/reasoning/early_stop"],
        ["m/reasoning/greedy"],
        ["m/direct/best_of_n", "m/direct/self_consistency"],
        ["m/direct/early_stop"],
        ["m/direct/greedy"],
    ]


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
        "width": 4,
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


def test_greedy_is_drawn_once_whatever_the_seeds(config: EvalConfig) -> None:
    *_, greedy = replace(config, num_seeds=3).draws("m")
    assert (greedy.ns, greedy.num_seeds, greedy.wave) == ((1,), 1, 1)


def test_counts_are_ordered_and_blind_play_belongs_to_countdown(config: EvalConfig) -> None:
    assert replace(config, ns=(16, 1, 4, 4)).ns == (1, 4, 16)
    assert config.has_blind_play
    assert not replace(config, has_baselines=False).has_blind_play
    assert len(replace(config, has_baselines=False).arms("m")) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategies": ("best_of",)}, "no strategy `best_of`"),
        ({"forms": ("verbose",)}, "no form `verbose`"),
        ({"ns": ()}, "`n` is empty"),
        ({"ns": (0,)}, "`n` is 0"),
        ({"ns": (10_001,)}, "`n` is 10001"),
        ({"num_seeds": 0}, "`seeds` is 0"),
        ({"max_tokens": 0}, "`max_tokens` is 0"),
        ({"width": 0}, "`width` is 0"),
        ({"models": ()}, "at least one model"),
        ({"strategies": ()}, "at least one model, strategy"),
        ({"sampling": Sampling(-1.0)}, "temperature"),
        ({"sampling": Sampling(float("nan"))}, "temperature"),
        ({"strategies": ("early_stop",), "verifier": None}, "needs a verifier"),
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
