"""Arms against baselines, by difficulty, and small models against large, on sheets made by hand."""

from collections.abc import Mapping, Sequence

import pytest

from mull.core.usage import Usage
from mull.evaluation.arms import Arm
from mull.evaluation.findings import comparisons_of, rivalries_of, strata_results
from mull.evaluation.results import Result
from mull.evaluation.sheets import Axis, Sheet

NUM_PROBLEMS = 60


def sheet(
    model: str, text: str, right: Mapping[int, Sequence[int]], *, flops: float = 2.0
) -> Sheet:
    """An arm by how many of a problem's samples are right at each budget; 10 tokens a sample."""
    arm = Arm(model, "reasoning", text, {"verifier": "checker"})
    budgets = tuple(right)
    results = tuple(
        tuple(
            (
                Result(
                    arm.name, budget, f"p{problem}", 0, is_right=count > 0, has_answer=True,
                    num_answers=budget, num_right=count,
                    spent=Usage(visible_tokens=10 * budget, flops=10 * budget * flops),
                    stop="completed",
                ),
            )
            for problem, count in enumerate(right[budget])
        )
        for budget in budgets
    )  # fmt: skip
    return Sheet(arm, budgets, results)


def some(share: float, each: int = 1) -> list[int]:
    """So many right samples in the first share of the problems, and none in the others."""
    return [each if problem < share * NUM_PROBLEMS else 0 for problem in range(NUM_PROBLEMS)]


BEST = sheet("m", "best_of_n", {1: some(0.2), 2: some(0.4), 4: some(0.6), 8: some(0.8)})
STOP = sheet("m", "early_stop", {1: some(0.2), 8: some(0.8)})
BEAM = sheet("m", "beam", {2: some(0.6), 8: some(0.8)})


def test_every_arm_is_held_against_every_baseline_at_what_was_asked() -> None:
    found = comparisons_of([BEST, STOP, BEAM], (2, 8))
    tokens = [each for each in found if each.axis is Axis.TOKENS]
    assert [(each.arm, each.n, each.other) for each in tokens] == [
        ("m best of n", 2, "early stop"),
        ("m best of n", 8, "early stop"),
        ("m early stop", 8, "best of n"),
        ("m beam", 2, "best of n"),
        ("m beam", 8, "best of n"),
        ("m beam", 2, "early stop"),
        ("m beam", 8, "early stop"),
    ]
    beam = tokens[3]
    assert (beam.accuracy, beam.cost) == (0.6, 20.0)
    assert beam.result.gain.value == pytest.approx(0.2)  # best of 2 has 0.4
    assert beam.result.saving.value == pytest.approx(2.0)  # best of n needs 4 samples for 0.6
    assert {each.axis for each in found} == {Axis.TOKENS, Axis.FLOPS}  # no seconds were counted


def test_baselines_are_those_of_the_same_model() -> None:
    other = sheet("other", "best_of_n", {1: some(0.5), 2: some(0.7)})
    assert not comparisons_of([other, BEAM], (2,))


def test_difficulty_sorts_problems_and_leaves_out_budgets_that_saw_it() -> None:
    # 8 samples a problem; of the last four 4, 2 and 0 are right in a quarter, a quarter, a half
    half = [0] * NUM_PROBLEMS
    whole = [4] * 15 + [2] * 15 + [0] * 30
    best = sheet("m", "best_of_n", {1: half, 2: half, 4: half, 8: whole})
    beam = sheet("m", "beam", {8: some(0.25)})
    strata = {each.name: each for each in strata_results([best, beam], (2, 8))}
    bands = {name: strata[name].num_problems for name in ("50-100 %", "0-10 %")}
    assert bands == {"50-100 %": 30, "0-10 %": 30}
    assert "10-50 %" not in strata  # too few problems to say anything
    rows = [(row.arm, row.n, row.accuracy.value) for row in strata["50-100 %"].rows]
    assert rows == [("m best of n", 2, 0.0), ("m beam", 8, 0.5)]
    assert strata["quintile 1"].num_problems == NUM_PROBLEMS // 5


def test_a_small_model_that_searches_is_held_against_a_large_one_that_answers_once() -> None:
    large = sheet("large", "greedy", {1: some(0.6)}, flops=16.0)
    small = sheet("small", "best_of_n", {1: some(0.2), 2: some(0.4), 4: some(0.6), 8: some(0.8)})
    (everything,) = rivalries_of([large, small])
    assert (everything.stratum, everything.num_problems) == ("all", NUM_PROBLEMS)
    assert everything.large_accuracy == pytest.approx(0.6)
    # at the FLOPs of one large answer the small one has drawn eight samples
    assert everything.gain.value == pytest.approx(0.2)
    # with four of them, half the FLOPs, it was as good already
    assert everything.cost.value == pytest.approx(0.5)
    assert everything.is_reached


def test_the_larger_model_is_no_small_rival() -> None:
    small = sheet("small", "greedy", {1: some(0.3)})
    large = sheet("large", "best_of_n", {1: some(0.5), 2: some(0.7)}, flops=16.0)
    assert rivalries_of([small, large]) == ()
