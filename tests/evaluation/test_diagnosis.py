"""What samples say of searches that were not run, on samples of which that is known."""

import json
from math import log
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.cli import run
from mull.cli.diagnose import conclusions
from mull.core.errors import BadInputError
from mull.evaluation.diagnosis import Diagnosis, diagnose
from mull.evaluation.graded import Samples, read_graded, samples_of
from mull.evaluation.scaling_law import Law, fit_law
from mull.tasks.recorded import RecordedSet


def tallies(rng: Random, law: Law, *, problems: int, n: int) -> list[tuple[int, int]]:
    found = list[tuple[int, int]]()
    for _ in range(problems):
        p = rng.betavariate(law.exponent, law.spread)
        found.append((n, sum(rng.random() < p for _ in range(n))))
    return found


@pytest.mark.parametrize("law", [Law(0.5, 0.9), Law(0.3, 2.0)], ids=["some", "few"])
def test_a_law_is_found_again_and_says_what_was_not_drawn(law: Law) -> None:
    fitted = fit_law(tallies(Random(1), law, problems=400, n=16))
    for k in (1, 16, 256, 1024):
        told = fitted.solved(k)
        assert told.low - 0.01 <= law.solved(k) <= told.high + 0.01
    assert fitted.exponent.low < law.exponent < fitted.exponent.high
    few = fit_law(tallies(Random(1), law, problems=40, n=16))
    assert few.solved(256).high - few.solved(256).low > (
        fitted.solved(256).high - fitted.solved(256).low
    )


@given(st.floats(0.1, 5), st.floats(0.1, 20), st.integers(1, 1000))
def test_a_law_grows_as_its_exponent_says(exponent: float, spread: float, k: int) -> None:
    law = Law(exponent, spread)
    assert 0 <= law.solved(k) <= law.solved(k + 1) + 1e-12 <= 1 + 1e-9
    assert law.solved(1) == pytest.approx(exponent / (exponent + spread))
    left = [1 - law.solved(far) for far in (2e3, 4e3)]
    if left[1] > 1e-9:  # what is less is lost in rounding
        assert log(left[0] / left[1]) / log(2) == pytest.approx(exponent, rel=0.05)


def test_a_law_needs_more_than_one_sample_of_a_problem() -> None:
    with pytest.raises(ValueError, match="two samples"):
        fit_law([(1, 1), (1, 0)])


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.data())
def test_draws_are_counted_to_the_first_right_one(right: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(right)))
    rng, places, num = Random(3), range(len(right)), 4000
    total = 0
    for _ in range(num):
        order = rng.sample(places, k)
        first = next((at for at, place in enumerate(order, start=1) if right[place]), k)
        total += first
    assert Samples(tuple(right)).draws(k) == pytest.approx(total / num, abs=0.35)


def test_a_part_of_a_sample_is_worth_its_part() -> None:
    samples = Samples((True, False, False, False))
    found = [samples.bought(k) for k in (0.5, 1, 1.25, 2, 4)]
    assert found == pytest.approx([0.25, 0.25, 0.3125, 0.5, 1.0])


def test_samples_of_one_length_are_not_ranked() -> None:
    """The right ones came first, and that says nothing of length."""
    half = (True, True, False, False, False)
    found = diagnose([Samples(half * 2, (10,) * 5 + (20,) * 5)] * 12).lengths
    assert found is not None
    assert [each.right.value for each in found.parts] == pytest.approx([0.4] * 5)


def test_shares_and_projections_are_those_of_the_samples() -> None:
    problems = [
        Samples((True,) * 4, (10,) * 4, ("a",) * 4),
        Samples((True, True, False, False), (10,) * 4, ("a", "a", "b", "c")),
        Samples((True, False, False, False), (10,) * 4, ("a", "b", "b", "b")),
        Samples((False,) * 4, (10,) * 4, (None,) * 4),
    ]
    found = diagnose(problems)
    assert (found.always, found.easy, found.hard.value, found.never) == (0.25,) * 4
    assert [each.k for each in found.projected] == [1, 2, 4]
    one, _, four = found.projected
    assert one.checked.value == pytest.approx((1 + 0.5 + 0.25) / 4)
    assert four.checked.value == 0.75
    assert four.voted is not None
    assert four.voted.value == 0.5
    assert (four.tokens, four.tokens_stopping) == (
        40,
        pytest.approx(10 * (1 + 5 / 3 + 2.5 + 4) / 4),
    )
    assert found.by_votes == pytest.approx(0.5 - one.checked.value)
    assert found.lengths is None  # all are equally long
    assert [each.gain.value for each in found.parted] == [0, 0]


def rambling(rng: Random, *, problems: int, costs: float) -> list[Samples]:
    """Hard problems have long samples; a sample beyond its problem's usual length loses."""
    found = list[Samples]()
    for _ in range(problems):
        hardness = rng.random()
        usual = 100 + 900 * hardness
        times = [rng.uniform(0.5, 2.5) for _ in range(16)]
        right = [rng.random() < (1 - 0.8 * hardness) - costs * (each > 1.5) for each in times]
        found.append(Samples(tuple(right), tuple(int(usual * each) for each in times)))
    return found


def test_longer_is_worse_only_where_it_is_so_within_a_problem() -> None:
    worse = diagnose(rambling(Random(1), problems=150, costs=0.4)).lengths
    assert worse is not None
    assert worse.too_long_hurts
    assert worse.best < 3
    same = diagnose(rambling(Random(1), problems=150, costs=0.0)).lengths
    assert same is not None
    assert not same.too_long_hurts  # though wrong samples are far longer than right ones


def test_a_budget_is_parted_between_long_and_many() -> None:
    """A sample is right with one chance in four, in 100 tokens or never, in 1,000."""
    rng = Random(2)
    problems = list[Samples]()
    for _ in range(120):
        ends = [rng.random() < 0.25 for _ in range(16)]
        problems.append(Samples(tuple(ends), tuple(100 if each else 1000 for each in ends)))
    first = diagnose(problems).parted[0]
    assert first.caps == (100, 100)
    assert first.k == pytest.approx(775 / 100, rel=0.1)
    assert first.solved.value == pytest.approx(1 - 0.75**7.75, abs=0.06)
    assert first.gain.low > 0.4


def graded(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(json.dumps(each) for each in lines) + "\n\n", encoding="utf-8")
    return path


def test_graded_samples_are_read_by_problem(tmp_path: Path) -> None:
    path = graded(
        tmp_path / "graded.jsonl",
        {"problem": "a", "correct": True, "tokens": 7, "answer": " 42"},
        {"problem": "b", "correct": False},
        {"problem": "a", "correct": False, "tokens": 9, "answer": ""},
        {"problem": "c", "correct": True, "answer": "4\u20282"},
        {"problem": "c", "correct": True},
    )
    first, second, third = read_graded(path)
    assert (third.right, third.keys) == ((True, True), ())  # one without its answer: no votes
    assert first == Samples((True, False), (7, 9), ("42", None))
    assert (second.right, second.keys, second.is_counted) == ((False,), (), False)


@pytest.mark.parametrize(
    "line",
    [
        {"problem": "a"},
        {"problem": "a", "correct": "yes"},
        {"problem": "a", "correct": True, "tokens": -1},
        {"problem": "a", "correct": True, "score": 1},
        ["a", True],
    ],
)
def test_a_line_that_is_no_graded_sample_is_named(tmp_path: Path, line: object) -> None:
    path = graded(tmp_path / "graded.jsonl", {"problem": "a", "correct": True}, line)
    with pytest.raises(BadInputError, match="line 2 of"):
        read_graded(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "graded.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInputError, match="cannot be read"):
        read_graded(tmp_path / "graded.jsonl")


def test_samples_that_are_drawn_are_graded_and_vote(dozen: RecordedSet) -> None:
    found = samples_of(dozen)
    assert found[3].right == (True, False, True, False)
    assert found[3].keys[0] == found[3].keys[2] != found[3].keys[1]
    assert all(each.is_counted for each in found)


def said(found: Diagnosis) -> str:
    return " ".join(conclusions(found))


def test_conclusions_follow_the_numbers() -> None:
    rng = Random(4)
    scattered = [
        Samples(tuple(rng.random() < 0.3 for _ in range(8)), (5,) * 8, tuple("abcdefgh"))
        for _ in range(40)
    ]
    assert "right answers are there and not found" in said(diagnose(scattered))
    agreed = [
        Samples(each.right, each.tokens, tuple("a" if good else str(at) for at, good in
                enumerate(each.right)))
        for each in scattered
    ]  # fmt: skip
    assert "most of it without a checker" in said(diagnose(agreed))
    assert "draw more" in said(diagnose([Samples((True,)), Samples((False,))]))
    hurt = diagnose(rambling(Random(1), problems=150, costs=0.4))
    assert "Longer is not better" in said(hurt)
    alike = [Samples((True, False) * 4)] * 30
    assert "faster than any power" in said(diagnose(alike))
    hopeless = diagnose([Samples((False,) * 8)] * 5)
    assert "No sample is right" in said(hopeless)
    assert hopeless.beyond == ()
    with pytest.raises(BadInputError, match="no graded samples"):
        diagnose([])


def test_the_command_reads_a_file_and_says_it_to_people_and_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"problem": f"{each}", "correct": each % 3 == at, "tokens": 5, "answer": f"{at}"}
        for each in range(12)
        for at in range(3)
    ]
    path = graded(tmp_path / "graded.jsonl", *lines)
    assert run(["diagnose", "--results", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["num_problems"], told["num_samples"]) == ("diagnosis", 12, 3)
    assert told["projected"][-1]["checked"]["value"] == 1
    assert set(told["exponent"]) == {"value", "low", "high"}
    assert run(["diagnose", "--results", str(path)]) == 0
    assert "With a checker 3 samples solve +66.7%" in capsys.readouterr().out


def test_the_command_needs_one_thing_to_look_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = graded(tmp_path / "graded.jsonl", {"problem": "a", "correct": True})
    assert run(["diagnose"]) == 2
    assert run(["diagnose", "countdown", "--results", str(path)]) == 2
    assert "either a TASK" in capsys.readouterr().err
