"""What the countdown rules accept, reject, and call the same."""

# ruff: noqa: RUF001  (typographic signs are part of what is tested)

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.puzzles import Countdown, DerivationError, derivation_expression

GAME = Countdown((4, 9, 10, 13), 24)
DERIVATION = " 13 - 9 = 4 left 4 4 10\n 10 - 4 = 6 left 4 6\n 6 * 4 = 24"


@pytest.mark.parametrize(
    "answer",
    [
        DERIVATION,
        DERIVATION + "\n",
        "13-9=4 left 4 4 10\n10-4=6 left 4 6\n6*4=24",
        "13 - 9 = 4 (left: 4 4 10)\n10 - 4 = 6 (left: 6 4)\n6 * 4 = 24 (left: 24)",
        "13 − 9 = 4\n\n10 − 4 = 6\n4 × 6 = 24",
        " ( 13 - 9 ) * ( 10 - 4 )",
        "(13-9)*(10-4)",
        "(13 - 9) * (10 - 4) = 24",
        "(13−9)×(10−4)=24",
        "(9 - 13) * (4 - 10)",
        "<think> anything at all</think> (13 - 9) * (10 - 4)",
        "<think></think>" + DERIVATION,
    ],
)
def test_right_answers_are_accepted_in_any_of_the_forms(answer: str) -> None:
    assert GAME.check_answer(answer).accepted
    assert GAME.answer_key(answer) is not None


@pytest.mark.parametrize(
    ("numbers", "answer"),
    [
        ((3, 3, 8, 8), "8 / (3 - 8 / 3)"),
        ((3, 3, 8, 8), "8 / 3 = 8/3 left 3 8/3 8\n3 - 8/3 = 1/3 left 1/3 8\n8 / 1/3 = 24"),
        ((1, 3, 4, 6), "6/(1-3/4)"),
        ((5, 5, 5, 1), "1/5 = 1/5\n5 - 1/5 = 24/5\n24/5 * 5 = 24"),
        ((1, 2, 8, 9), "1 - 9 = -8 left -8 2 8\n2 - -8 = 10 left 8 10\n8 + 10 = 18"),
    ],
    ids=str,
)
def test_fractions_and_negatives_are_exact(numbers: tuple[int, ...], answer: str) -> None:
    target = 18 if "18" in answer else 24
    assert Countdown(numbers, target).check_answer(answer).accepted


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (" 13 - 9 = 4 left 4 4 10\n 10 - 4 = 6 left 4 6\n 6 + 4 = 10", "is 10, not 24"),
        (" 13 - 9 = 4 left 4 4 10\n 10 - 4 = 6 left 4 6\n 6 * 4 = 25", "false arithmetic"),
        (" 13 - 9 = 5 left 4 5 10\n 10 - 4 = 6 left 5 6\n 6 * 5 = 30", "false arithmetic"),
        (" 13 - 9 = 4 left 4 4 11\n 11 - 4 = 7 left 4 7\n 7 * 4 = 28", "lists the wrong numbers"),
        (" 13 - 9 = 4 left 4 4 10\n 10 - 4 = 6 left 4 6", "not finished: 2 numbers are left"),
        (" 13 - 9 = 4 left 4 4 10", "not finished: 3 numbers are left"),
        (" 12 * 2 = 24 left 24\n 24 - 0 = 24", "`12` is not at hand"),
        ("(13 - 9) * (10 - 4) = 25", "states 25, but its value is 24"),
        ("(13 - 9) * 10 - 4", "is 36, not 24"),
        ("(13 - 9) * (10 - 4) * 4", "`4` is used more often"),
        ("13 - 9 + 10", "`4` is not used"),
        ("4 * 6", "`6` is used more often"),
        ("24", "`24` is used more often"),
        ("(13 - 9) / (10 - 4 - 6)", "`6` is used more often"),
        ("4 / (9 - 9) + 10 + 13", "`9` is used more often"),
        ("", "no expression"),
        ("The answer is 24.", "stands where a number"),
        ("<think> 13 - 9 = 4 left 4 4 10\n", "has not ended"),
        ("9**9**9**9", "stands where a number"),
        ("13 - 9 = 4/0\n1 + 1 = 2", "zero"),
        ("(" * 900 + "1" + ")" * 900, "nested deeper"),
        ("4+" * 1_000_000, "longer than 2000"),
        ("٤ + ٩", "stands where a number"),
        ("999999999999", "more than 9 digits"),
        ("\x00\ud800", "stands where a number"),
    ],
    ids=lambda value: value[:24].encode("ascii", "backslashreplace").decode(),
)
def test_wrong_answers_are_rejected_with_the_reason(answer: str, reason: str) -> None:
    start = time.perf_counter()
    ruling = GAME.check_answer(answer)
    assert time.perf_counter() - start < 0.5
    assert not ruling.accepted
    assert reason in ruling.reason
    assert len(ruling.reason) < 200


def test_a_division_by_zero_is_rejected() -> None:
    ruling = Countdown((3, 3, 5, 7), 12).check_answer("5 + 7 + 1 / (3 - 3)")
    assert not ruling.accepted
    ruling = Countdown((3, 3, 5, 7), 12).check_answer("5 / (3 - 3) + 7")
    assert not ruling.accepted
    assert "divides by zero" in ruling.reason


alphabet = st.sampled_from([*"0123456789+-*/()= \nleft<>", "</think>", "left", "×", "٣"])


@given(st.text(max_size=300) | st.lists(alphabet, max_size=200).map("".join))
def test_hostile_text_never_raises_and_is_never_accepted_by_chance(text: str) -> None:
    ruling = Countdown((4, 9, 10, 13), 999_999).check_answer(text)
    assert not ruling.accepted
    GAME.check_step([text], text)
    GAME.check_step([], text)
    GAME.state_key([text])
    GAME.answer_key(text)
    GAME.expression(text)


def test_a_step_is_ruled_on_where_it_stands() -> None:
    lines = DERIVATION.split("\n")
    for index, line in enumerate(lines):
        assert GAME.check_step(lines[:index], line).accepted
    assert GAME.check_step([], " 13 - 9 = 4 left 4 4 10\n").accepted
    assert not GAME.check_step([], lines[1]).accepted
    assert not GAME.check_step(lines, " 24 + 0 = 24").accepted
    assert not GAME.check_step(["nonsense"], lines[0]).accepted
    assert GAME.check_step(lines[:2], " 6 + 4 = 10").accepted, "short of the target, but legal"


def test_a_line_is_one_line() -> None:
    assert not GAME.check_step([], " 13 - 9\n = 4").accepted
    assert not GAME.check_step([], "").accepted
    assert not GAME.check_step([], " 13 - 9 = 4\n 10 - 4 = 6\n").accepted


def test_reasons_and_keys_can_be_stored_whatever_the_text() -> None:
    for text in ("\ud800", "(\ud800", "13 \ud800 9 = 4\n\udfff"):
        assert GAME.check_answer(text).reason.encode("utf-8")
        assert (GAME.answer_key(text) or "").encode("utf-8")


def test_states_with_equal_futures_have_one_key() -> None:
    assert GAME.state_key([]) == "4 9 10 13"
    assert GAME.state_key([" 13 - 9 = 4 left 4 4 10"]) == "4 4 10"
    assert GAME.state_key([" 10 - 9 = 1 left 1 4 13", " 13 * 1 = 13 left 4 13"]) == "4 13"
    assert GAME.state_key([" 10 - 9 = 1 left 1 4 13", " 13 / 1 = 13 left 4 13"]) == "4 13"
    assert GAME.state_key([" 4 / 9 = 4/9"]) == "4/9 10 13"
    assert GAME.state_key([" 4 - 9 = -5"]) == "-5 10 13"
    assert GAME.state_key([" 13 - 9 = 5"]) is None


def test_answers_are_one_class_when_their_expressions_are() -> None:
    keys = {
        GAME.answer_key(text)
        for text in (
            DERIVATION,
            "(10 - 4) * (13 - 9)",
            "(13-9)*(10-4)=24",
            "<think></think>(13-9)*(10-4)",
        )
    }
    assert keys == {"((10-4)*(13-9))"}
    assert GAME.answer_key("(10 - 4) * 13 - 9") == "(((10-4)*13)-9)", (
        "a wrong value has a class too"
    )
    wrong = [" 13 - 9 = 5 left 4 5 10\n 10 + 4 = 14", "4 * 6", "what?"]
    assert len({GAME.answer_key(text) for text in wrong}) == len(wrong)
    assert all((GAME.answer_key(text) or "").startswith("text:") for text in wrong)
    assert GAME.answer_key("   \n ") is None


def test_a_derivation_is_shown_to_people_as_an_expression() -> None:
    lines = DERIVATION.split("\n")
    assert derivation_expression(GAME.numbers, lines) == "(10 - 4) * (13 - 9)"
    assert GAME.expression(DERIVATION) == "(10 - 4) * (13 - 9)"
    assert GAME.expression("(13-9)*(10-4)") == "(13 - 9) * (10 - 4)"
    assert GAME.expression("no") is None
    with pytest.raises(DerivationError, match="not finished: 2 numbers"):
        derivation_expression(GAME.numbers, lines[:2])
    with pytest.raises(DerivationError, match="longer than 200"):
        derivation_expression(GAME.numbers, ["1" * 201])
