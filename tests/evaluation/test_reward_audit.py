"""An audit's figures by hand."""

import pytest

from mull.evaluation.reward_audit import best, curves, left_out, ranked, supported, weighted_vote
from mull.evaluation.reward_samples import Sample


def sample(
    *states: int,
    key: str = "a",
    right: bool = False,
    exact: tuple[bool, ...] = (),
    least: float = 0.5,
) -> Sample:
    ids = tuple((state,) for state in states)
    texts = tuple(map(str, states))
    return Sample(
        texts,
        ids,
        ("answer",) * len(ids),
        key,
        right,
        exact or (right,) * len(ids),
        (0.5,) * len(ids),
        least,
    )


def test_states_are_ranked_by_depth_and_counted_once() -> None:
    # At depth 1 good states are valued 0.9 and bad ones 0.1; at depth 2 the other way round.
    problems = [
        (
            [
                sample(1, 10 + number, exact=(True, True)),
                sample(1, 20 + number, exact=(True, False)),
                sample(2, 30 + number, exact=(False, False)),
            ],
            [[0.9, 0.1], [0.9, 0.8], [0.1, 0.8]],
        )
        for number in range(20)
    ]
    first, second = ranked(problems)
    assert (first.depth, first.num_states, first.base_rate) == (1, 40, 0.5)
    assert first.auroc.value == first.auroc.low == first.auroc.high == 1.0
    assert (second.num_states, second.auroc.value) == (60, 0.0)


def test_a_depth_with_too_few_of_either_kind_is_left_out() -> None:
    assert ranked([([sample(1, exact=(True,))], [[0.5]])] * 30) == []


def test_ties_and_missing_opinions() -> None:
    problems = [
        ([sample(1, exact=(True,)), sample(2, exact=(False,)), sample(3, exact=(True,))], values)
        for values in ([[0.5], [0.5], []],) * 12
    ]
    (row,) = ranked(problems)
    assert (row.num_states, row.auroc.value) == (24, 0.5)


def test_choices_by_hand() -> None:
    answers = [sample(1, key="x"), sample(2, key="y", right=True), sample(3, key="x")]
    assert best(answers, [0.2, 0.5, 0.4])
    assert not best(answers, [0.5, 0.5, 0.4]), "the first of equals"
    assert not weighted_vote(answers, [0.2, 0.5, 0.4])
    assert weighted_vote(answers, [0.2, 0.7, 0.4])
    assert not best([], [])
    assert not weighted_vote([sample(1, key="", right=True)], [1.0])


def test_curves_average_over_groups_of_samples_and_over_problems() -> None:
    answers = [sample(1), sample(2, key="y", right=True), sample(3), sample(4)]
    values = [[0.1], [0.9], [0.5], [0.4]]
    wrong = [sample(5), sample(6), sample(7), sample(8)]
    problems = {"prm": [(answers, values), (wrong, values)]}
    found = {(each.judge, each.choice): each.points for each in curves(problems, [1, 2, 4], {})}
    assert found["none", "one sample"][1].value == pytest.approx(1 / 8)
    assert found["none", "oracle"][4].value == pytest.approx(1 / 2)
    assert found["none", "vote"][4].value == 0.0
    assert [found["prm", "best"][n].value for n in (1, 2, 4)] == pytest.approx(
        [1 / 8, 1 / 4, 1 / 2]
    )


def test_an_ensemble_is_not_taken_in_by_one_member_that_is() -> None:
    answers = [sample(1), sample(2, key="y", right=True)]
    problems = {
        "fooled": [(answers, [[1.0], [0.6]])],
        "b": [(answers, [[0.1], [0.7]])],
        "c": [(answers, [[0.3], [0.7]])],
    }
    rules = dict.fromkeys(problems, "last")
    found = {
        (each.judge, each.rule): each.points[2].value
        for each in curves(problems, [2], rules)
        if each.choice == "best"
    }
    assert found["fooled", "last"] == 0.0
    assert found["ensemble of 3", "worst"] == 1.0


def test_an_answer_that_the_policy_slipped_into_is_not_chosen_however_it_is_valued() -> None:
    answers = [sample(1, key="x", right=True), sample(2, key="y", least=0.001)]
    values = [[0.6], [0.9]]
    (chosen,) = {
        each.points[2].value
        for each in curves({"prm": [supported(answers, values, 0.002)]}, [2], {"prm": "last"})
        if (each.judge, each.rule, each.choice) == ("prm", "last", "best")
    }
    assert chosen == 1.0
    assert supported(answers, values, 0.001) == (answers, values), "at the threshold it counts"
    more = [*answers, sample(3), sample(4), sample(5)]
    assert left_out(more, 0.002) == (0.0, 0.25)


def test_what_more_samples_add_or_take_is_told_on_the_same_problems() -> None:
    answers = [sample(1, right=True), sample(2, key="b")]
    fooled = [(answers, [[0.6], [0.9]])] * 30
    (curve,) = [
        each
        for each in curves({"prm": fooled}, [1, 2], {"prm": "last"})
        if (each.judge, each.choice) == ("prm", "best")
    ]
    assert (curve.points[1].value, curve.points[2].value) == (0.5, 0.0)
    assert (curve.last.value, curve.last.high) == (-0.5, -0.5)
