from pathlib import Path

from cli.conftest import Mull, Ran
from replies import EXPRESSION, GAME


def _text(ran: Ran) -> str:
    return "".join(step["text"] for step in ran.document["steps"])


def test_a_larger_budget_goes_on_and_recomputes_nothing(mull: Mull, model: str) -> None:
    first = mull("solve", GAME, "--model", model, "--budget-tokens", "40", "--json")
    assert first.code == 1
    assert first.document["stop"] == "budget_tokens"
    solve_id = first.document["solve_id"]
    second = mull("resume", solve_id, "--more-tokens", "40", "--json")
    whole = mull("solve", GAME, "--model", model, "--budget-tokens", "80", "--json")
    assert second.code == 0
    assert second.document["readable_answer"] == EXPRESSION
    assert second.document["usage"]["generated_tokens"] == 80
    # The first budget ended inside a step, which so became two.
    for key in ("answer", "stop"):
        assert second.document[key] == whole.document[key]
    assert _text(second) == _text(whole)


def test_an_ended_solve_is_shown_again_without_its_model(
    mull: Mull, model: str, tmp_path: Path
) -> None:
    first = mull("solve", GAME, "--model", model, "--n", "2", "--json")
    Path(model.removeprefix("scripted:")).unlink()
    again = mull("resume", first.document["solve_id"], "--json")
    assert again.code == 0
    assert again.document == first.document


def test_a_model_that_changed_is_not_mixed_into_an_old_solve(mull: Mull, model: str) -> None:
    first = mull("solve", GAME, "--model", model, "--budget-tokens", "40", "--json")
    file = Path(model.removeprefix("scripted:"))
    file.write_text(file.read_text() + " ")
    ran = mull("resume", first.document["solve_id"], "--more-tokens", "40")
    assert ran.code == 2
    assert "was set up for model" in ran.err


def test_an_unknown_id_says_where_to_look(mull: Mull) -> None:
    ran = mull("resume", "nothing")
    assert ran.code == 2
    assert ran.err.startswith("error: no solve `nothing`")
    assert "mull runs" in ran.err


def test_runs_lists_what_the_journal_keeps_newest_first(mull: Mull, model: str) -> None:
    mull("solve", GAME, "--model", model, "--n", "2")
    mull("solve", GAME, "--model", model, "--strategy", "greedy")
    lines = mull("runs").out.splitlines()
    assert len(lines) == 3
    assert GAME in lines[1]
    assert "greedy" in lines[1]
    assert EXPRESSION in lines[2]
    runs = mull("runs", "--limit", "1", "--json").document["runs"]
    assert [run["spec"]["strategy"]["name"] for run in runs] == ["greedy"]
    assert runs[0]["answer"] is None
    assert not runs[0]["is_open"]


def test_runs_beyond_the_limit_are_counted(mull: Mull, model: str) -> None:
    mull("solve", GAME, "--model", model, "--n", "1")
    mull("solve", GAME, "--model", model, "--n", "1")
    assert "1 older solves" in mull("runs", "--limit", "1").err


def test_no_journal_yet_is_no_error_and_makes_none(mull: Mull, journal: Path) -> None:
    ran = mull("runs")
    assert ran.code == 0
    assert "no solves yet" in ran.err
    assert not journal.exists()
