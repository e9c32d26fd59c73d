"""Generated programming problems: stated with examples, graded by hidden cases."""

import ast
from dataclasses import replace
from random import Random

import pytest

from mull.core.errors import BadInputError
from mull.core.problem import AnswerKind
from mull.puzzles import puzzle_of
from mull.tasks import Example, generate, sample_text, write_trace
from mull.tasks.code import ENDINGS, LEVELS, OPERATIONS
from mull.verifiers.code import cases_in, program_in
from mull.verifiers.examples import examples_in


def right_program(example: Example) -> str:
    return program_in(write_trace(example, "direct", Random(0))) or ""


@pytest.mark.parametrize("level", LEVELS)
def test_a_written_program_does_what_the_hidden_calls_say(level: int) -> None:
    for example in generate("code", level, 10, seed=1):
        space: dict[str, object] = {}
        exec(right_program(example), space)  # noqa: S102  (our own operations)
        cases = cases_in(example.reference)
        assert len(cases) == 20
        for case in cases:
            assert eval(case.expression, space) == case.expected  # noqa: S307


@pytest.mark.parametrize("level", LEVELS)
def test_there_are_a_hundred_held_out_problems_of_every_level(level: int) -> None:
    examples = generate("code", level, 100, seed=0, split="test")
    assert len({each.group for each in examples}) == 100


def test_one_function_is_one_problem_whatever_the_seed() -> None:
    first, second = (generate("code", 2, 100, seed=seed, split="test") for seed in (0, 1))
    ids = {each.group: each.id for each in first}
    shared = [each for each in second if each.group in ids]
    assert shared
    assert all(ids[each.group] == each.id for each in shared)


def test_the_statement_shows_examples_and_no_hidden_call() -> None:
    (example,) = generate("code", 3, 1, seed=1)
    problem = example.problem
    cases = examples_in(problem)
    assert problem.answer_kind is AnswerKind.CODE
    assert puzzle_of(problem) is None
    assert len(cases) == 3
    hidden = {case.expression for case in cases_in(example.reference)}
    hidden -= {case.expression for case in cases}
    assert hidden
    assert not any(call in problem.statement for call in hidden)


def test_a_sampled_text_is_a_statement_and_its_program() -> None:
    statement, completion = sample_text("code", 2, "direct", Random(3))
    assert statement.startswith("Write a Python function `solve(xs)`")
    ast.parse(program_in(completion) or "?")


def test_every_operation_is_the_program_it_is_written_as() -> None:
    assert len({each.words for each in OPERATIONS}) == len(OPERATIONS)
    for numbers in ([], [3], [2, -5, 2, 8, 0, -5], list(range(-10, 10))):
        for each in (*OPERATIONS, *ENDINGS):
            ast.parse(each.source, mode="eval")
            assert each.apply(list(numbers)) == eval(each.source, {"xs": list(numbers)})  # noqa: S307


def test_what_cannot_be_had_is_refused() -> None:
    with pytest.raises(BadInputError, match="no level 9"):
        generate("code", 9, 1, seed=0)
    (example,) = generate("code", 2, 1, seed=0)
    with pytest.raises(BadInputError, match="states no function"):
        write_trace(replace(example, group="dance, and return the list"), "direct", Random(0))
