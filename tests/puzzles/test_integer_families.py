"""Long multiplication, modular chains and letter counts: lines, answers, states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.puzzles import Chain, Letters, Multiply, Puzzle

PRODUCT = Multiply(847, 293)
PRODUCT_LINES = [
    " 8 4 7 * 2 9 3",
    " 8 4 7 * 3 = 2 5 4 1",
    " 8 4 7 * 9 0 = 7 6 2 3 0",
    " 8 4 7 * 2 0 0 = 1 6 9 4 0 0",
    " 2 5 4 1 + 7 6 2 3 0 = 7 8 7 7 1",
    " 7 8 7 7 1 + 1 6 9 4 0 0 = 2 4 8 1 7 1",
]
SUM = Chain((57, 33, 90, 12))
SUM_LINES = [" 57 + 33 = 90 left 12 90 90", " 90 + 12 = 5 left 5 90", " 90 + 5 = 95"]
COUNT = Letters("r", "strawberry")
COUNT_LINES = [
    f" {letter} {count}" for letter, count in zip("strawberry", "0011111233", strict=True)
]
CASES = [(PRODUCT, PRODUCT_LINES, "248171"), (SUM, SUM_LINES, "95"), (COUNT, COUNT_LINES, "3")]


@pytest.mark.parametrize(("puzzle", "lines", "answer"), CASES, ids=lambda value: str(value)[:12])
def test_every_line_of_the_written_form_is_legal_in_its_place(
    puzzle: Puzzle, lines: list[str], answer: str
) -> None:
    for index, line in enumerate(lines):
        assert puzzle.check_step(lines[:index], line).accepted
        assert puzzle.check_step(lines[:index], f"{line}\n").accepted
    assert puzzle.check_step([], f"<think>{lines[0]}").accepted
    assert not puzzle.check_step([], lines[1]).accepted
    assert not puzzle.check_step(lines, lines[-1]).accepted
    assert not puzzle.check_step(["?"], lines[0]).accepted
    assert not puzzle.check_step([], lines[0].replace(" ", "\n")).accepted
    body = "\n".join(lines)
    for text in (
        answer,
        f" {' '.join(answer)}",
        f"<think>{body}\n</think> {answer}",
        f"<think></think>{answer}",
    ):
        assert puzzle.check_answer(text).accepted
        assert puzzle.answer_key(text) == answer
    assert not puzzle.check_answer(f"<think>{body}\n").accepted
    assert puzzle.answer_key(f"<think>{body}\n") is None


@pytest.mark.parametrize(("puzzle", "lines", "answer"), CASES, ids=lambda value: str(value)[:12])
def test_wrong_and_unreadable_answers_are_rejected(
    puzzle: Puzzle, lines: list[str], answer: str
) -> None:
    for text in (
        str(int(answer) + 1),
        f"-{answer}",
        f"{answer}.0",
        "",
        "lots",
        "٣",
        "9" * 100,
        "1" * 10**6,
    ):
        assert not puzzle.check_answer(text).accepted
    assert puzzle.answer_key("lots  of") == "text:lots of"
    assert puzzle.answer_key("0" * 3 + answer) == answer
    assert puzzle.answer_key(" ") is None
    assert len(puzzle.answer_key("1" * 10**6) or "") < 3_000


@pytest.mark.parametrize(
    ("puzzle", "done", "line", "reason"),
    [
        (PRODUCT, [], " 8 4 7 * 2 9 4", "should be about 847 * 293"),
        (PRODUCT, PRODUCT_LINES[:1], " 8 4 7 * 3 = 2 5 4 2", "false arithmetic"),
        (PRODUCT, PRODUCT_LINES[:1], " 8 4 7 * 3", "false arithmetic"),
        (PRODUCT, PRODUCT_LINES[:2], PRODUCT_LINES[3], "should be about 847 * 90"),
        (PRODUCT, [], "8" * 100, "not a line of long multiplication"),
        (PRODUCT, PRODUCT_LINES, PRODUCT_LINES[-1], "follows the last line"),
        (SUM, [], " 57 + 33 = 91 left 12 90 91", "false arithmetic"),
        (SUM, [], " 57 + 34 = 91 left 12 33 90", "`34` is not at hand"),
        (SUM, [], " 57 + 57 = 17 left 12 33 90", "`57` is not at hand"),
        (SUM, [], " 57 + 33 = 90 left 12 90", "lists the wrong numbers"),
        (SUM, [], " 57 * 33 = 90 left 12 90 90", "not a line of the form"),
        (COUNT, [], " s 1", "should count 0"),
        (COUNT, [], " t 0", "should be about `s`"),
        (COUNT, [], " s zero", "not a letter of the word"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_an_illegal_line_is_rejected_with_the_reason(
    puzzle: Puzzle, done: list[str], line: str, reason: str
) -> None:
    ruling = puzzle.check_step(done, line)
    assert not ruling.accepted
    assert reason in ruling.reason
    assert puzzle.state_key([*done, line]) is None


def test_zero_digits_and_one_digit_operands_have_their_lines() -> None:
    lines = [" 4 7 * 1 0", " 4 7 * 0 = 0", " 4 7 * 1 0 = 4 7 0", " 0 + 4 7 0 = 4 7 0"]
    zero_in_a_higher_place = [
        " 8 * 2 0 5",
        " 8 * 5 = 4 0",
        " 8 * 0 0 = 0",
        " 8 * 2 0 0 = 1 6 0 0",
        " 4 0 + 0 = 4 0",
        " 4 0 + 1 6 0 0 = 1 6 4 0",
    ]
    for puzzle, scheme in (
        (Multiply(47, 10), lines),
        (Multiply(8, 205), zero_in_a_higher_place),
        (Multiply(47, 6), [" 4 7 * 6", " 4 7 * 6 = 2 8 2"]),
    ):
        for index, line in enumerate(scheme):
            assert puzzle.check_step(scheme[:index], line).accepted
        assert puzzle.state_key(scheme) == f"line {len(scheme)}"
        assert not puzzle.check_step(scheme, scheme[-1]).accepted


def test_chain_states_are_what_is_left_and_the_others_where_one_is() -> None:
    assert SUM.state_key([]) == "12 33 57 90"
    assert SUM.state_key([" 57 + 33 = 90 left 12 90 90"]) == "12 90 90"
    assert SUM.state_key([" 33 + 57 = 90"]) == "12 90 90"
    assert PRODUCT.state_key(PRODUCT_LINES[:2]) == "line 2"
    assert COUNT.state_key(COUNT_LINES[:2]) == "letter 2"


@given(st.sampled_from([PRODUCT, SUM, COUNT]), st.text(max_size=300))
def test_hostile_text_never_raises(puzzle: Puzzle, text: str) -> None:
    assert not puzzle.check_step([], text + "!").accepted
    puzzle.check_step([text], text)
    puzzle.state_key([text])
    puzzle.answer_key(text)
    assert puzzle.check_answer(text).accepted <= any(digit in text for digit in "935")


@pytest.mark.parametrize(
    "says",
    [
        "**248171**",
        "$248171$.",
        "847 * 293 = 248171",
        "847 * 293 = **248,171**.",
        "The product is **248,171**.",
        "Let me see.\n847 times 293 makes 248171.",
        r"So it is $\boxed{248171}$",
    ],
)
def test_prose_of_other_models_states_its_last_number(says: str) -> None:
    assert PRODUCT.check_answer(says).accepted
    assert PRODUCT.answer_key(says) == "248171"


@pytest.mark.parametrize(
    "says",
    [
        "It is not 248171",
        "It isn't 248171.",
        "It is 248170 or 248171",
        "It is 248171.5",
        "It is -248171",
        "248171, I think, but maybe 7",
        "8 4 7 * 2 9 3 = 2 4 8 1 7 1 +",
        "= 248171",
        "2 4 8 1 7 1 x",
        "no idea",
        "so " * 1_000 + "248171",
    ],
)
def test_what_is_denied_hedged_or_garbled_states_nothing_right(says: str) -> None:
    assert not PRODUCT.check_answer(says).accepted
    assert PRODUCT.answer_key(says) != "248171"
