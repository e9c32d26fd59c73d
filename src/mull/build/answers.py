"""An answer as people write it."""

from mull.core.problem import AnswerKind, Problem
from mull.puzzles import Countdown, puzzle_of
from mull.puzzles.expression import evaluate, parse_expression
from mull.puzzles.reading import joined_integer


def readable_answer(problem: Problem, answer: str) -> str:
    """The answer without the model's way of spelling it.

    A countdown derivation becomes one expression with its value, `(13 - 9) * (10 - 4) = 24`; the
    digits of an integer are joined. What cannot be read stays as it is. Nothing is judged: the
    value shown is the expression's own, whatever was asked for.
    """
    puzzle = puzzle_of(problem)
    if isinstance(puzzle, Countdown):
        return _countdown(puzzle, answer)
    kind = problem.answer_kind if puzzle is None else puzzle.answer_kind
    value = joined_integer(answer) if kind is AnswerKind.INTEGER else None
    return answer if value is None else str(value)


def _countdown(puzzle: Countdown, answer: str) -> str:
    expression = puzzle.expression(answer)
    if expression is None:
        return answer
    value = evaluate(parse_expression(expression))
    return expression if value is None else f"{expression} = {value}"
