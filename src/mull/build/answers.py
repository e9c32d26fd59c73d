"""Answers: when two are the same, and how people write them."""

from mull.core.answers import AnswerKey, AnswerKeys
from mull.core.problem import AnswerKind, Problem
from mull.puzzles import ANSWER_RULES, Countdown, puzzle_of
from mull.puzzles.expression import evaluate, parse_expression
from mull.puzzles.reading import integer_key, joined_integer
from mull.verifiers.code import program_in
from mull.verifiers.maths import extract_answer, maths_key


def answer_keys() -> AnswerKey:
    """When two answers are the same: the rules of the built-in families, of maths, else as text."""
    own = {AnswerKind.INTEGER: _integer, AnswerKind.MATHS: maths_key, AnswerKind.CODE: _program}
    return AnswerKeys({**ANSWER_RULES, **own})


def _integer(problem: Problem, text: str) -> str | None:
    """Models of our families write nothing but the integer; any other states it in its prose."""
    if puzzle_of(problem) is not None:
        return integer_key(text)
    return maths_key(problem, text) or integer_key(text)


def _program(problem: Problem, text: str) -> str | None:  # noqa: ARG001  (the seam's signature)
    """Programs are the same letter by letter, whatever is said around them."""
    program = program_in(text)
    return None if program is None else program.strip()


def readable_answer(problem: Problem, answer: str) -> str:
    """The answer without the model's way of spelling it.

    A countdown derivation becomes one expression with its value, `(13 - 9) * (10 - 4) = 24`; the
    digits of an integer are joined; a solution in prose becomes the answer it states. What cannot
    be read stays as it is. Nothing is judged: the
    value shown is the expression's own, whatever was asked for.
    """
    puzzle = puzzle_of(problem)
    if isinstance(puzzle, Countdown):
        return _countdown(puzzle, answer)
    kind = problem.answer_kind if puzzle is None else puzzle.answer_kind
    value = joined_integer(answer) if kind is AnswerKind.INTEGER else None
    if value is not None:
        return str(value)
    is_prose = puzzle is None and kind in {AnswerKind.INTEGER, AnswerKind.MATHS}
    stated = extract_answer(answer) if is_prose else None
    return answer if stated is None else stated.text


def _countdown(puzzle: Countdown, answer: str) -> str:
    expression = puzzle.expression(answer)
    if expression is None:
        return answer
    value = evaluate(parse_expression(expression))
    return expression if value is None else f"{expression} = {value}"
