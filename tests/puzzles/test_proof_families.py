"""Families whose answers carry their own proof: what their rules say, line by line."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.core.errors import ProblemNotUnderstoodError
from mull.puzzles import Entailment, Logic, Plan, Puzzle, recognise
from mull.puzzles.constraint import NEIGHBOURS
from mull.puzzles.entailment import Clause, Literal
from mull.tasks.entailment import write_proof

JUGS = Plan((3, 5), 4)
FOUR = ("fill 5", "pour 5 into 3", "empty 3", "pour 5 into 3", "fill 5", "pour 5 into 3")
DIFFER = recognise(Logic.example)
OPEN = recognise("Given: p or q; not q or r. Does r follow?")
CLOSED = recognise("Given: p or q; not q or r; not p or r. Does r follow?")
GIVEN = recognise("Fill the grid 1_3_ / _4__ / __4_ / 4__1")


@pytest.mark.parametrize(
    ("puzzle", "answer"),
    [
        (JUGS, "\n".join(FOUR)),
        (JUGS, "Fill the 5 litre jug\nPour 5 to 3\nempty 3\npour 5 into 3\nfill 5\npour 5 into 3."),
        (DIFFER, "A knight\nB knave"),
        (DIFFER, "<think> hm </think> B is a knave and A is a knight."),
        (OPEN, "no: p true, q false, r false"),
        (OPEN, "No. p=true, q=false, r=false"),
        (GIVEN, "1234 / 3412 / 2143 / 4321"),
        (GIVEN, "1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1"),
        (CLOSED, "p or q, not q or r => p or r\nnot p or r, p or r => r\nyes"),
        (CLOSED, "q or p, r or not q => r or p\np or r; not p or r => r\nYes."),
    ],
)  # fmt: skip
def test_a_right_answer_is_accepted(puzzle: Puzzle, answer: str) -> None:
    assert puzzle.check_answer(answer).accepted, puzzle.check_answer(answer)


@pytest.mark.parametrize(
    ("puzzle", "answer", "reason"),
    [
        (JUGS, "fill 5", "no jug holds 4; the jugs hold 0/3, 5/5"),
        (JUGS, "fill 5\nfill 5", "`fill 5` changes nothing"),
        (JUGS, "fill 4", "no jug of 4 litres"),
        (JUGS, "pour 5 into 5", "pours a jug into itself"),
        (JUGS, "take 4 litres", "is no step"),
        (JUGS, "fill 5\nempty 5\n" * 60, "at most 100 steps"),
        (JUGS, " ", "there is no plan"),
        (JUGS, "<think> fill 5", "there is no plan"),
        (DIFFER, "A knight\nB knight", "`A says: A and B differ.` is said by a knight"),
        (DIFFER, "A knave\nB knave", "`B says: A is a knave.` is said by a knave, but true"),
        (DIFFER, "A knight", "does not say what B is"),
        (DIFFER, "A knight\nA knave", "decides on A again"),
        (DIFFER, "C knight", "there is no C"),
        (DIFFER, "both lie", "is not of the form"),
        (DIFFER, "", "there is no answer"),
        (OPEN, "no: p true, q true, r false", "`not q or r` is false there"),
        (OPEN, "no: p true, q true, r true", "`r` is true there"),
        (OPEN, "no: p true", "no value to q"),
        (OPEN, "no", "neither `yes` nor `no` with values"),
        (OPEN, "yes", "`r` is not derived"),
        (OPEN, "p or q, not q or r => r\nyes", "`r` is no resolvent"),
        (OPEN, "p, not p or r => r\nyes", "`p` is not known"),
        (OPEN, "so r\nyes", "is not of the form"),
        (OPEN, "p or q, not q or r => p or r\n" * 50 + "yes", "`r` is not derived"),
        (OPEN, "", "there is no answer"),
        (GIVEN, "1234 / 3412 / 2143 / 432", "is no digit such as"),
        (GIVEN, "r1c2 = 2", "cells are blank"),
        (GIVEN, "r1c2 = 1", "repeats a digit"),
        (GIVEN, "r1c1 = 2", "r1c1 already holds 1"),
        (GIVEN, "2134 / 3412 / 1243 / 4321", "r1c1 is given as 1"),
        (GIVEN, "1133 / 3412 / 2143 / 4321", "1 is repeated beside r1c1"),
        (GIVEN, "<think> 1", "there is no answer"),
        (GIVEN, "x" * 3_000, "longer than"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_rejected_with_the_rule_it_breaks(
    puzzle: Puzzle, answer: str, reason: str
) -> None:
    ruling = puzzle.check_answer(answer)
    assert not ruling.accepted
    assert reason in ruling.reason


@pytest.mark.parametrize(
    ("puzzle", "done", "line", "key"),
    [
        (JUGS, FOUR[:2], FOUR[2], "0/3, 2/5"),
        (GIVEN, (), " r1c2 = 2", "123_ / _4__ / __4_ / 4__1"),
        (DIFFER, ("B knave",), "A knight", "A knight, B knave"),
        (OPEN, (), "p or q, not q or r => p or r", "not q or r; p or q; p or r"),
        (OPEN, (), "no: p true, q false, r false", "no: p true, q false, r false"),
    ],
)
def test_a_legal_step_leads_to_its_state(
    puzzle: Puzzle, done: tuple[str, ...], line: str, key: str
) -> None:
    assert puzzle.check_step(done, line).accepted
    assert puzzle.state_key((*done, line)) == key


@pytest.mark.parametrize(
    ("puzzle", "done", "line"),
    [
        (JUGS, (), "empty 3"),
        (GIVEN, ("r1c2 = 2",), "r1c4 = 2"),
        (DIFFER, ("A knight",), "B knight"),
        (OPEN, (), "yes"),
        (OPEN, ("p, q => r",), "p or q, not q or r => p or r"),
        (CLOSED, (), "p or q, not p or r => q"),
    ],
)
def test_an_illegal_step_leads_nowhere(puzzle: Puzzle, done: tuple[str, ...], line: str) -> None:
    assert not puzzle.check_step(done, line).accepted
    assert puzzle.state_key((*done, line)) is None


@pytest.mark.parametrize(
    ("puzzle", "first", "second"),
    [
        (JUGS, "fill 5", "Fill  5."),
        (GIVEN, "r1c2 = 2\nr1c4 = 4", "r1c4: 4\nr1c2 is 2"),
        (DIFFER, "B knave, A knight", "A is a knight\nB is a knave"),
        (OPEN, "no: p true, q false, r false", "no: p false, q true, r true"),
    ],
)
def test_equal_answers_share_a_key(puzzle: Puzzle, first: str, second: str) -> None:
    assert puzzle.answer_key(first) == puzzle.answer_key(second)
    assert puzzle.answer_key("fill 4\nhm") == "text:fill 4 hm"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Measure 4 litres with jugs of 3, 3 and 5 litres", "2 to 4 jugs of different sizes"),
        ("Measure 4 litres with jugs of 3 and 500 litres", "`500` is outside 1 to 99"),
        ("Fill the grid 11__ / ____ / ____ / ____", "repeats a digit"),
        (DIFFER.statement.replace("B says", "A says"), "must be 2 to 6"),
        (DIFFER.statement.replace("differ", "dance"), "is no claim"),
        ("Given: p or not p; q. Does q follow?", "none with a letter both ways"),
    ],
)
def test_a_statement_out_of_bounds_says_why(text: str, reason: str) -> None:
    with pytest.raises(ProblemNotUnderstoodError, match=reason):
        recognise(text)


def test_every_cell_has_seven_neighbours_and_is_a_neighbour_of_each() -> None:
    assert all(len(others) == 7 for others in NEIGHBOURS)
    assert all(cell in NEIGHBOURS[other] for cell in range(16) for other in NEIGHBOURS[cell])


LITERALS = st.tuples(st.sampled_from("pqr"), st.booleans())
CLAUSES = st.frozensets(LITERALS, min_size=1, max_size=3).filter(
    lambda clause: not any((letter, not plainly) in clause for letter, plainly in clause)
)


@given(st.lists(CLAUSES, min_size=1, max_size=5), LITERALS)
def test_an_accepted_answer_is_true_in_every_row_of_the_truth_table(
    clauses: list[Clause], goal: Literal
) -> None:
    puzzle = Entailment(tuple(clauses), goal)
    rows = [dict(zip("pqr", row, strict=True)) for row in product((False, True), repeat=3)]
    models = [row for row in rows if all(any(row[a] == b for a, b in each) for each in clauses)]
    follows = all(row[goal[0]] == goal[1] for row in models)
    if models:
        answer = write_proof(puzzle, "reasoning")
        assert puzzle.check_answer(answer).accepted
        assert puzzle.answer_key(answer) == ("yes" if follows else "no")
    for row in rows:
        said = ", ".join(f"{letter} {str(value).lower()}" for letter, value in row.items())
        refuted = puzzle.check_answer(f"no: {said}").accepted
        assert refuted == (row in models and row[goal[0]] != goal[1])
