"""`mull eval` and `mull demo` as a person types them, on scripted replies."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from replies import scripted

from mull.build import open_model
from mull.cli import run
from mull.cli.demo import Story, Try
from mull.evaluation.demo import HARD_GAMES
from mull.evaluation.results import RESULTS
from mull.puzzles import Countdown
from mull.tasks import suite_named
from mull.tasks.countdown import winning_walk
from mull.tasks.walk import random_walk, write_moves

Mull = Callable[..., tuple[int, str, str]]


def solution(game: Countdown) -> str:
    return write_moves(winning_walk(game, Random(0)))


def blunder(game: Countdown) -> str:
    """A legal derivation of something else."""
    walks = (random_walk(game.numbers, Random(seed)) for seed in range(100))
    return write_moves(next(walk for walk in walks if walk[-1].result != game.target))


def games(path: Path, **said: Callable[[Countdown], list[str]]) -> str:
    """A model that plays every hard game: as it is told, or wrong, wrong, wrong and then right."""
    replies = dict[str, list[str]]()
    for example in suite_named("game24-hard"):
        game = Countdown(tuple(map(int, example.group.split())), 24)
        replies[game.statement] = said.get("play", _third_time_lucky)(game)
    return scripted(path, replies)


def _third_time_lucky(game: Countdown) -> list[str]:
    return [*[blunder(game)] * 3, solution(game)]


@pytest.fixture
def mull(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Mull:
    monkeypatch.chdir(tmp_path)

    def mull(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return mull


# mull eval


def test_an_evaluation_prints_its_table_and_leaves_a_report(mull: Mull, tmp_path: Path) -> None:
    model = games(tmp_path)
    code, out, err = mull(
        "eval", "countdown", "--suite", "game24-hard", "--count", 6, "--model", model,
        "--budgets", "1,3,4", "--out", "run", "--figure", "docs/figure.svg",
    )  # fmt: skip
    assert code == 0, err
    assert "countdown game24-hard: 6 problems" in out
    best = out[out.index("best of n") : out.index("self consistency")].splitlines()
    assert [line.split()[:3] for line in best[2:5]] == [
        ["1", "0.0", "%"],
        ["3", "0.0", "%"],
        ["4", "100.0", "%"],
    ]
    # a vote of 4 follows the three that are wrong in the same way
    vote = out[out.index("self consistency") : out.index("greedy")].splitlines()
    assert vote[4].split()[:3] == ["4", "0.0", "%"]
    assert "blind legal play" in out
    assert "6 of 6 problems" in err
    assert sorted(each.name for each in Path("run").iterdir()) == [
        "bank", "config.json", "figure.svg", "report.html", "results.jsonl", "summary.json",
    ]  # fmt: skip
    assert Path("docs/figure.svg").read_text() == Path("run/figure.svg").read_text()


def test_json_is_one_document_with_the_command_that_repeats_it(mull: Mull, tmp_path: Path) -> None:
    model = games(tmp_path)
    asked = (
        "eval",
        "countdown",
        "--count",
        2,
        "--model",
        model,
        "--budgets",
        "1,4",
        "--no-baselines",
    )
    code, out, _ = mull(*asked, "--json")
    document: dict[str, Any] = json.loads(out)
    assert (code, document["kind"]) == (0, "evaluation")
    assert len(document["curves"]) == 1
    assert Path(document["directory"]).parent == Path("runs/eval")
    again = document["command"].split()
    assert again[:2] == ["mull", "eval"]
    results = Path(document["directory"]) / RESULTS
    before = results.read_bytes()
    assert mull(*again[1:])[0] == 0  # the same run: nothing is drawn again
    assert results.read_bytes() == before


def test_guides_are_named_for_all_searches_or_for_one(mull: Mull, tmp_path: Path) -> None:
    code, out, err = mull(
        "eval", "countdown", "--count", 1, "--model", games(tmp_path), "--budgets", "4",
        "--strategies", "beam,beam+guide=oracle,best_of_n+verifier=none", "--guide", "random",
        "--no-baselines", "--markdown",
    )  # fmt: skip
    assert code == 0, err
    table = out[out.index("### Results") : out.index("n is in samples' worth")]
    titles = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| scr")]
    model = titles[0].removesuffix(" beam")
    assert titles == [
        f"{model} {each}" for each in ("beam", "beam (guide oracle)", "best of n (majority vote)")
    ]
    assert "- random: random@1" in out
    assert "- oracle: oracle@1" in out
    assert out.count("mull eval countdown") == 1


def test_several_models_strategies_and_forms_are_evaluated_side_by_side(
    mull: Mull, tmp_path: Path
) -> None:
    wise = games(tmp_path, play=lambda game: [solution(game)])
    code, out, _ = mull(
        "eval", "countdown", "--count", 2, "--model", games(tmp_path), "--model", wise,
        "--strategies", "early_stop,best_of_n", "--form", "reasoning",
        "--form", "direct", "--budgets", "4", "--no-baselines", "--json",
    )  # fmt: skip
    assert code == 0
    curves = json.loads(out)["curves"]
    assert len(curves) == 8
    by_model = {
        curve["model"]: curve["points"][0] for curve in curves if "early" in curve["strategy"]
    }
    assert by_model[wise]["accuracy"]["value"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("sudoku",), "no task `sudoku`", ""),
        (("countdwon",), "no task `countdwon`", "did you mean `countdown`?"),
        (("countdown", "--suite", "game42"), "no suite `game42`", "did you mean `game24`?"),
        (("countdown", "--level", "9"), "has no level 9", "from 3 to 6"),
        (("countdown", "--suite", "game24", "--level", "4"), "a suite or", "one of them"),
        (("countdown", "--strategies", "bean"), "no strategy `bean`", ""),
        (("countdown", "--strategies", "best_of_n+m=3"), "`m=3` in `best_of_n+m=3`", "it has: n,"),
        (("countdown", "--form", "thoughts"), "no form `thoughts`", ""),
        (("countdown", "--budgets", "1;4"), "`--budgets 1;4` is no list", "--budgets 1,4,16,64"),
        (("countdown", "--budgets", "0"), "`budgets` is 0", ""),
        (("countdown", "--axis", "watts"), "watts", "tokens"),
        (("countdown", "--strategies", "beam"), "strategy `beam` needs a guide", "best_of_n"),
        (("countdown", "--strategies", "beam+guide=orakel"), "no verifier `orakel`", ""),
        (("countdown", "--guide", "orakel"), "no verifier `orakel`", ""),
        (("countdown", "--seeds", "0"), "`seeds` is 0", ""),
        (("countdown", "--temperature", "0"), "temperature is 0.0", "greedy"),
        (("countdown", "--verifier", "oracle"), "no verifier `oracle`", ""),
        (
            ("multiply", "--strategies", "early_stop"),
            "needs a verifier",
            "self_consistency",
        ),
        (("multiply", "--suite", "game24"), "holds no `multiply`", "belongs to task `countdown`"),
        (("countdown", "--model", "mull-bose"), "no model `mull-bose`", "mull-base"),
        (("countdown", "--count", "0"), "`count` is 0", ""),
    ],
)
def test_what_cannot_be_evaluated_is_one_clear_error(
    mull: Mull, arguments: tuple[str, ...], error: str, hint: str
) -> None:
    code, out, err = mull("eval", *arguments)
    assert (code, out) == (2, "")
    assert f"error: {error}" in err or error in err
    assert hint in err
    assert "Traceback" not in err


def test_a_directory_of_another_evaluation_is_refused(mull: Mull, tmp_path: Path) -> None:
    model = games(tmp_path)
    asked = ("eval", "countdown", "--count", 1, "--model", model, "--budgets", "1", "--out", "run")
    assert mull(*asked)[0] == 0
    code, _, err = mull(*asked, "--temperature", 2)
    assert code == 2
    assert "`sampling.temperature` is 1.0 there and 2.0 here" in err


def test_a_figure_that_cannot_be_written_is_an_error(mull: Mull, tmp_path: Path) -> None:
    model = games(tmp_path)
    (tmp_path / "file").write_text("")
    code, _, err = mull(
        "eval",
        "countdown",
        "--count",
        1,
        "--model",
        model,
        "--budgets",
        1,
        "--figure",
        "file/a.svg",
    )
    assert code == 2
    assert "cannot write the figure" in err


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    replies = {
        example.problem.statement: [blunder(Countdown(tuple(map(int, example.group.split())), 24))]
        for example in suite_named("game24-hard")
    }
    model = scripted(tmp_path, replies, seconds_per_step=0.2)
    command = [
        sys.executable, "-m", "mull", "eval", "countdown", "--model", model, "--budgets", "1",
        "--rows", "4", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603  (ours)
    results = tmp_path / "run" / RESULTS
    while not (results.exists() and results.read_bytes()):
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate()
    assert child.returncode == 130
    assert "the same command goes on" in err
    assert f"--out {tmp_path / 'run'}" in err


# mull demo


def test_the_demo_fails_greedily_then_succeeds_and_plays_the_games(
    mull: Mull, tmp_path: Path
) -> None:
    code, out, err = mull("demo", "--model", games(tmp_path))
    assert code == 0, err
    greedy, search, table = (
        out.index("greedy"),
        out.index("early_stop"),
        out.index("tokens/game"),
    )
    assert greedy < search < table
    assert "answer      none" in out[greedy:search]
    assert "= 24" in out[search:table]
    assert "a verifier accepted an answer" in out[search:table]
    rows = [line for line in out[table:].splitlines() if "█" not in line]
    checked = [line for line in rows if "best by the checker" in line]
    assert any(" 64 " in line and "100.0 %" in line for line in checked)
    assert "blind legal play" in out
    assert "GPT-4, tree of thoughts, b=5" in out
    assert "quoted, not measured here" in out
    assert "MIT licence" in out


async def tell(model: str) -> list[Try]:
    async with open_model(model) as opened:
        return [each async for each in Story(opened, is_told=True).hard_games()]


def test_the_demo_goes_on_to_a_game_that_greedy_misses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = HARD_GAMES

    def play(game: Countdown) -> list[str]:
        return [solution(game)] if game == first else _third_time_lucky(game)

    solved, shown = asyncio.run(tell(games(tmp_path, play=play)))
    assert solved.search is None
    assert shown.shows_it
    out = capsys.readouterr().out
    other = out.index("Greedy was right. Another game:")
    assert out.index(first.statement) < other < out.index(second.statement)


def test_the_demo_admits_that_no_game_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = asyncio.run(tell(games(tmp_path, play=lambda game: [solution(game)])))
    assert len(tries) == len(HARD_GAMES)
    out = capsys.readouterr().out
    assert "No game was found that greedy misses and a longer search solves." in out


def test_the_demo_as_json_says_the_same_and_nothing_else(mull: Mull, tmp_path: Path) -> None:
    code, out, _ = mull("demo", "--model", games(tmp_path), "--json")
    assert code == 0
    document = json.loads(out)
    assert document["kind"] == "demo"
    assert document["tries"][-1]["greedy"]["answer"] is None
    assert document["tries"][-1]["search"]["stop"] == "accepted"
    assert [play["samples"] for play in document["games"]] == [1, 1, 64, 64, 1, 64]
    assert document["games"][2]["solved"]["value"] == 1.0
    assert document["quoted"][0]["accuracy"] == 0.073


def test_the_demo_without_weights_shows_what_needs_none(mull: Mull, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = mull("demo", "--model", tmp_path / "empty")
    assert code == 2
    assert "blind legal play" in out
    assert "GPT-4, tree of thoughts, b=5" in out
    assert "error: " in err
    assert "Traceback" not in err


def test_hard_games_are_among_the_hundred_and_solvable_in_whole_numbers() -> None:
    hundred = {example.problem.statement for example in suite_named("game24-hard")}
    for game in HARD_GAMES:
        assert game.statement in hundred
        assert winning_walk(game, Random(0))
