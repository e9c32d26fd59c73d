"""The expression grammar, its exact values and its equality classes."""

# ruff: noqa: RUF001  (typographic signs are part of what is tested)

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.puzzles.expression import (
    OPERATORS,
    Expression,
    ExpressionError,
    Leaf,
    Operation,
    canonical,
    combine,
    evaluate,
    leaves,
    parse_expression,
    render,
)


def _operations(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.builds(Operation, st.sampled_from(OPERATORS), inner, inner)


expressions: st.SearchStrategy[Expression] = st.recursive(
    st.builds(Leaf, st.integers(0, 999)), _operations, max_leaves=12
)


@given(expressions)
def test_what_is_rendered_reads_back_as_the_same_tree(expression: Expression) -> None:
    assert parse_expression(render(expression)) == expression
    assert parse_expression(render(expression).replace(" ", "")) == expression


@given(expressions)
def test_values_are_those_of_python_fractions(expression: Expression) -> None:
    def value(tree: Expression) -> Fraction:
        if isinstance(tree, Leaf):
            return Fraction(tree.value)
        left, right = value(tree.left), value(tree.right)
        match tree.operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right

    try:
        expected = value(expression)
    except ZeroDivisionError:
        expected = None
    assert evaluate(expression) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("2+3*4", 14),
        ("(2+3)*4", 20),
        ("10-4-3", 3),
        ("16/4/2", 2),
        ("8/(3-8/3)", 24),
        ("((((5))))", 5),
        ("2 × 3 ÷ 4 − 1·5", Fraction(-7, 2)),
        ("1/3+1/6", Fraction(1, 2)),
    ],
)
def test_precedence_and_association_are_those_of_arithmetic(
    text: str, value: int | Fraction
) -> None:
    assert evaluate(parse_expression(text)) == value


@pytest.mark.parametrize("text", ["1/0", "5/(3-3)", "0/(2*0)"])
def test_a_zero_divisor_gives_no_value(text: str) -> None:
    assert evaluate(parse_expression(text)) is None
    assert combine("/", Fraction(1), Fraction(0)) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no expression"),
        ("1+", "ends where a number"),
        ("(1+2", "not closed"),
        ("1+2)", "`)` follows"),
        ("1 2", "`2` follows"),
        ("2**3", "`*` stands where"),
        ("2^3", "`^` follows"),
        ("-1+2", "`-` stands where"),
        ("()", "`)` stands where"),
        ("1.5", "`.` follows"),
        ("abs(1)", "`a` stands where"),
        ("٣+٤", "`٣` stands where"),
        ("²", "`²` stands where"),
        ("1234567890", "more than 9 digits"),
        ("+".join("1" * 17), "more than 16 numbers"),
        ("(" * 25 + "1" + ")" * 25, "deeper than 24"),
        ("__import__('os')", "`_` stands where"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse_expression(text)
    assert reason in str(error.value)


@given(st.text(max_size=500) | st.text("0123456789+-*/() ", max_size=500))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        expression = parse_expression(text)
    except ExpressionError:
        return
    assert len(list(leaves(expression))) <= 16


@pytest.mark.parametrize(
    "same",
    [
        ["(13 - 9) * (10 - 4)", "(10 - 4) * (13 - 9)"],
        ["1 + 2 + 3", "3 + (2 + 1)", "(2 + 3) + 1"],
        ["1 - 2 + 3", "3 + 1 - 2", "1 - (2 - 3)", "3 - (2 - 1)"],
        ["6 / 2 * 4", "4 * 6 / 2", "6 / (2 / 4)", "4 / (2 / 6)"],
        ["2 * (3 + 4) * 5", "5 * 2 * (4 + 3)"],
    ],
    ids=lambda same: same[0],
)
def test_commuted_and_regrouped_expressions_are_one_class(same: list[str]) -> None:
    assert len({canonical(parse_expression(text)) for text in same}) == 1


def test_equal_values_by_different_means_are_different_classes() -> None:
    texts = [
        "2 * 12",
        "4 * 6",
        "(9 - 13) * (4 - 10)",
        "(13 - 9) * (10 - 4)",
        "24",
        "24 / 1",
        "24 * 1",
    ]
    assert len({canonical(parse_expression(text)) for text in texts}) == len(texts)


@given(expressions)
def test_equal_classes_have_equal_values(expression: Expression) -> None:
    """The key is itself an expression, so its value can be compared."""
    value = evaluate(expression)
    if value is not None:
        assert evaluate(parse_expression(canonical(expression))) == value


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_any_order_of_a_sum_is_one_class(terms: list[int], rng: Random) -> None:
    shuffled = rng.sample(terms, len(terms))
    keys = {canonical(parse_expression("+".join(map(str, order)))) for order in (terms, shuffled)}
    assert len(keys) == 1
