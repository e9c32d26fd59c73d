"""Programs in an evaluation: chosen by what the statement shows, judged by what it hides."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from cli.conftest import Mull, journal, mull
from refusal import NOTHING_CONTAINS, under
from replies import scripted

from mull.core.errors import VerifierError
from mull.tasks import Example, generate, write_trace
from mull.verifiers.examples import examples_in
from mull.verifiers.sandbox import Sandbox

__all__ = ["journal", "mull"]

FIRST, SECOND = generate("code", 2, 2, seed=0, split="test")
GREEDY = "HOARD = bytearray(10**10)\n\ndef solve(xs):\n    return xs\n"


def right(example: Example) -> str:
    return f"I think so:\n{write_trace(example, 'direct', Random(0))}\nDone."


def cheat(example: Example) -> str:
    """What knows the shown calls by heart and nothing else."""
    shown = {
        case.expression[len("solve(") : -1]: case.expected for case in examples_in(example.problem)
    }
    return f"```python\ndef solve(xs):\n    return {shown!r}.get(str(xs), 0)\n```"


@pytest.fixture
def contained() -> None:
    async def probe() -> None:
        async with await Sandbox.open(num_slots=1):
            pass

    try:
        asyncio.run(probe())
    except VerifierError as error:
        pytest.skip(f"this machine contains no programs: {error}")


def evaluate(
    mull: Mull, folder: Path, replies: Mapping[str, Sequence[str]], *words: str
) -> dict[str, Any]:
    model = scripted(folder, replies)
    ran = mull("eval", "code", "--count", "2", "--model", model, "--budgets", "1,3",
               *words, "--out", folder / "out", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    lines = map(json.loads, (folder / "out" / "results.jsonl").read_text().splitlines())
    return {
        f"{each['arm'].rpartition('/')[2]} {each['budget']} {each['problem_id']}": each
        for each in lines
    }


@pytest.mark.usefixtures("contained")
def test_shown_calls_choose_among_programs_and_hidden_calls_judge_them(
    mull: Mull, tmp_path: Path
) -> None:
    replies = {
        FIRST.problem.statement: ("I cannot.", cheat(FIRST), right(FIRST)),
        SECOND.problem.statement: ("```\nnot python\n```", "", right(SECOND)),
    }
    results = evaluate(mull, tmp_path, replies)
    fooled, found = (results[f"best_of_n 3 {each.id}"] for each in (FIRST, SECOND))
    assert (fooled["is_right"], fooled["num_right"]) == (False, 1)  # the cheat came first
    assert (found["is_right"], found["num_right"]) == (True, 1)
    assert fooled["value"] == found["value"] == 1.0
    vote = results[f"self_consistency 3 {SECOND.id}"]
    assert (vote["has_answer"], vote["is_right"]) == (True, False)


@pytest.mark.usefixtures("contained")
def test_a_program_that_runs_into_its_limit_is_neither_right_nor_wrong(
    mull: Mull, tmp_path: Path
) -> None:
    replies = {
        FIRST.problem.statement: (GREEDY, right(FIRST)),
        SECOND.problem.statement: (right(SECOND),),
    }
    results = evaluate(mull, tmp_path, replies, "--verifier", "none", "--no-baselines")
    cut = results[f"best_of_n 1 {FIRST.id}"]
    assert (cut["is_right"], cut["ungraded"]) == (False, ["the program raises MemoryError"])
    report = (tmp_path / "out" / "report.html").read_text()
    assert "2 answers could not be graded and count as not right" in report
    assert "(mostly: the program raises MemoryError)" in report


REFUSED: Final = """
from mull.cli import run
from mull.evaluation.grading import Grading
from mull.tasks import generate
print(run({command!r}))
(example,) = generate("code", 2, 1, seed=0, split="test")
async def main():
    async with Grading() as grading:
        print(await grading.grade(example, "def solve(xs): return 0"))
asyncio.run(main())
"""


def test_where_nothing_contains_programs_nothing_is_spent_and_nothing_is_judged(
    tmp_path: Path,
) -> None:
    model, out = scripted(tmp_path, {FIRST.problem.statement: (right(FIRST),)}), tmp_path / "out"
    command = ["eval", "code", "--count", "1", "--model", model, "--out", str(out)]
    ended = under(NOTHING_CONTAINS, REFUSED.format(command=command))
    code, finding = ended.stdout.splitlines()
    assert code == "3", ended
    assert "no program can be run safely here" in ended.stderr
    assert "install `bubblewrap`" in ended.stderr
    assert (out / "results.jsonl").read_text() == ""
    assert "Verdict.UNKNOWN" in finding
    assert "no program can be run safely here" in finding


DOUBLE: Final = "Write `double(n)`.\n\n>>> double(2)\n4"


@pytest.mark.usefixtures("contained")
def test_programs_of_ones_own_file_are_judged_by_its_tests(
    mull: Mull, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = tmp_path / "mine.jsonl"
    problem = {"prompt": DOUBLE, "answer_kind": "code"}
    tests = ["assert double(3) == 6\nassert double('ab') == 'abab'", "double(3) is six"]
    lines = [{**problem, "id": f"p{place}", "reference": each} for place, each in enumerate(tests)]
    task.write_text("\n".join(map(json.dumps, lines)))
    model = scripted(tmp_path, {DOUBLE: ("def double(n): return 4", "def double(n): return 2 * n")})
    ran = mull("eval", task, "--model", model, "--budgets", "1,2", "--verifier", "none",
               "--no-baselines", "--out", tmp_path / "out", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    assert "`p1` is left out: the tests must be lines of the form" in caplog.text
    (result,) = map(json.loads, (tmp_path / "out" / "results.jsonl").read_text().splitlines()[:1])
    assert (result["problem_id"], result["num_answers"], result["is_right"]) == ("p0", 1, False)
    (point,) = [each for each in ran.document["curves"][0]["points"] if each["n"] == 2]
    assert point["pass_at_k"]["value"] == 1.0
