"""Finding the final answer, and comparing it without algebra."""

import pytest

from mull.core.answers import AnswerKey
from mull.core.problem import Problem
from mull.core.score import Verdict
from mull.verifiers.maths import Asked, compare_exactly, extract_answer, maths_key
from mull.verifiers.maths.limits import why_too_large

NOBODY_ASKED = Asked()


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"so $x = \boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"\boxed{1} was a guess, but no: \boxed{2}", "2"),
        (r"the roots are $\boxed{1}$ and $\boxed{2}$", "1, 2"),
        (r"\boxed{7", "7"),
        (r"\boxed 7", "7"),
        (r"it is not \boxed{5}", None),
        (r"\boxed{4} it is. It is certainly not \boxed{5}", "4"),
        ("The answer is 12.", "12"),
        ("x^2 + 2x - 1", "x^2 + 2x - 1"),
        ("(x - 1)(x + 1)", "(x - 1)(x + 1)"),
        ("x/2", "x/2"),
        ("2x apples", "2"),
        ("a) 5", "5"),
        ("5 m", "5"),
        ("12 - 5", "5"),
        ("**ANSWER: 717**", "717"),
        ("The final answer is:\n\\[ 27 \\]", "27"),
        ("the answer to the question is $3$ or $4$", "3, 4"),
        ("The answer is not $5$", None),
        ("the answer isn't 5 but the answer is 6", "6"),
        ("The answer is 3, and I hope that the answer is correct", "3"),
        ("so 5 is wrong. The wrong answer is 5. #### 8", "8"),
        ("The answer is: she walks home in 3 hours that day.", "3"),
        (r"\boxed{3}, no wait, the answer is 4", "4"),
        ("we get 3, then 1,234.50", "1,234.50"),
        ("not it's not 10 it's 1,000.99m", "1,000.99"),
        ("AZYUK2A", None),
        ("$1$, $2$, $3$", "1, 2, 3"),
        ("<think>the answer is 3</think>The answer is 4", "4"),
        ("<think>the answer is 3", None),
        ("the answer is 4 <think> or \\boxed{9}?", "4"),
        (r"\boxed{6}" + "babble " * 3_000, "6"),
        ("", None),
        ("I do not know.", None),
        ("East", "East"),
        ("(C).", "(C)"),
        ("**Yes**", "Yes"),
    ],
)
def test_the_final_answer_is_found(completion: str, answer: str | None) -> None:
    found = extract_answer(completion)
    assert (found.text if found else None) == answer


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("1,000", "1000"),
        (r"32,\! 349", "32349"),
        ("0.50", r"\frac{1}{2}"),
        (r"\dfrac{1}{3}", "1/3"),
        (r"-\frac{10}{9}", "-10/9"),
        (r"12\frac{3}{5}", "63/5"),
        ("1.5e3", r"15 \times 10^{2}"),
        ("x = 5", "5"),
        ("007", "7"),
        (".4", "0.4"),
        ("1,22", "1.22"),
        ("5 or 5.0", "5"),
        ("28%", "0.28"),
        ("28 pct", r"28\%"),
        (r"\$18", "18"),
        ("18 dollars", r"\$18"),
        (r"90^\circ", "90"),
        (r"15\mbox{ cm}^2", r"15 \text{ square centimeters}"),
        ("100 cm", "1 m"),
        (r"\text{(C)}", r"\text{C}"),
        ("Evelyn", r"\text{Evelyn}"),
        ("2.5 million", "2500000"),
        ("yes", "Yes"),
    ],
)
def test_equal_answers_need_no_algebra(answer: str, reference: str) -> None:
    finding = compare_exactly(answer, reference, NOBODY_ASKED)
    assert finding is not None
    assert finding.verdict is Verdict.ACCEPT, finding


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("7", "8"),
        ("-5", "5"),
        ("1/3", "1/4"),
        ("0.5", "0.4"),
        ("5 or 6", "5"),
        ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10", "5"),
        ("5 cm", "5 m"),
        ("5 seconds", "5 m"),
        ("28%", "2800"),
        (r"\text{(B)}", r"\text{C}"),
        (r"\text{Evelyn}", r"\text{Briana}"),
        ("12", r"\text{Evelyn}"),
    ],
)
def test_other_numbers_units_and_words_are_rejected(answer: str, reference: str) -> None:
    finding = compare_exactly(answer, reference, NOBODY_ASKED)
    assert finding is not None
    assert finding.verdict is Verdict.REJECT, finding


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        (r"\sqrt{8}", r"2\sqrt{2}"),
        ("0.3333", r"\frac{1}{3}"),
        ("(1, 2)", "(1,2)"),
        ("4t", "4"),
        ("x+1", "1+x"),
        (r"3 \pm 1", "2, 4"),
    ],
)
def test_what_needs_algebra_or_rounding_is_left_open(answer: str, reference: str) -> None:
    assert compare_exactly(answer, reference, NOBODY_ASKED) is None


def test_an_unknown_unit_is_unknown() -> None:
    finding = compare_exactly("5 apples", "5 pears", NOBODY_ASKED)
    assert finding is not None
    assert finding.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("statement", "answer", "reference", "verdict"),
    [
        ("What percent of them are children?", "20", r"20\%", Verdict.ACCEPT),
        ("What percent of them are children?", "20%", "20", Verdict.ACCEPT),
        ("What is half of ten?", "5%", "5", Verdict.REJECT),
        ("What is half of a tenth?", "5%", "0.05", Verdict.ACCEPT),
        ("How long is it in centimeters?", "5 m", "5", Verdict.REJECT),
        ("How long is it in centimeters?", "5 m", "500", Verdict.ACCEPT),
        ("How long is it in centimeters?", "500", "500", Verdict.ACCEPT),
        ("How many minutes does she walk?", "1 hour", "60", Verdict.ACCEPT),
        ("How many minutes does she walk?", "60 hours", "60", Verdict.REJECT),
    ],
)
def test_units_and_percentages_follow_the_problem(
    statement: str, answer: str, reference: str, verdict: Verdict
) -> None:
    finding = compare_exactly(answer, reference, Asked.of(statement))
    assert finding is not None
    assert finding.verdict is verdict, finding


def test_votes_for_one_value_share_a_key_however_written() -> None:
    key: AnswerKey = maths_key
    problem = Problem.of("How many?")
    half = {key(problem, text) for text in (r"\boxed{\frac12}", "The answer is 0.5", "#### 1/2")}
    assert half == {"= 1/2"}
    assert (
        key(problem, r"\boxed{x + 1}") == key(problem, r"\boxed{x+1}") != key(problem, r"\boxed{X}")
    )
    assert key(problem, "no idea") is None
    assert key(problem, r"\boxed{9^{9^{9^9}}}") == "9^{9^{9^9}}"


@pytest.mark.parametrize(
    "text",
    ["9^{9^{9^{9}}}", "9**9**9**9", "10^{10^8}", "2^{100000}", "1000000!", r"\binom{100000000}{5}",
     r"\sum_{n=1}^{1000000000} n", "(" * 60 + ")" * 60, "1" * 2_001],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_what_is_too_large_is_not_tried(text: str) -> None:
    assert why_too_large(text) is not None


@pytest.mark.parametrize("text", ["x^{2}+y^{2}", "2^{10}", "10!", r"\frac{1}{2^{100}}", "e^{-x^2}"])
def test_ordinary_answers_are_small_enough(text: str) -> None:
    assert why_too_large(text) is None
