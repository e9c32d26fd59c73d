"""The numbers of published samples, through our policy and strategies."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mull.core.recording import Record
from mull.evaluation.intervals import Interval
from mull.evaluation.recorded import TABLES, Line, table_of
from mull.evaluation.recorded.answers import rank_correlation
from mull.evaluation.recorded.games import tot
from mull.evaluation.recorded.measures import draw
from mull.evaluation.recorded.programs import any_of_best_groups, groups_of
from mull.evaluation.recorded.runs import epoch
from mull.evaluation.recorded.selection import (
    ANY,
    choices,
    intervals,
    shuffled,
    together,
    tokens_of,
)
from mull.tasks.recorded import READERS, rows_of
from mull.tasks.recorded.code import ExecutedProblem
from mull.tasks.recorded.sets import RecordedSet, recorded_problem

DATA = Path(os.environ.get("MULL_DATA", Path(__file__).parents[3] / "shared" / "data"))

NUM_STATED = {
    "codet_humaneval": 6,
    "epoch_frontier_samples": 10,
    "qwen_math_rm8": 4,
    "tot_gpt4": 10,
    "xot_game24": 13,
}
"""Numbers that a data folder states of itself, and that are held here; more of them in `full`."""


def need(name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no data set `{name}` in `{DATA}`")


async def lines_of(name: str) -> list[Line]:
    if name == "epoch_frontier_samples":  # GPQA takes long
        return await epoch(rows_of(DATA, name), benchmarks=("otis",))
    if name == "tot_gpt4":  # so do the wide beams
        return await tot(rows_of(DATA, name), widths=(2,))
    lines, bad = await table_of(DATA, name)
    assert not bad
    return lines


@pytest.mark.parametrize("name", NUM_STATED)
async def test_replay_gives_the_numbers_that_a_data_folder_states(name: str) -> None:
    need(name)
    lines = await lines_of(name)
    stated = [line for line in lines if line.stated]
    assert [line.measure for line in stated if not line.agrees] == []
    assert len(stated) == NUM_STATED[name]
    assert all(line.found.low <= line.found.value <= line.found.high for line in lines)


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_replay_gives_the_votes_of_the_multiple_choice_runs_too() -> None:
    need("epoch_frontier_samples")
    lines = await epoch(rows_of(DATA, "epoch_frontier_samples"))
    assert sum(bool(line.stated) for line in lines) == 14
    assert all(line.agrees for line in lines)


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_our_tree_of_thoughts_gives_every_width_of_the_recorded_search() -> None:
    need("tot_gpt4")
    lines = await tot(rows_of(DATA, "tot_gpt4"))
    assert [line.found.value for line in lines if "beam" in line.measure] == [42, 56, 62, 68, 70]


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["cruxeval_codellama7b", "routellm", "zeroeval_multimodel"])
async def test_numbers_of_a_part_are_near_those_of_the_whole(name: str) -> None:
    """Within five percentage points, which half of the problems can differ by, nine times in ten.

    `zeroeval_multimodel` was graded by a stricter matcher than ours, on whole responses.
    """
    need(name)
    lines, bad = await table_of(DATA, name)
    assert not bad
    compared = [line for line in lines if line.whole]
    assert len(compared) >= 4
    far = [line for line in compared if abs(line.found.value - float(line.whole)) > 5]
    assert len(far) <= len(compared) // 10
    ranks = [line.found.value for line in lines if "rank" in line.measure]
    assert all(each > 0.97 for each in ranks)


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_gsm8k_verdicts_are_those_of_our_own_reading() -> None:
    need("gsm8k")
    lines, _ = await table_of(DATA, "gsm8k")
    agreement = [line.found.value for line in lines if line.measure == "both agree"]
    assert agreement == [100.0] * 4


def test_every_reader_has_its_table() -> None:
    assert list(TABLES) == list(READERS)


def game(*samples: tuple[str, float | None, bool]) -> RecordedSet:
    records = [(Record("?", answer=a, score=score), right) for a, score, right in samples]
    return RecordedSet("run", "m", (recorded_problem("toy", "0", "?", "42", records),))


async def test_votes_and_scores_choose_the_first_of_ties_and_can_average_them() -> None:
    drawn = await draw(
        game(("41", 0.2, False), ("42", 0.9, True), ("42", 0.2, True), ("41", 0.9, False))
    )
    assert (drawn.votes(), drawn.votes_with_ties_averaged()) == ([0.0], [0.5])
    # Equal words share the mean of their scores, so that all four are equally good.
    assert (drawn.best(), drawn.best_with_ties_averaged()) == ([0.0], [0.5])
    assert drawn.first(3).votes() == [1.0]
    scored = await draw(game(("41", 0.2, False), ("42", 0.9, True), ("43", 0.95, False)))
    assert [scored.first(n).best() for n in (1, 2, 3)] == [[0.0], [1.0], [0.0]]


async def test_an_answer_is_graded_by_its_record_or_by_the_reference() -> None:
    contradictory = game(("42", None, False))
    assert (await draw(contradictory)).votes() == [0.0]
    assert (await draw(replace(contradictory, grades_answers=True))).votes() == [1.0]


async def test_a_set_without_any_answer_gives_none() -> None:
    drawn = await draw(game(("", None, False), ("", None, False)))
    assert (drawn.votes(), drawn.votes_with_ties_averaged()) == ([0.0], [0.0])


def test_a_stated_number_is_met_to_its_last_decimal() -> None:
    line = partial(Line, "part", "measure")
    assert line(Interval(10.67, 0, 1), "10.67").agrees
    assert line(Interval(39.148, 0, 1), "39.2").agrees  # rounded to 39.15 first
    assert not line(Interval(39.1, 0, 1), "39.2").agrees
    assert line(Interval(39.1, 0, 1)).agrees


def test_groups_are_drawn_from_in_turns() -> None:
    assert any_of_best_groups([(4, 2), (2, 0)], 1) == 0.5
    assert any_of_best_groups([(4, 2), (2, 1), (1, 1)], 2) == 0.75
    assert any_of_best_groups([(4, 0), (1, 0)], 5) == 0.0
    assert any_of_best_groups([(4, 2), (1, 0)], 4) == 0.75  # two of the first group, maybe the same
    assert any_of_best_groups([(2, 0)], 10) == 0.0


def test_groups_of_equal_agreement_are_one_and_who_passes_nothing_is_in_none() -> None:
    # Scores: sqrt(2) * 2 for the first two, then 1 each for two that pass another test each, 0.
    rows = ((True, True, False), (True, True, False), (True, False, False), (False, False, True),
            (False, False, False))  # fmt: skip
    right = (True, False, False, True, True)
    samples = [(Record("p", f"program {number}"), each) for number, each in enumerate(right)]
    problem = recorded_problem("code", "1", "p", "", samples)
    assert groups_of(ExecutedProblem(problem, rows)) == [(2, 1), (2, 1)]


def test_rank_correlation_knows_order_reversal_and_ties() -> None:
    assert rank_correlation([(1, 10), (2, 20), (3, 30)]) == 1.0
    assert rank_correlation([(1, 30), (2, 20), (3, 10)]) == -1.0
    assert rank_correlation([(1, 10), (1, 20), (2, 30)]) == pytest.approx(0.866, abs=1e-3)


async def test_choices_at_equal_cost_average_over_orders_and_never_pass_any() -> None:
    toy = game(("41", 0.2, False), ("42", 0.9, True), ("41", 0.1, False), ("40", 0.3, False))
    found = await choices(toy, ["self_consistency", "best_of_n"], (1, 4), orders=40, seed=3)
    assert found["best_of_n", 4] == [pytest.approx(1.0)]
    assert found["self_consistency", 4] == [0.0]
    assert found["self_consistency", 1] == found["best_of_n", 1]
    assert found["best_of_n", 1] == [pytest.approx(0.25, abs=0.2)]
    assert (found[ANY, 1], found[ANY, 4]) == ([0.25], [1.0])
    again = await choices(toy, ["self_consistency", "best_of_n"], (1, 4), orders=40, seed=3)
    assert again == found
    assert intervals([found])[ANY, 1].value == 25.0
    assert intervals([found, found])[ANY, 1].value == 25.0


def test_an_order_moves_samples_with_their_grades() -> None:
    toy = game(*((str(k), None, k == 3) for k in range(6)))
    other = shuffled(toy, 5).problems[0]
    assert sorted(record.answer or "" for record in other.records) == list("012345")
    assert other.records != toy.problems[0].records
    assert [
        record.answer for record, right in zip(other.records, other.right, strict=True) if right
    ] == ["3"]


def test_models_together_are_one_set_of_the_problems_that_all_answered() -> None:
    first, second = game(("41", None, False)), game(("42", None, True))
    both = together("both", [first, second])
    assert both.problems[0].right == (False, True)
    assert [record.answer for record in both.problems[0].records] == ["41", "42"]
    elsewhere = replace(second, problems=())
    assert together("none", [first, elsewhere]).problems == ()


def test_tokens_of_a_sample_are_hidden_ones_too() -> None:
    records = [(Record("?", tokens=4, hidden_tokens=2), True), (Record("?"), False)]
    recorded = RecordedSet("run", "m", (recorded_problem("toy", "0", "?", "42", records),))
    assert tokens_of(recorded) == 3.0
