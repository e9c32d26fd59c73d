import pytest
from replies import EXPRESSION, GAME, PRODUCT, RIGHT, WRONG

from mull import AnswerKind, Problem, readable_answer


@pytest.mark.parametrize(
    ("statement", "answer", "readable"),
    [
        (GAME, RIGHT, EXPRESSION),
        (GAME, WRONG, "(13 + 9) + (10 - 4) = 28"),
        (GAME, " ( 13 - 9 ) * ( 10 - 4 )", "(13 - 9) * (10 - 4) = 24"),
        (GAME, "no idea", "no idea"),
        (GAME, "10 / (13 - 9 - 4)", "10 / ((13 - 9) - 4)"),
        (PRODUCT, "2 4 8 1 7 1", "248171"),
        (PRODUCT, "many", "many"),
        ("Say something.", "4 2", "4 2"),
    ],
)
def test_an_answer_is_written_as_people_write_it(
    statement: str, answer: str, readable: str
) -> None:
    assert readable_answer(Problem.of(statement), answer) == readable


def test_an_integer_is_one_whatever_was_asked() -> None:
    assert readable_answer(Problem.of("How many?", AnswerKind.INTEGER), "4 2") == "42"
