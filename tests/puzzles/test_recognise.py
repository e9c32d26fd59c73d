"""Free text becomes a puzzle, or an error that says what to do."""

# ruff: noqa: RUF001  (typographic signs are part of what is tested)

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.core.answers import AnswerKeys
from mull.core.errors import ProblemNotUnderstoodError, UnknownNameError
from mull.core.problem import AnswerKind, Problem
from mull.puzzles import (
    ANSWER_RULES,
    FAMILIES,
    Chain,
    Countdown,
    Letters,
    Multiply,
    Puzzle,
    family_named,
    puzzle_of,
    recognise,
    to_problem,
)

GAME = Countdown((4, 9, 10, 13), 24)
PRODUCT = Multiply(847, 293)
SUM = Chain((57, 33, 90, 12))
COUNT = Letters("r", "strawberry")

countdowns = st.builds(
    Countdown,
    st.lists(st.integers(1, 999), min_size=3, max_size=6).map(lambda ns: tuple(sorted(ns))),
    st.integers(1, 999_999),
)
products = st.builds(Multiply, st.integers(0, 999), st.integers(0, 999))
chains = st.builds(Chain, st.lists(st.integers(0, 96), min_size=3, max_size=11).map(tuple))
counts = st.builds(
    Letters,
    st.sampled_from("abcdefghijklmnopqrstuvwxyz"),
    st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=14),
)
puzzles: st.SearchStrategy[Puzzle] = st.one_of(countdowns, products, chains, counts)


@given(puzzles)
def test_the_canonical_statement_reads_back_as_the_same_puzzle(puzzle: Puzzle) -> None:
    assert recognise(puzzle.statement) == puzzle


@pytest.mark.parametrize(
    ("puzzle", "statement"),
    [
        (GAME, "Use 4, 9, 10 and 13 once each with + - * / to make 24."),
        (PRODUCT, "Multiply 847 by 293."),
        (SUM, "Add 57, 33, 90 and 12 modulo 97."),
        (COUNT, "How many times does the letter r appear in strawberry?"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_statements_are_exactly_these_bytes(puzzle: Puzzle, statement: str) -> None:
    assert puzzle.statement == statement


@pytest.mark.parametrize(
    ("text", "puzzle"),
    [
        ("Make 24 from 4 9 10 13", GAME),
        ("make 24 using the numbers 13, 10, 9, 4", GAME),
        ("Can you make 24 from 4, 9, 10 and 13?", GAME),
        ("Use the numbers 4,9,10,13 to get 24", GAME),
        ("Use 4 9 10 13 each exactly once with the four basic operations to make 24!", GAME),
        ("Using 4 9 10 13, reach 24", GAME),
        ("Use 4, 9, 10 and 13 once each to make 24. Show every step, please!", GAME),
        ("Given 4, 9, 10 and 13, make 24 with + - * /", GAME),
        ("4 9 10 13 -> 24", GAME),
        ("4,9,10,13 = 24", GAME),
        ("  4 9 10 13\nto make 24 ", GAME),
        ("Game of 24: 13 10 9 4", GAME),
        ("24 game: 4 9 10 13", GAME),
        ("numbers: 4 9 10 13 target: 24", GAME),
        ("847 * 293 = ?", PRODUCT),
        ("847x293", PRODUCT),
        ("847 × 293", PRODUCT),
        ("What is 847 times 293?", PRODUCT),
        ("multiply 847 and 293", PRODUCT),
        ("What is the product of 847 and 293?", PRODUCT),
        ("57 + 33 + 90 + 12 mod 97", SUM),
        ("What is (57 + 33 + 90 + 12) % 97?", SUM),
        ("add 57 33 90 12 mod 97", SUM),
        ("Sum 57, 33, 90, 12 (mod 97)", SUM),
        ("how many r's in strawberry", COUNT),
        ("How many r are there in strawberry?", COUNT),
        ('How many "r"s are in the word "strawberry"?', COUNT),
        ("how many times does r occur in Strawberry", COUNT),
        ("Count the letter r in strawberry.", COUNT),
    ],
)
def test_phrasings_that_people_type_are_understood(text: str, puzzle: Puzzle) -> None:
    assert recognise(text) == puzzle


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("use 1 2 3 4 5 6 7 to make 10", "has 3 to 6 numbers; this has 7"),
        ("make 10 from 4 and 6", "has 3 to 6 numbers; this has 2"),
        ("use 1 2 1000 to make 10", "`1000` is outside 1 to 999"),
        ("use 0 2 10 to make 10", "`0` is outside 1 to 999"),
        ("use 1 2 3 to make 0", "target `0` is outside"),
        ("make -5 from 1 2 3", "target `-5` is outside"),
        ("use 1.5 2 3 to make 4", "`1.5` is not a whole number"),
        ("use 007 2 3 to make 4", "`007` is not a whole number"),
        ("4 9 10 -> 24.5", "target `24.5` is not a whole number"),
        ("multiply 1234 by 5", "`1234` is outside 0 to 999"),
        ("-3 * 5", "`-3` is outside 0 to 999"),
        ("add 1 2 3 modulo 101", "modulus `101` is outside 97 to 97"),
        ("add 1 2 97 modulo 97", "`97` is outside 0 to 96"),
        ("add 1 2 modulo 97", "has 3 to 11 numbers; this has 2"),
        ("how many r's in pneumonoultramicroscopic", "no word of 3 to 14 letters"),
        ("how many e's in café", "`café` is no word"),
    ],
)
def test_a_problem_out_of_bounds_is_refused_with_the_bound(text: str, reason: str) -> None:
    with pytest.raises(ProblemNotUnderstoodError) as error:
        recognise(text)
    assert reason in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    "text", ["", "What is the capital of France?", "24", "1 2 3", "٤ ٩ ١٠ ١٣ -> ٢٤", "x" * 5_000]
)
def test_a_foreign_problem_is_refused_with_the_known_kinds_and_a_way_out(text: str) -> None:
    with pytest.raises(ProblemNotUnderstoodError) as error:
        recognise(text)
    assert error.value.hint
    assert all(family.example in error.value.hint for family in FAMILIES.values())
    assert "policy" in error.value.hint


@given(st.text(max_size=1_200))
def test_any_text_is_a_puzzle_or_one_of_our_errors(text: str) -> None:
    with suppress(ProblemNotUnderstoodError):
        assert recognise(text).statement


@given(st.text("0123456789 ,;and+*->=usemake24mod().", max_size=1_000))
def test_texts_close_to_statements_are_read_or_refused(text: str) -> None:
    try:
        puzzle = recognise(text)
    except ProblemNotUnderstoodError:
        return
    assert recognise(puzzle.statement) == puzzle


@pytest.mark.parametrize(
    "text",
    [
        "use " + "1 " * 490,
        "use" + " : a" * 240,
        "1 , " * 245,
        "add " + "1 and " * 160 + "mod 9",
        "1 + " * 240 + "mod",
        "how many a in" + " in the word" * 80,
        "the play solve " * 60 + "24",
        "9" * 1_000,
        "make 2 from " + "a " * 490,
    ],
    ids=lambda text: text[:12],
)
def test_hostile_statements_take_no_longer_than_others(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ProblemNotUnderstoodError):
        recognise(text)
    assert time.perf_counter() - start < 0.5


@given(puzzles)
def test_a_problem_carries_its_puzzle(puzzle: Puzzle) -> None:
    problem = to_problem(puzzle, {"level": "4"})
    assert puzzle_of(problem) == puzzle
    assert problem.metadata == {"level": "4", "family": puzzle.name}
    assert problem.answer_kind is puzzle.answer_kind


def test_a_problem_of_no_family_has_no_puzzle() -> None:
    assert puzzle_of(Problem.of("Who are you?")) is None


def test_an_unknown_family_is_refused_with_the_nearest_name() -> None:
    assert family_named("countdown") is Countdown
    with pytest.raises(UnknownNameError) as error:
        family_named("countdwn")
    assert error.value.hint == "did you mean `countdown`?"


def test_every_family_is_listed_under_its_own_name_with_a_working_example() -> None:
    for name, family in FAMILIES.items():
        assert family.name == name
        puzzle = recognise(family.example)
        assert isinstance(puzzle, family)
        assert puzzle.statement == family.example


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_no_family_reads_a_text_that_is_too_long_for_a_statement(family: type[Puzzle]) -> None:
    assert family.parse(family.example + " " * 1_000) is None
    assert family.parse("Say something.") is None


def test_answer_rules_give_equal_answers_one_key() -> None:
    keys = AnswerKeys(ANSWER_RULES)
    game = to_problem(GAME)
    assert keys(game, "(13 - 9) * (10 - 4)") == keys(game, "(10-4)*(13-9)=24")
    assert keys(game, "nonsense") == "text:nonsense"
    assert keys(to_problem(PRODUCT), " 2 4 8 1 7 1") == "248171"
    foreign = Problem.of("Make something nice", AnswerKind.COUNTDOWN)
    assert keys(foreign, " 1 +  2 ") == "text:1 + 2"
    assert keys(Problem.of("How many?", AnswerKind.INTEGER), "1,000") == "1000"
