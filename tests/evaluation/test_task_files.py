import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Mull, journal, mull
from replies import scripted

from mull.evaluation.grading import Grading
from mull.tasks import parse_examples

__all__ = ["journal", "mull"]

CHECK = "def check(problem, answer):\n    return answer.endswith(problem.metadata['ends'])\n"
SEVENS = ("It is \\boxed{7}", "So the answer is 7.0.", "I say 8")
SUMS = ("3/4", "It is 0.75", "one")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    problems = [
        {"id": "seven", "prompt": "3 + 4?", "reference": "7", "answer_kind": "integer",
         "metadata": {"ends": "8"}},
        {"prompt": "1/2 + 1/4?", "reference": "\\frac{3}{4}", "answer_kind": "maths",
         "metadata": {"ends": "4"}},
    ]  # fmt: skip
    path.write_text("\n".join([json.dumps(problems[0]), "{oops", json.dumps(problems[1])]))
    return path


def results_in(folder: Path) -> dict[str, dict[str, Any]]:
    """By problem, at the budget of three samples."""
    lines = map(json.loads, (folder / "results.jsonl").read_text().splitlines())
    return {each["problem_id"]: each for each in lines if each.get("budget") == 3}


def test_a_file_of_ones_own_is_a_task(
    mull: Mull, task: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = scripted(tmp_path, {"3 + 4?": SEVENS, "1/2 + 1/4?": SUMS})
    out = tmp_path / "out"
    command = ("eval", task, "--model", model, "--budgets", "3", "--strategies",
               "self_consistency", "--no-baselines", "--out", out, "--json")  # fmt: skip
    ran = mull(*command)
    assert ran.code == 0, ran.err
    by_problem = results_in(out)
    assert by_problem["seven"]["num_right"] == 2
    assert all(each["is_right"] for each in by_problem.values())
    assert len(by_problem) == 2
    assert f"`{task}`, line 2 is left out: Expecting property name" in caplog.text
    assert f"eval {task} --model" in ran.document["command"]

    again = mull(*command)
    assert again.document["curves"] == ran.document["curves"]
    task.write_text(task.read_text().replace('"7"', '"9"'))
    assert mull(*command).code == 2  # another task's results lie there


def test_a_checker_of_ones_own_chooses_and_the_reference_decides(
    mull: Mull, task: Path, tmp_path: Path
) -> None:
    check = tmp_path / "check.py"
    check.write_text(CHECK)
    model = scripted(tmp_path, {"3 + 4?": SEVENS, "1/2 + 1/4?": SUMS})
    ran = mull("eval", task, "--model", model, "--budgets", "3", "--no-baselines", "--verifier",
               f"{check}:check", "--out", tmp_path / "out", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    results = results_in(tmp_path / "out")
    assert results.pop("seven")["is_right"] is False  # the checker likes the wrong one
    assert [each["is_right"] for each in results.values()] == [True]


@pytest.mark.parametrize(
    ("kind", "reference", "completion", "expected"),
    [
        ("text", "Paris", " paris ", True),
        ("text", "Paris", "It is Paris", False),
        ("integer", "1234", "So it is 1,234.", True),
        ("integer", "1234", "1 2 3 4", False),
        ("maths", "1/2", "hence $\\boxed{0.5}$", True),
        ("maths", "1/2", "hence $\\boxed{0.51}$", False),
        ("maths", "1/2", "", False),
    ],
)
def test_an_answer_is_right_if_it_is_the_references_equal(
    kind: str, reference: str, completion: str, expected: bool
) -> None:
    line = {"prompt": "What?", "reference": reference, "answer_kind": kind}
    (example,), _ = parse_examples([json.dumps(line).encode()], "mine.jsonl")
    assert asyncio.run(Grading().grade(example, completion)).is_accepted is expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no.jsonl",), "cannot read the task `no.jsonl`"),
        (("my.json",), "`my.json` is neither a task nor a file of JSON lines"),
        (("cuontdown",), "did you mean `countdown`?"),
        (("{task}", "--level", "3"), "is a file and has neither suites nor levels"),
        (("{task}", "--count", "9"), "has 2 problems, fewer than 9"),
    ],
)
def test_a_task_that_cannot_be_had_is_one_clear_error(
    mull: Mull, task: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    model = scripted(tmp_path)
    named = [each.format(task=task) for each in arguments]
    ran = mull("eval", *named, "--model", model, "--out", tmp_path / "out")
    assert ran.code == 2
    assert message in ran.err
