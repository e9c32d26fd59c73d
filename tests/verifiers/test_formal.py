"""Claims: read by our own grammar, computed exactly where closed, else proved in a process."""

import asyncio
from collections.abc import AsyncGenerator
from fractions import Fraction
from importlib.util import find_spec

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from mull.core.errors import BadInputError
from mull.core.score import Verdict
from mull.verifiers.formal import ClaimError, FormalChecker, Prover, closed_value, parse_claims

HAS_Z3 = find_spec("z3") is not None
needs_z3 = pytest.mark.skipif(not HAS_Z3, reason="needs the extra `formal` (z3-solver)")
in_module = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def formal() -> AsyncGenerator[FormalChecker, None]:
    async with FormalChecker(Prover(size=1, seconds=10.0)) as shared:
        yield shared


def value_of(text: str) -> object:
    (formula,) = parse_claims(text).formulas
    return closed_value(formula)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4", Fraction(14)),
        ("-2^2", Fraction(-4)),
        ("(1 + 2) / 4 - 0.75", Fraction(0)),
        ("7 % 3", Fraction(1)),
        ("1 < 2 <= 2 != 3", True),
        ("1 < 2 < 2", False),
        ("2 \u00d7 3 \u2265 6 \u2227 \u00ac (1 = 2)", True),
        ("true -> false", False),
        ("1 = 2 implies 2 = 3 iff true", True),
        ("not not (1 = 1) or 1 = 2", True),
        ("false -> false -> false", True),
        ("distinct(1, 2, 3 - 2)", False),
        ("2 ** 3 == 8.", True),
        ("x + 1 = 1 + x", None),
        ("1 / 0 = 1", None),
        ("5 % 0 = 1", None),
        ("1.5 % 1 = 0.5", None),
        ("true + 1 = 2", None),
        ("1 & 2", None),
        ("((10^16)^16)^16 > 0", None),
    ],
)
def test_a_closed_claim_has_its_exact_value(text: str, value: object) -> None:
    assert value_of(text) == value


@given(st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({''.join(t)})"),
    max_leaves=12,
))  # fmt: skip
def test_sums_and_products_are_those_of_python(text: str) -> None:
    assert value_of(text) == eval(text)  # noqa: S307  (digits, signs and brackets of our making)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is no claim"),
        ("__import__('os').system('true')", "is not of this grammar"),
        ("x.y = 1", "is not of this grammar"),
        ("import os", "`os` follows a complete claim"),
        ("x = ", "it ends too early"),
        ("(x = 1", "a `)` is missing"),
        ("x = * 2", "`*` stands where a value should"),
        ("x ^ y", "an exponent is a whole number up to 16"),
        ("2 ^ 999999999999999999999", "an exponent is a whole number"),
        ("1" * 31, "more than 30 digits"),
        ("(" * 80 + "1" + ")" * 80, "nests deeper than 60"),
        ("1" + "+1" * 1_100, "more than 1000 operations"),
        ("x" * 4_001, "at most 4000 are read"),
        ("int 3", "a declaration lists names"),
    ],
)
def test_what_is_no_claim_says_why(text: str, reason: str) -> None:
    with pytest.raises(ClaimError) as raised:
        parse_claims(text)
    assert reason in str(raised.value)


@given(st.text(max_size=200) | st.text("xpq01 ()+-*/^=<>!&|;,not", max_size=200))
def test_any_text_is_a_claim_or_one_of_our_errors(text: str) -> None:
    try:
        claims = parse_claims(text)
    except ClaimError:
        return
    for formula in claims.formulas:
        closed_value(formula)


PROOFS = [
    ("x > 1", "x = 2", Verdict.ACCEPT, "proved"),
    ("x > 3", "x = 2", Verdict.REJECT, "false where x = 2"),
    ("q", "p; p -> q", Verdict.ACCEPT, "proved"),
    ("q", "p -> q", Verdict.REJECT, "false where"),
    ("x^2 >= 0", "", Verdict.ACCEPT, "proved"),
    ("x % 2 = 0 | x % 2 = 1", "int x", Verdict.ACCEPT, "proved"),
    ("int x; x % 2 = 0 | x % 2 = 1", "", Verdict.ACCEPT, "proved"),
    ("x % 2 = 0", "x > 0", Verdict.UNKNOWN, "declare them"),
    ("x / 2 = 0.5", "x = 1", Verdict.ACCEPT, "proved"),
    ("x = 5", "x = 1; x = 2", Verdict.UNKNOWN, "contradicts itself"),
    ("x / y = x / y + 1", "y = 0", Verdict.UNKNOWN, "contradicts itself"),
    ("p = 1", "p & q", Verdict.UNKNOWN, "not of truth values"),
    ("p & 1", "", Verdict.UNKNOWN, "joins truth values"),
    ("bool p q; p = q", "p; q", Verdict.ACCEPT, "proved"),
    ("distinct(a, b)", "int a b; 1 <= a; a < b", Verdict.ACCEPT, "proved"),
    ("hello there", "x = 1", Verdict.UNKNOWN, "not understood"),
    ("int x; x = 1", "x > 0; x < 2", Verdict.UNKNOWN, "`x` belongs to the premises"),
    ("bool a b c; a = b | b = c | a = c", "a = a; b = b; c = c", Verdict.UNKNOWN, "premises"),
    ("a = b | b = c | (a & !a)", "a != c", Verdict.UNKNOWN, "not numbers"),
    ("x > 0 & 1 / x = 1 / x", "x >= 0", Verdict.UNKNOWN, "zero"),
    ("x != 0", "x = 0 | y = 1 / x", Verdict.UNKNOWN, "divided by zero"),
    ("x = 0.2", "1 / x = 5", Verdict.ACCEPT, "proved"),
    ("x != 0 -> x / x = 1", "x >= 0", Verdict.ACCEPT, "proved"),
    ("x / x = 2", "x >= 0", Verdict.REJECT, "false where"),
    ("2 + 2 = 4; 1 < 2", "", Verdict.ACCEPT, "it is true"),
    ("2 + 2 = 5", "", Verdict.REJECT, "it is false"),
]  # fmt: skip


@in_module
@needs_z3
@pytest.mark.parametrize(("claim", "premises", "verdict", "reason"), PROOFS)
async def test_a_claim_is_proved_refuted_or_not_known(
    formal: FormalChecker, claim: str, premises: str, verdict: Verdict, reason: str
) -> None:
    finding = await formal.check(claim, premises)
    assert finding.verdict is verdict, finding
    assert reason in finding.reason


@in_module
@needs_z3
async def test_what_z3_cannot_decide_in_time_is_unknown_and_costs_nobody_else() -> None:
    async with FormalChecker(Prover(size=1, seconds=0.5)) as hasty:
        fermat = "int a b c; a > 0 & b > 0 & c > 0 -> a^3 + b^3 != c^3"
        slow, quick = await asyncio.gather(
            hasty.check(fermat, "x = 1"), hasty.check("x > 0", "x = 1")
        )
    assert slow.verdict is Verdict.UNKNOWN
    assert quick.verdict is Verdict.ACCEPT


@in_module
@pytest.mark.skipif(HAS_Z3, reason="z3 is installed")
async def test_without_the_extra_an_open_claim_says_what_to_install(formal: FormalChecker) -> None:
    with pytest.raises(BadInputError) as raised:
        await formal.check("x > 1", "x = 2")
    assert raised.value.hint == "install it with `pip install 'mull[formal]'`"
    assert (await formal.check("1 < 2")).is_accepted
