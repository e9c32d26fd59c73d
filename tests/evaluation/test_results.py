"""What is on disk: appended, continued, refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mull.core.errors import BadInputError, PolicyError, StoreError
from mull.core.expansion import Call, Sampling
from mull.evaluation import EvalConfig, ProblemSet, Report, run_directory
from mull.evaluation.results import CONFIG, RESULTS, Result
from mull.policies.scripted import Reply, ScriptedPolicy

Evaluate = Callable[..., Report]
Lines = Callable[[str], list[Result]]

CHILD = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import CONFIG, PLAYER, opening
from mull.evaluation import Bench, evaluate
from mull.verifiers import CountdownChecker

def delay(call, index):
    return 0.01 * (1 + call.branch.seed % 9)

policy = replace(PLAYER, delay=delay)
bench = Bench((CountdownChecker(),), opening(policy), rows=20)
asyncio.run(evaluate(CONFIG, Path({path!r}), bench=bench))
"""


def without_seconds(lines: list[Result]) -> set[Result]:
    return {replace(line, spent=replace(line.spent, seconds=0.0)) for line in lines}


def test_a_killed_run_is_continued_and_ends_as_if_nothing_had_happened(
    config: EvalConfig, run: Evaluate, lines: Lines, tmp_path: Path
) -> None:
    code = CHILD.format(tests=str(Path(__file__).parent), path=str(tmp_path / "killed"))
    child = subprocess.Popen([sys.executable, "-c", code])  # noqa: S603  (our own interpreter)
    results = tmp_path / "killed" / RESULTS
    while not (results.exists() and results.read_bytes().count(b"\n") >= 4):
        assert child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    before = lines("killed")

    run(config, "killed")
    run(config, "whole")

    after = lines("killed")
    assert 4 <= len(before) < len(after)
    assert after[: len(before)] == before
    assert len({line.key for line in after}) == len(after)
    assert without_seconds(after) == without_seconds(lines("whole"))


def test_a_torn_last_line_is_done_again(
    config: EvalConfig, run: Evaluate, lines: Lines, tmp_path: Path
) -> None:
    run(config)
    whole, results = lines("run"), tmp_path / "run" / RESULTS
    results.write_bytes(results.read_bytes()[:-40])
    run(config)
    assert without_seconds(lines("run")) == without_seconds(whole)
    assert results.read_bytes().endswith(b"}\n")


def test_a_finished_run_is_not_drawn_again(
    config: EvalConfig, run: Evaluate, tmp_path: Path
) -> None:
    def refuse(call: Call) -> Reply:
        raise AssertionError(f"{call.branch.id} was drawn again")

    first = run(config)
    again = run(config, policy=ScriptedPolicy(refuse))
    drawn = (first.curves[:-1], again.curves[:-1])  # blind play is played again, and timed
    assert drawn[0] == drawn[1]
    assert first.curves[-1].points == again.curves[-1].points


def test_a_directory_of_another_evaluation_is_refused_by_what_differs(
    config: EvalConfig, run: Evaluate
) -> None:
    run(config)
    others = ProblemSet("countdown", suite="game24", count=5, skip=1)
    other = replace(config, sampling=Sampling(temperature=0.7), problems=others)
    with pytest.raises(BadInputError) as caught:
        run(other)
    assert "`problems.skip` is 0 there and 1 here" in caught.value.message
    assert "`sampling.temperature` is 1.0 there and 0.7 here" in caught.value.message
    assert "--out" in (caught.value.hint or "")


def test_a_directory_may_grow_by_budgets_strategies_and_problems(
    config: EvalConfig, run: Evaluate, lines: Lines
) -> None:
    run(config)
    before = lines("run")
    more = ProblemSet("countdown", suite="game24", count=6)
    wider = replace(config, problems=more, budgets=(1, 32), strategies=("best_of_n", "early_stop"))
    run(wider)
    assert lines("run")[: len(before)] == before
    run(wider, "whole")
    grown = {line.key: line for line in without_seconds(lines("run"))}
    assert {line.key: line for line in without_seconds(lines("whole"))}.items() <= grown.items()


def test_other_weights_under_the_same_name_are_refused(
    config: EvalConfig, run: Evaluate, tmp_path: Path, player: ScriptedPolicy
) -> None:
    run(config)
    results = tmp_path / "run" / RESULTS
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(BadInputError, match=r"of `scripted@1`; `player` is now `scripted@2`"):
        run(config, policy=replace(player, model="scripted@2"))


def test_a_directory_of_other_files_is_left_alone(
    config: EvalConfig, run: Evaluate, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    with pytest.raises(BadInputError, match=r"thesis\.tex"):
        run(config)
    assert [each.name for each in (tmp_path / "run").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", ["", "[]", '{"v": 1}', '{"v":1,"config":{},"models":[]}'])
def test_a_foreign_config_file_is_refused(
    config: EvalConfig, run: Evaluate, tmp_path: Path, content: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / CONFIG).write_text(content)
    with pytest.raises(BadInputError, match="run"):
        run(config)


def test_what_fails_while_a_directory_is_open_is_not_blamed_on_it(
    config: EvalConfig, tmp_path: Path
) -> None:
    with (
        pytest.raises(FileNotFoundError, match="somewhere else"),
        run_directory(tmp_path / "run", config),
    ):
        raise FileNotFoundError(2, "somewhere else")


def test_a_report_that_cannot_be_written_is_said_with_its_place(
    config: EvalConfig, run: Evaluate, tmp_path: Path
) -> None:
    run(config)
    (tmp_path / "run" / "report.html").unlink()
    (tmp_path / "run" / "report.html").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"cannot use .*run`: No space left"):
        run(config)


def test_another_format_is_refused(config: EvalConfig, run: Evaluate, tmp_path: Path) -> None:
    run(config)
    path = tmp_path / "run" / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), "v": 99}))
    with pytest.raises(BadInputError, match="format 99"):
        run(config)


def test_an_edited_line_is_named(config: EvalConfig, run: Evaluate, tmp_path: Path) -> None:
    run(config)
    results = tmp_path / "run" / RESULTS
    first, *rest = results.read_text().splitlines(keepends=True)
    results.write_text("".join([first, '{"arm": 3}\n', *rest]))
    with pytest.raises(StoreError, match=r"line 2 of `results\.jsonl`"):
        run(config)


def test_two_processes_cannot_write_to_one_directory(config: EvalConfig, tmp_path: Path) -> None:
    with (
        run_directory(tmp_path / "run", config),
        pytest.raises(BadInputError, match="another process"),
        run_directory(tmp_path / "run", config),
    ):
        pass


def test_a_path_that_is_no_directory_is_refused(config: EvalConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(BadInputError, match="file"),
        run_directory(tmp_path / "file" / "run", config),
    ):
        pass


def test_samples_that_failed_are_no_wrong_answers(
    config: EvalConfig, run: Evaluate, lines: Lines
) -> None:
    failing = config.problems.examples()[2].id

    def fail_in_the_third_problem(call: Call) -> Reply:
        broken = call.bases[0].problem.id == failing and call.branch.sample == 1
        return Reply(" 1 + 1 = 2", fails_after=0 if broken else None, failure="engine died")

    with pytest.raises(PolicyError, match="engine died"):
        run(config, policy=ScriptedPolicy(fail_in_the_third_problem))
    assert failing not in {line.problem_id for line in lines("run")}


def test_problems_come_from_a_suite_or_a_level_and_exist() -> None:
    assert len(ProblemSet("countdown", suite="game24-hard").examples()) == 100
    five = ProblemSet("multiply", level=2, count=5).examples()
    assert [each.level for each in five] == [2] * 5
    assert five == ProblemSet("multiply", level=2, count=9).examples()[:5]
    rest = ProblemSet("multiply", level=2, count=4, skip=5).examples()
    assert five + rest == ProblemSet("multiply", level=2, count=9).examples()
    hard = ProblemSet("countdown", suite="game24-hard").examples()
    assert ProblemSet("countdown", suite="game24-hard", count=2, skip=97).examples() == hard[97:99]
    with pytest.raises(BadInputError, match="holds no `multiply` problems"):
        ProblemSet("multiply", suite="game24").examples()
    with pytest.raises(BadInputError, match="fewer than 101"):
        ProblemSet("countdown", suite="game24-hard", count=101).examples()
    for suite, level, count in ((None, None, None), ("game24", 4, None), (None, 4, 0)):
        with pytest.raises(BadInputError):
            ProblemSet("countdown", suite, level, count)
