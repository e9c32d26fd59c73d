import json
from pathlib import Path

from cli.conftest import Mull
from replies import EXPRESSION, GAME, PRODUCT, RIGHT, WRONG, scripted

from mull.core.events import SolveEnded, SolveStarted, event_from_json


def test_a_solve_shows_steps_answer_confidence_usage_and_why_it_stopped(
    mull: Mull, model: str
) -> None:
    ran = mull("solve", GAME, "--model", model, "--n", "4")
    assert ran.code == 0
    for line in RIGHT.split("\n"):
        assert line.strip() in ran.out
    assert f"answer      {EXPRESSION}" in ran.out
    assert "confidence  1.00 by countdown-checker@1" in ran.out
    assert "stopped     the strategy has drawn all it wanted" in ran.out
    assert "spent       100 tokens generated, 64 read (0 cached), 4 attempts" in ran.out
    assert ran.err == ""


def test_the_json_document_holds_all_of_it_and_nothing_else_is_on_standard_output(
    mull: Mull, model: str
) -> None:
    ran = mull("solve", GAME, "--model", model, "--n", "2", "--seed", "7", "--json")
    document = ran.document
    assert ran.code == 0
    assert (document["version"], document["kind"]) == (1, "solution")
    assert document["answer"] == RIGHT.strip()
    assert document["readable_answer"] == EXPRESSION
    assert document["stop"] == "completed"
    assert document["confidence"] == 1.0
    assert document["seed"] == 7
    assert document["strategy"]["options"]["n"] == 2
    assert [step["kind"] for step in document["steps"]] == ["answer"] * 3
    assert document["usage"]["generated_tokens"] == 50
    assert document["scores"][0]["verdict"] == "accept"


def test_without_an_accepted_answer_none_is_given_and_the_code_says_so(
    mull: Mull, tmp_path: Path
) -> None:
    ran = mull("solve", GAME, "--model", scripted(tmp_path, {GAME: [WRONG]}), "--n", "3")
    assert ran.code == 1
    assert "answer      none" in ran.out
    assert "confidence" not in ran.out
    assert "the best attempt, which is no answer:" in ran.out
    assert "all 3 answers were rejected" in ran.out


def test_a_spent_budget_is_a_stop_reason_and_says_how_to_go_on(mull: Mull, model: str) -> None:
    ran = mull("solve", GAME, "--model", model, "--budget-tokens", "30")
    assert ran.code == 1
    assert "stopped     the token budget is spent" in ran.out
    assert "--more-tokens N" in ran.err
    assert "30 tokens generated" in ran.out


def test_a_spent_time_is_raised_by_seconds(mull: Mull, tmp_path: Path) -> None:
    slow = scripted(tmp_path, seconds_per_step=5.0)
    ran = mull("solve", GAME, "--model", slow, "--budget-seconds", "0.1")
    assert "stopped     the time budget is spent" in ran.out
    assert ran.err.endswith("--more-seconds N\n")


def test_early_stop_stops_for_the_verifier(mull: Mull, model: str) -> None:
    ran = mull("solve", GAME, "--model", model, "--strategy", "early_stop", "--n", "9", "--json")
    assert ran.document["stop"] == "accepted"
    assert ran.document["usage"]["calls"] == 2


def test_width_draws_several_before_it_looks(mull: Mull, model: str) -> None:
    ran = mull("solve", GAME, "-m", model, "-s", "early_stop", "--width", "5", "--json")
    assert ran.document["usage"]["calls"] == 5


def test_votes_need_no_verifier_and_claim_no_confidence(mull: Mull, model: str) -> None:
    ran = mull("solve", PRODUCT, "--model", model, "--strategy", "self_consistency", "--n", "3")
    assert ran.code == 0
    assert "answer      248172" in ran.out
    assert "note        2 of 3 votes" in ran.out
    assert "confidence" not in ran.out


def test_direct_and_reason_reach_the_model(mull: Mull, model: str) -> None:
    for flag, thinking in (("--direct", "off"), ("--reason", "auto")):
        ran = mull("solve", PRODUCT, "--model", model, "--n", "1", flag, "--json")
        assert ran.document["strategy"]["options"]["thinking"] == thinking


def test_the_trace_is_every_event_as_json_lines(mull: Mull, model: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    ran = mull("solve", GAME, "--model", model, "--n", "2", "--trace", file)
    events = [event_from_json(json.loads(line)) for line in file.read_text().splitlines()]
    assert ran.code == 0
    assert isinstance(events[0], SolveStarted)
    assert isinstance(events[-1], SolveEnded)


def test_a_trace_that_cannot_be_written_is_said_before_anything_is_spent(
    mull: Mull, model: str, tmp_path: Path
) -> None:
    ran = mull("solve", GAME, "--model", model, "--trace", tmp_path / "none" / "trace.jsonl")
    assert ran.code == 2
    assert ran.err.startswith("error: cannot write the trace")
    assert mull("runs", "--json").document["runs"] == []


def test_a_trace_is_replaced_only_by_another(mull: Mull, tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_text("precious")
    assert mull("resume", "nothing", "--trace", file).code == 2
    assert file.read_text() == "precious"


def test_text_of_a_model_cannot_drive_the_terminal(mull: Mull, tmp_path: Path) -> None:
    model = scripted(tmp_path, {"Say it.": ["\x1b[2J\x1b]0;owned\x07 [bold]loud[/bold] \u202e"]})
    ran = mull("solve", "Say it.", "--model", model, "--n", "1")
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    assert r"\x1b[2J" in ran.out
    assert "[bold]loud[/bold]" in ran.out


def test_an_answer_cut_short_by_its_own_limit_is_no_answer(mull: Mull, model: str) -> None:
    ran = mull("solve", GAME, "--model", model, "--max-tokens", "1")
    assert ran.code == 1
    assert "answer      none" in ran.out


def test_any_option_of_a_strategy_can_be_set(mull: Mull, model: str) -> None:
    settings = ("--set", "shape=2:2,2:2", "--set", "early_stop=true", "--set", "top_p=0.5")
    ran = mull(
        "solve", GAME, "-m", model, "-s", "beam", "--guide", "countdown", *settings, "--json"
    )
    assert ran.code == 0
    options = ran.document["strategy"]["options"]
    assert (options["shape"], options["early_stop"], options["top_p"]) == ("2:2,2:2", True, 0.5)
    assert options["guide"] == "countdown-checker"
    assert ran.document["stop"] == "accepted"


def test_a_setting_that_is_none_is_refused(mull: Mull, model: str) -> None:
    ran = mull("solve", GAME, "-m", model, "--set", "n:4")
    assert ran.code == 2
    assert "`--set n:4` is no setting" in ran.err
    ran = mull("solve", GAME, "-m", model, "--set", "depth=3")
    assert ran.code == 2
    assert "strategy `best_of_n` has no setting `depth`" in ran.err
