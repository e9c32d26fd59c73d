"""The text that models are trained on, to the byte; all of it is right by the rules."""

from random import Random

import pytest

from mull.core.errors import BadInputError, UnknownNameError
from mull.core.problem import Problem
from mull.puzzles import FAMILIES, Chain, Countdown, Letters, Multiply, Puzzle, recognise
from mull.puzzles.reading import split_completion
from mull.tasks import TASKS, Example, Form, Split, generate, grade, sample_text, write_trace
from mull.tasks.chain import write_steps
from mull.tasks.countdown import write_walk
from mull.tasks.example import example_of
from mull.tasks.letters import write_count
from mull.tasks.multiply import write_product
from mull.tasks.walk import Move

LEVELS = [(name, level) for name in FAMILIES for level in TASKS[name].levels]
FORMS: list[Form] = ["reasoning", "direct"]
WALK = [
    Move(13, "-", 9, 4, (4, 4, 10)),
    Move(10, "-", 4, 6, (4, 6)),
    Move(6, "*", 4, 24, (24,)),
]


def test_a_countdown_derivation_is_exactly_this() -> None:
    assert write_walk((4, 9, 10, 13), WALK, "reasoning") == (
        " 13 - 9 = 4 left 4 4 10\n 10 - 4 = 6 left 4 6\n 6 * 4 = 24"
    )


def test_a_countdown_expression_is_exactly_this() -> None:
    assert write_walk((4, 9, 10, 13), WALK, "direct") == " ( 10 - 4 ) * ( 13 - 9 )"


def test_a_long_multiplication_is_exactly_this() -> None:
    assert write_product(847, 293, "reasoning") == (
        "<think> 8 4 7 * 2 9 3\n"
        " 8 4 7 * 3 = 2 5 4 1\n"
        " 8 4 7 * 9 0 = 7 6 2 3 0\n"
        " 8 4 7 * 2 0 0 = 1 6 9 4 0 0\n"
        " 2 5 4 1 + 7 6 2 3 0 = 7 8 7 7 1\n"
        " 7 8 7 7 1 + 1 6 9 4 0 0 = 2 4 8 1 7 1\n"
        "</think> 2 4 8 1 7 1"
    )
    assert write_product(847, 293, "direct") == "<think></think> 2 4 8 1 7 1"


@pytest.mark.parametrize(
    ("left", "right", "text"),
    [
        (847, 0, "<think> 8 4 7 * 0\n 8 4 7 * 0 = 0\n</think> 0"),
        (47, 6, "<think> 4 7 * 6\n 4 7 * 6 = 2 8 2\n</think> 2 8 2"),
        (
            847,
            203,
            "<think> 8 4 7 * 2 0 3\n 8 4 7 * 3 = 2 5 4 1\n 8 4 7 * 0 0 = 0\n"
            " 8 4 7 * 2 0 0 = 1 6 9 4 0 0\n 2 5 4 1 + 0 = 2 5 4 1\n"
            " 2 5 4 1 + 1 6 9 4 0 0 = 1 7 1 9 4 1\n</think> 1 7 1 9 4 1",
        ),
        (
            12,
            30,
            "<think> 1 2 * 3 0\n 1 2 * 0 = 0\n 1 2 * 3 0 = 3 6 0\n 0 + 3 6 0 = 3 6 0\n"
            "</think> 3 6 0",
        ),
    ],
    ids=str,
)
def test_zeros_and_single_digits_are_written_out(left: int, right: int, text: str) -> None:
    assert write_product(left, right, "reasoning") == text


def test_a_chain_is_exactly_this() -> None:
    steps = [(57, 33, 90, [12, 90, 90]), (90, 12, 5, [5, 90]), (90, 5, 95, [95])]
    numbers = (57, 33, 90, 12)
    assert write_steps(numbers, steps, "reasoning") == (
        "<think> 57 + 33 = 90 left 12 90 90\n 90 + 12 = 5 left 5 90\n 90 + 5 = 95\n</think> 95"
    )
    assert write_steps(numbers, steps, "direct") == "<think></think> 95"


def test_a_letter_count_is_exactly_this() -> None:
    assert write_count(Letters("r", "strawberry"), "reasoning") == (
        "<think> s 0\n t 0\n r 1\n a 1\n w 1\n b 1\n e 1\n r 2\n r 3\n y 3\n</think> 3"
    )
    assert write_count(Letters("r", "strawberry"), "direct") == "<think></think> 3"


def _check_every_line(puzzle: Puzzle, completion: str) -> None:
    cut = split_completion(completion)
    lines = cut.lines or tuple(completion.split("\n"))
    assert all(puzzle.check_step(lines[:index], line).accepted for index, line in enumerate(lines))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_every_sampled_text_is_right_by_the_rules(
    name: str, level: int, form: Form, split: Split
) -> None:
    rng = Random(level)
    for _ in range(25):
        statement, completion = sample_text(name, level, form, rng, split)
        puzzle = recognise(statement)
        assert (puzzle.name, puzzle.statement) == (name, statement)
        assert puzzle.check_answer(completion).accepted
        if form == "reasoning":
            _check_every_line(puzzle, completion)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_every_trace_of_an_example_is_graded_right(name: str, level: int, form: Form) -> None:
    rng = Random(level)
    for example in generate(name, level, 6, seed=3, split="test"):
        completion = write_trace(example, form, rng)
        assert grade(example, completion)
        assert not grade(_with_other_reference(example), completion)
        if form == "reasoning":
            puzzle = recognise(example.problem.statement)
            _check_every_line(puzzle, completion)


def _with_other_reference(example: Example) -> Example:
    return Example(
        example.problem,
        str(int(example.reference) + 1),
        example.task,
        example.level,
        example.split,
        example.group,
    )


def test_traces_of_one_example_differ_by_the_random_source_alone() -> None:
    (example,) = generate("countdown", 5, 1, seed=1)
    traces = {write_trace(example, "reasoning", Random(seed)) for seed in range(20)}
    assert len(traces) > 1
    assert write_trace(example, "reasoning", Random(4)) in traces


def _countdown(numbers: tuple[int, ...], target: int) -> Example:
    puzzle = Countdown(numbers, target)
    return example_of(puzzle, reference=target, level=len(numbers), split="test", group="")


def test_a_countdown_that_needs_fractions_has_no_trace() -> None:
    with pytest.raises(BadInputError, match="no solution in whole numbers"):
        write_trace(_countdown((3, 3, 8, 8), 24), "reasoning", Random(0))


@pytest.mark.parametrize("task", sorted(TASKS))
def test_an_example_of_another_family_has_no_trace(task: str) -> None:
    foreign = Multiply(2, 3) if task != "multiply" else Chain((1, 2, 3))
    example = Example(_example_problem(foreign), "6", task, 3, "test", "")
    with pytest.raises(BadInputError, match="states no"):
        write_trace(example, "reasoning", Random(0))


def _example_problem(puzzle: Puzzle) -> Problem:
    return example_of(puzzle, reference=0, level=1, split="test", group="").problem


def test_a_countdown_grader_rejects_what_states_no_countdown() -> None:
    example = Example(_example_problem(Multiply(2, 3)), "6", "countdown", 3, "test", "")
    assert not grade(example, "2 * 3")


def test_names_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="no task `chains`"):
        sample_text("chains", 2, "direct", Random(0))
    with pytest.raises(UnknownNameError, match="no form `cot`"):
        sample_text("chain", 2, "cot", Random(0))  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="no split `dev`"):
        generate("chain", 2, 1, seed=0, split="dev")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="no level 11") as error:
        generate("chain", 11, 1, seed=0)
    assert error.value.hint == "use a level from 2 to 10"
