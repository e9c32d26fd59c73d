"""Generated programming problems: reproducible, stated with examples, graded by hidden ones."""

import ast
from dataclasses import replace

import pytest

from mull.core.errors import BadInputError
from mull.core.problem import AnswerKind
from mull.tasks.code import ENDINGS, LEVELS, OPERATIONS, generate_code, hidden_cases, write_program
from mull.verifiers.examples import examples_in


@pytest.mark.parametrize("level", LEVELS)
def test_equal_seeds_give_equal_problems_and_other_splits_other_ones(level: int) -> None:
    examples = generate_code(level, 2, seed=3, split="test")
    assert examples == generate_code(level, 2, seed=3, split="test")
    train = generate_code(level, 20, seed=3, split="train")
    assert not {each.group for each in train} & {each.group for each in examples}
    assert len({each.id for each in train}) == 20


@pytest.mark.parametrize("level", LEVELS)
def test_a_written_program_does_what_the_hidden_calls_say(level: int) -> None:
    for example in generate_code(level, 10, seed=1):
        space: dict[str, object] = {}
        exec(write_program(example), space)  # noqa: S102  (our own operations)
        assert len(hidden_cases(example)) == 20
        for call, value in hidden_cases(example):
            assert eval(call, space) == value  # noqa: S307


def test_the_statement_shows_examples_and_no_hidden_call() -> None:
    (example,) = generate_code(3, 1, seed=1)
    problem = example.problem
    cases = examples_in(problem)
    assert problem.answer_kind is AnswerKind.CODE
    assert len(cases) == 3
    hidden = {call for call, _ in hidden_cases(example)} - {case.expression for case in cases}
    assert hidden
    assert not any(call in problem.statement for call in hidden)


def test_every_operation_is_the_program_it_is_written_as() -> None:
    for numbers in ([], [3], [2, -5, 2, 8, 0, -5]):
        for each in (*OPERATIONS, *ENDINGS):
            ast.parse(each.source, mode="eval")
            assert each.apply(list(numbers)) == eval(each.source, {"xs": list(numbers)})  # noqa: S307


def test_what_cannot_be_had_is_refused() -> None:
    with pytest.raises(BadInputError, match="no level 9"):
        generate_code(9, 1, seed=0)
    with pytest.raises(BadInputError, match="different train problems of `code` level 1") as raised:
        generate_code(1, 61, seed=0)
    assert raised.value.hint is not None
    (example,) = generate_code(1, 1, seed=0)
    with pytest.raises(BadInputError, match="states no function"):
        write_program(replace(example, group="dance, and return the list"))
