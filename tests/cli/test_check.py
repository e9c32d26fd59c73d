"""`mull check`: verdicts, exit codes, and what is refused."""

import json
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mull
from mull.build import CHECKS
from mull.cli.app import run
from mull.cli.check import EXAMPLES
from mull.core.score import Verdict

CLAUSES = "Given: p or q; not q or r; not p or r. Does r follow?"
CASES = [
    ("maths", r"so it is \boxed{0.5}", "1/2", 0, "accept: the same number [exact]"),
    ("maths", "the answer is 3", "4", 1, "reject: another number [exact]"),
    ("maths", "$9^{9^{9^9}}$", "1", 4, "unknown: it is a tower of powers [filter]"),
    ("text", " Ada  Lovelace", "ada lovelace", 0, "accept: the same answer [key]"),
    ("integer", "so 1,000", "1000", 0, "accept: the same answer [key]"),
    ("integer", "nothing", "7", 1, "reject: another answer [key]"),
    ("text", " ", "7", 1, "reject: it gives no answer [key]"),
    ("formal", "2 + 2 = 4", "", 0, "accept: it is true [exact]"),
    ("formal", "what?", "", 4, "unknown: not understood"),
    ("countdown", "(10 - 4) * (13 - 9)", "make 24 from 4 9 10 13", 0, "accept: "),
    ("puzzle", "yes", CLAUSES, 1, "reject: `r` is not derived [rules]"),
    ("entailment", "p or q, not q or r => p or r\nnot p or r, p or r => r\nyes", CLAUSES, 0, "acc"),
]  # fmt: skip


@pytest.mark.parametrize(
    "example",
    [line for line in EXAMPLES.splitlines() if line.startswith("mull check") and "<" not in line],
)
def test_the_examples_in_the_help_are_accepted(example: str) -> None:
    if "formal" in example and not find_spec("z3"):
        pytest.skip("needs the extra `formal` (z3-solver)")
    assert run(shlex.split(example)[1:]) == 0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_is_checked_and_the_exit_code_says_how_it_went(
    case: tuple[str, str, str, int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    kind, answer, against, code, says = case
    assert run(["check", answer, "--against", against, "--kind", kind]) == code
    assert capsys.readouterr().out.startswith(says)


def test_the_verdict_can_be_read_by_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "7", "--against", "8", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "version": 1, "kind": "check", "verdict": "reject", "reason": "another number",
        "method": "exact", "answer_kind": "maths",
    }  # fmt: skip


def test_an_answer_can_come_from_standard_input() -> None:
    from mull.cli import app_for  # noqa: PLC0415

    words = ["check", "-", "--against", "7"]
    shown = CliRunner().invoke(app_for(words), words, input="it is 7\n")
    assert shown.exit_code == 0
    assert shown.output.startswith("accept")
    broken = CliRunner().invoke(app_for(words), words, input=b"\xff")
    assert "standard input is no UTF-8 text" in str(broken.exception)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("x", "--against", "y", "--kind", "mathz"), "no kind of answer `mathz`"),
        (("x", "--against", "", "--kind", "text"), "the reference is empty"),
        (("x", "--against", "y", "--kind", "code"), "must be lines of the form `assert"),
        (("x", "--against", "(", "--kind", "code"), "the tests are no Python"),
        (("x", "--against", "y", "--kind", "sql"), "a query is checked on a database"),
        (("x", "--against", "y", "--kind", "sql", "--database", "no.db"), "no database `no.db`"),
        (("x", "--against", "what is it?", "--kind", "logic"), "none of the problems"),
    ],
)
def test_what_cannot_be_checked_against_is_bad_input(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_query_is_checked_on_a_database_made_by_a_script(tmp_path: Path) -> None:
    script = tmp_path / "cities.sql"
    script.write_text("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);")
    query = "```sql\nSELECT a FROM t ORDER BY a DESC\n```"
    finding = mull.check(query, against="SELECT a FROM t", kind="sql", database=script)
    assert finding.verdict is Verdict.ACCEPT
    assert mull.check("", against="SELECT a FROM t", kind="sql", database=script).verdict is (
        Verdict.REJECT
    )


async def test_inside_a_loop_it_is_awaited() -> None:
    assert (await mull.check_async("it is 7", against="7")).is_accepted
    with pytest.raises(mull.BadInputError, match="would block the event loop"):
        mull.check("7", against="7")


def test_a_program_is_checked_in_a_sandbox_that_is_named() -> None:
    try:
        finding = mull.check(
            "def double(n):\n    return 2 * n", against="assert double(2) == 4", kind="code"
        )
    except mull.MullError as error:
        pytest.skip(f"this machine contains no programs: {error}")
    assert finding.is_accepted
    assert finding.method in {"sandbox/bubblewrap", "sandbox/strict"}
    empty = mull.check("", against="assert double(2) == 4", kind="code")
    assert (empty.verdict, empty.reason) == (Verdict.REJECT, "it holds no program")


def test_a_missing_extra_is_named() -> None:
    if find_spec("math_verify") is not None:
        pytest.skip("math-verify is installed")
    with pytest.raises(mull.BadInputError) as raised:
        mull.check(r"\sqrt{8}", against=r"2\sqrt{2}")
    assert "mull[math]" in (raised.value.hint or "")


def test_every_kind_is_listed_in_the_help() -> None:
    from mull.cli import app_for  # noqa: PLC0415

    shown = CliRunner().invoke(app_for(["check"]), ["check", "--help"], env={"COLUMNS": "300"})
    assert all(kind in shown.output for kind in CHECKS)
