"""Judging programs: what crosses the border, cases, and programs that try to seem right."""

import ast
import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from math import comb
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from mull.core.errors import VerifierError
from mull.core.problem import Problem
from mull.core.protocols import Verifier
from mull.core.score import Verdict
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Usage
from mull.verifiers.code import (
    CallCase,
    CodeCases,
    CodeChecker,
    StdioCase,
    UnitTest,
    case_in_assert,
    check_program,
    program_in,
)
from mull.verifiers.consensus import agreement_scores, pass_matrix
from mull.verifiers.sandbox import Ended, Limits, Sandbox
from mull.verifiers.sandbox.inside.plain import Opaque, decode, encode, loads, same_value

DATA: Final = Path(__file__).parents[3] / "shared" / "data"
QUICK: Final = Limits(seconds=1.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncGenerator[Sandbox, None]:
    try:
        opened = await Sandbox.open()
    except VerifierError as error:
        pytest.skip(f"this machine contains no programs: {error}")
    async with opened:
        yield opened


in_module = pytest.mark.asyncio(loop_scope="module")

ATOMS: Final = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5)
    | st.floats(allow_nan=False) | st.complex_numbers(allow_nan=False)
)  # fmt: skip
PLAIN: Final = st.recursive(
    ATOMS | st.frozensets(ATOMS, max_size=3) | st.sets(ATOMS, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(ATOMS, inner, max_size=3)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_data_crosses_the_border_unchanged(value: object) -> None:
    arrived = decode(json.loads(json.dumps(encode(value))))
    assert same_value(arrived, value)
    assert type(arrived) is type(value)


@given(st.recursive(st.none() | st.text(max_size=3) | st.integers(), st.lists, max_leaves=8))
def test_whatever_is_sent_decodes_to_plain_data_or_is_unreadable(shape: object) -> None:
    arrived = loads(json.dumps(shape).encode())
    assert isinstance(arrived, Opaque) or same_value(decode(encode(arrived)), arrived)


def test_an_object_equals_nothing_on_the_other_side() -> None:
    class Everything:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = object.__hash__

    arrived = decode(json.loads(json.dumps(encode(Everything()))))
    assert isinstance(arrived, Opaque)
    assert not same_value(arrived, 5)
    assert isinstance(loads(b"[" * 100_000), Opaque)


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("x = 1", "x = 1"),
        ("Here:\n```python\nx = 1\n```\nand so on", "\nx = 1\n"),
        ("```\nx = 1\n```\nbetter:\n```py\nx = 2\n```", "\nx = 2\n"),
        ("```py\nx = 1\n```\n```py\nx =", "\nx = 1\n"),
        ("", None),
        ("#" * 100_001, None),
    ],
)
def test_the_program_of_a_completion_is_its_last_whole_block(
    completion: str, program: str | None
) -> None:
    assert program_in(completion) == program


def test_an_assert_with_a_literal_is_a_case() -> None:
    assert case_in_assert("assert f(1, [2]) == {'a': (1, 2)}, 'why'") == CallCase(
        "f(1, [2])", {"a": (1, 2)}
    )
    others = (
        "assert f(1)",
        "assert f(1) == g(2)",
        "x = 1",
        "assert",
        "(" * 5_000,
        "assert 1 == \0",
    )
    assert [case_in_assert(other) for other in others] == [None] * len(others)


INC: Final = "def inc(n):\n    return n + 1\n"


@in_module
@pytest.mark.parametrize(
    ("program", "cases", "verdict"),
    [
        (INC, [CallCase("inc(1)", 2), CallCase("inc(-1)", 0)], Verdict.ACCEPT),
        (INC, [CallCase("inc(1)", 2), CallCase("inc(1)", 3)], Verdict.REJECT),
        (INC, [CallCase("inc('a')", 2)], Verdict.REJECT),
        (INC, [CallCase("dec(1)", 0)], Verdict.REJECT),
        ("def inc(n", [CallCase("inc(1)", 2)], Verdict.REJECT),
        ("while True: pass", [CallCase("inc(1)", 2)], Verdict.UNKNOWN),
        (f"{INC}\ninc = lambda n: inc(n)", [CallCase("inc(1)", 2)], Verdict.REJECT),
        ("def inc(n):\n while n: pass\n return 1", [CallCase("inc(1)", 2)], Verdict.UNKNOWN),
        ("print(int(input()) + 1)", [StdioCase("1\n", "2"), StdioCase("5", "6\n")], Verdict.ACCEPT),
        ("print(int(input()) + 1)", [StdioCase("1\n", "3")], Verdict.REJECT),
        ("print(2); raise SystemExit(3)", [StdioCase("1\n", "2")], Verdict.REJECT),
        ("print(open(0).read().upper())", [StdioCase("a\nb", "A\nB")], Verdict.ACCEPT),
        ("input(); input()", [StdioCase("once", "")], Verdict.REJECT),
        ("while True: pass", [StdioCase("", "")], Verdict.UNKNOWN),
        (INC, UnitTest("def check(c):\n    assert c(1) == 2", "inc"), Verdict.ACCEPT),
        (INC, UnitTest("def check(c):\n    assert c(1) == 3", "inc"), Verdict.REJECT),
        (INC, UnitTest("assert inc(1) == two()", "inc", "def two(): return 2"), Verdict.ACCEPT),
        ("def inc(n): raise ValueError", UnitTest("inc(1)", "inc"), Verdict.REJECT),
        ("def inc(n):\n while 1: pass", UnitTest("inc(1)", "inc"), Verdict.UNKNOWN),
        (INC, [], Verdict.UNKNOWN),
        ("#" * 100_001, [CallCase("1", 1)], Verdict.UNKNOWN),
    ],
)  # fmt: skip
async def test_a_program_is_judged_by_its_cases(
    sandbox: Sandbox, program: str, cases: CodeCases, verdict: Verdict
) -> None:
    finding = await check_program(sandbox, program, cases, limits=QUICK)
    assert finding.verdict is verdict, finding


@in_module
async def test_a_test_may_expect_a_built_in_error(sandbox: Sandbox) -> None:
    test = UnitTest("try:\n    f(1)\nexcept KeyError:\n    pass\nelse:\n    raise ValueError", "f")
    finding = await check_program(sandbox, "def f(n): return {}[n]", test, limits=QUICK)
    assert finding.is_accepted, finding


@in_module
async def test_floats_are_equal_within_the_tolerance_asked_for(sandbox: Sandbox) -> None:
    cases = [CallCase("[0.1 + 0.2, (1,)]", [0.3, (1,)])]
    assert not (await check_program(sandbox, "", cases)).is_accepted
    assert (await check_program(sandbox, "", cases, tolerance=1e-9)).is_accepted


CHEATS: Final = {
    "leave early with success": "import os\nos._exit(0)",
    "leave early by an exception": "raise SystemExit(0)",
    "leave when called": "import os\ndef inc(n): os._exit(0)",
    "equal to everything": (
        "class Any(int):\n def __eq__(self, other): return True\n __hash__ = int.__hash__\n"
        "def inc(n): return Any(7)"
    ),
    "an object equal to everything": (
        "class Any:\n def __eq__(self, other): return True\ndef inc(n): return Any()"
    ),
    "comparison patched": (
        "import operator, builtins\noperator.eq = lambda a, b: True\n"
        "builtins.AssertionError = Exception\ndef inc(n): return 7"
    ),
    "write the report": (
        "import os\nfor number in range(3, 9):\n try:\n"
        "  os.write(number, b'{\"value\": true}\\n' * 3)\n except OSError: pass\nos._exit(0)"
    ),
    "patch the test": (
        "import sys\nsys.modules['__main__'].check = lambda c: None\n"
        "def inc(n):\n sys.modules['__main__'].check = lambda c: None\n return 7"
    ),
    "trace the test": "import sys\nsys.settrace(lambda *a: None)\ndef inc(n): return 7",
}  # fmt: skip


@in_module
@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
async def test_a_program_cannot_make_itself_right(sandbox: Sandbox, cheat: str) -> None:
    hidden = "def check(c):\n    assert c(40960) == 40961\n    assert c(1) == 2"
    calls, printed = [CallCase("inc(40960)", 40961)], [StdioCase("", "40961")]
    for cases in (calls, UnitTest(hidden, "inc"), printed):
        finding = await check_program(sandbox, cheat, cases, limits=QUICK)
        assert not finding.is_accepted, finding


SPY: Final = """
import gc, sys
def inc(n):
    seen, frame = [], sys._getframe()
    while frame:
        seen += [*frame.f_locals.values(), *frame.f_globals.values(), frame.f_code.co_consts]
        frame = frame.f_back
    for item in [*seen, *gc.get_objects()]:
        parts = item.values() if isinstance(item, dict) else item
        for part in parts if isinstance(item, (list, tuple, dict, set)) else [item]:
            if isinstance(part, str) and part.startswith("sword") and len(part) > 5:
                return part
"""


@in_module
async def test_a_program_finds_no_expected_value_to_return(sandbox: Sandbox) -> None:
    test = UnitTest("def check(c):\n    assert c(1) == 'swordfish'", "inc")
    for cases in ([CallCase("inc(1)", "swordfish")], test):
        finding = await check_program(sandbox, SPY, cases, limits=Limits(seconds=5.0))
        assert finding.verdict is Verdict.REJECT, finding
    # The spy does find what is there: a value in the expression itself.
    found = await sandbox.evaluate(SPY, ["(inc(1), 'swordfish')"])
    assert found.values[0].value == ("swordfish", "swordfish")


@in_module
async def test_programs_share_nothing(sandbox: Sandbox) -> None:
    await sandbox.run("import math, builtins; math.pi = 3; builtins.print = None; import sys")
    run = await sandbox.run("import math; print(math.pi > 3.1)")
    assert (run.ended, run.stdout, run.is_clean) == (Ended.EXITED, "True\n", True)


@in_module
async def test_the_checker_is_a_verifier(sandbox: Sandbox) -> None:
    def cases_of(problem: Problem) -> CodeCases:
        return [CallCase("inc(1)", 2)] if "inc" in problem.statement else []

    checker: Verifier = CodeChecker(sandbox, cases_of, QUICK)
    problem = Problem.of("write inc")
    right, wrong, empty = (
        Trajectory(problem, (Step(text, kind=StepKind.ANSWER, is_final=True),))
        for text in (f"```python\n{INC}```", "def inc(n): return n", " ")
    )
    begun = Trajectory(problem, (Step(INC, kind=StepKind.ANSWER),))
    other = Trajectory(Problem.of("write"), right.steps)
    scores = await checker.score([right, wrong, empty, begun, other])
    assert [score.verdict for score in scores] == [
        Verdict.ACCEPT, Verdict.REJECT, Verdict.REJECT, Verdict.UNKNOWN, Verdict.UNKNOWN,
    ]  # fmt: skip
    assert str(checker.source) == f"code-checker/{sandbox.level.value}@1"
    assert checker.quote([right]) == Usage()


def rows_of(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no data set `{name}` beside the repository")
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


async def agreement_on_cruxeval(sandbox: Sandbox, rows: Iterable[dict[str, Any]]) -> list[bool]:
    """Whether each recorded verdict is found again; guesses of inputs and of outputs."""

    async def judge(row: dict[str, Any], side: str) -> list[bool]:
        limits = Limits(seconds=6.0, item_seconds=0.5)
        evaluation = await sandbox.evaluate(row["code"], row[f"{side}_samples"], limits)
        expected: object = ast.literal_eval(row["output"])
        found = [
            item.error is None and same_value(item.value, expected) for item in evaluation.values
        ]
        found += [False] * (len(row[f"{side}_samples"]) - len(found))
        return [a == bool(b) for a, b in zip(found, row[f"{side}_correct"], strict=True)]

    judged = [judge(row, side) for row in rows for side in ("input", "output")]
    return [agreed for part in await asyncio.gather(*judged) for agreed in part]


@in_module
async def test_recorded_verdicts_on_guessed_values_are_reproduced(sandbox: Sandbox) -> None:
    rows = rows_of("cruxeval_codellama7b/cruxeval_even.jsonl.gz")
    agreed = await agreement_on_cruxeval(sandbox, rows[::20])
    assert sum(agreed) >= 0.998 * len(agreed), f"{sum(agreed)} of {len(agreed)}"


@in_module
@pytest.mark.full
@pytest.mark.timeout(900)
async def test_all_recorded_verdicts_on_guessed_values_are_reproduced(sandbox: Sandbox) -> None:
    agreed = await agreement_on_cruxeval(
        sandbox, rows_of("cruxeval_codellama7b/cruxeval_even.jsonl.gz")
    )
    assert sum(agreed) >= 0.998 * len(agreed), f"{sum(agreed)} of {len(agreed)}"


def continuation(text: str) -> str:
    """What is left of a sampled function body: it ends where something else begins."""
    stops = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]


async def agreement_on_humaneval(
    sandbox: Sandbox, tasks: Sequence[tuple[dict[str, Any], dict[str, Any]]], *, limit: int | None
) -> tuple[list[bool], list[bool]]:
    """Whether each cell of the pass matrix, and each unit test's verdict, is found again."""

    async def judge(
        row: dict[str, Any], known: dict[str, Any], unique: int
    ) -> Sequence[list[bool]]:
        sample = known["sample_to_unique"].index(unique)
        program = row["prompt"] + continuation(row["solutions"][sample])
        tests: list[str] = known["generated_tests"]
        limits = Limits(seconds=60.0, item_seconds=0.1)
        (cells,) = await pass_matrix(sandbox, [program], tests, limits)
        recorded = bin(int(known["passed_hex"][unique], 16))[3:]
        case = UnitTest(row["test"], row["entry_point"], row["prompt"] + row["canonical_solution"])
        finding = await check_program(sandbox, program, case, limits=Limits(seconds=6.0))
        return (
            [cell == (bit == "1") for cell, bit in zip(cells, recorded, strict=True)],
            [finding.is_accepted == bool(known["unit_test_pass"][unique])],
        )

    judged = await asyncio.gather(
        *(
            judge(row, known, unique)
            for row, known in tasks
            for unique in range(len(known["unit_test_pass"]))[:limit]
        )
    )
    return [cell for cells, _ in judged for cell in cells], [unit for _, (unit,) in judged]


def humaneval_tasks() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    samples = rows_of("codet_humaneval/humaneval_codegen16b_even.jsonl.gz")
    return list(zip(samples, rows_of("codet_humaneval/exec_reference_even.jsonl.gz"), strict=True))


@in_module
async def test_recorded_test_results_of_sampled_programs_are_reproduced(sandbox: Sandbox) -> None:
    tasks = humaneval_tasks()[:24:6]
    cells, units = await agreement_on_humaneval(sandbox, tasks, limit=6)
    assert sum(cells) >= 0.99 * len(cells), f"{sum(cells)} of {len(cells)}"
    assert sum(units) >= len(units) - 1, f"{sum(units)} of {len(units)}"


@in_module
@pytest.mark.full
@pytest.mark.timeout(3_600)
async def test_all_recorded_test_results_of_sampled_programs_are_reproduced(
    sandbox: Sandbox,
) -> None:
    cells, units = await agreement_on_humaneval(sandbox, humaneval_tasks(), limit=None)
    assert sum(cells) >= 0.995 * len(cells), f"{sum(cells)} of {len(cells)}"
    assert sum(units) >= 0.99 * len(units), f"{sum(units)} of {len(units)}"


def test_agreement_weighs_programs_against_the_tests_they_pass() -> None:
    two_alike, alone, best_alone = [True, True, False], [False, True, True], [True, True, True]
    scores = agreement_scores([two_alike, alone, two_alike, best_alone])
    assert scores == [2 * 2**0.5, 2.0, 2 * 2**0.5, 3.0]
    assert agreement_scores([]) == []
    with pytest.raises(ValueError, match="every test"):
        agreement_scores([[True], [True, False]])


@in_module
async def test_equal_programs_are_run_once_and_reported_each(sandbox: Sandbox) -> None:
    tests = ["assert inc(1) == 2", "assert inc(1) == 3", "assert ("]
    rows = await pass_matrix(sandbox, [INC, "inc = None", INC, "1 / 0"], tests)
    assert rows == [[True, False, False], [False] * 3, [True, False, False], [False] * 3]


def test_consensus_finds_right_programs_more_often_than_a_sample_is_right() -> None:
    """On recorded results, so that no program runs: one sample 23.5 %, pass@10 54.2 %."""
    single, chosen, any_of_ten = 0.0, 0.0, 0.0
    known = rows_of("codet_humaneval/exec_reference_even.jsonl.gz")
    for task in known:
        right = [bool(task["unit_test_pass"][unique]) for unique in task["sample_to_unique"]]
        bits = [bin(int(task["passed_hex"][unique], 16))[3:] for unique in task["sample_to_unique"]]
        scores = agreement_scores([[bit == "1" for bit in row] for row in bits])
        best = [ok for ok, score in zip(right, scores, strict=True) if score == max(scores)]
        chosen += sum(best) / len(best)
        single += sum(right) / len(right)
        wrong = len(right) - sum(right)
        any_of_ten += 1 - comb(wrong, 10) / comb(len(right), 10)
    assert 100 * single / len(known) == pytest.approx(23.5, abs=0.1)
    assert 100 * any_of_ten / len(known) == pytest.approx(54.2, abs=0.5)
    assert 100 * chosen / len(known) >= 38.0
