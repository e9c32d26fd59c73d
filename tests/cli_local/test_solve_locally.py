import json
from pathlib import Path

from cli_local.conftest import Mull
from replies import GAME, scripted


def test_a_solve_runs_the_checkpoint_and_charges_what_it_took(mull: Mull, checkpoint: Path) -> None:
    ran = mull("solve", GAME, "--model", checkpoint, "--n", "3", "--max-tokens", "8", "--json")
    document = ran.document
    assert ran.code == 1  # noise is no answer, and nobody says it is
    assert document["answer"] is None
    assert document["model"].startswith("toy@")
    assert document["usage"]["generated_tokens"] <= 24
    assert document["usage"]["flops"] > 0
    assert document["usage"]["prompt_tokens"] == 3 * 22
    assert document["usage"]["cached_tokens"] > 0  # the prompt is read once for all


def test_a_larger_budget_draws_what_a_large_one_would_have(mull: Mull, checkpoint: Path) -> None:
    settings = ("--model", checkpoint, "--n", "2", "--max-tokens", "12", "--json")
    short = mull("solve", GAME, *settings, "--budget-tokens", "7").document
    whole = mull("resume", short["solve_id"], "--more-tokens", "17", "--json").document
    at_once = mull("solve", GAME, *settings, "--budget-tokens", "24").document
    assert short["stop"] == "budget_tokens"
    assert whole["usage"]["generated_tokens"] == at_once["usage"]["generated_tokens"] == 24
    texts = ["".join(step["text"] for step in each["steps"]) for each in (whole, at_once)]
    assert texts[0] == texts[1]


def test_a_draft_is_charged_named_and_opened_again_by_resume(mull: Mull, checkpoint: Path) -> None:
    settings = ("--model", checkpoint, "--draft", checkpoint, "--n", "2", "--max-tokens", "12")
    short = mull("solve", GAME, *settings, "--json", "--budget-tokens", "30").document
    assert short["model"].count("toy@") == 2
    assert short["stop"] == "budget_tokens"
    whole = mull("resume", short["solve_id"], "--more-tokens", "300", "--json").document
    assert whole["model"] == short["model"]
    assert whole["stop"] != "budget_tokens"
    assert whole["usage"]["generated_tokens"] > short["usage"]["generated_tokens"]


def test_a_problem_it_cannot_know_is_refused_before_it_is_loaded(
    mull: Mull, checkpoint: Path
) -> None:
    (checkpoint / "model.safetensors").unlink()
    ran = mull("solve", "Who was Ada Lovelace?", "--model", checkpoint)
    assert ran.code == 2
    assert "none of the problems that the built-in families know" in ran.err
    assert "hint: known kinds: countdown:" in ran.err


def test_a_truncated_checkpoint_is_one_clear_error(mull: Mull, checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    ran = mull("solve", GAME, "--model", checkpoint)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert str(weights) in ran.err
    assert "Traceback" not in ran.err
    assert mull("runs", "--json").document["runs"] == []


def test_another_architecture_is_refused_by_name(mull: Mull, checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    ran = mull("solve", GAME, "--model", checkpoint)
    assert ran.code == 2
    assert "is not a Llama checkpoint" in ran.err


def test_a_folder_that_is_no_checkpoint_is_said(mull: Mull, tmp_path: Path) -> None:
    ran = mull("solve", GAME, "--model", tmp_path)
    assert ran.code == 2
    assert f"cannot read `{tmp_path / 'config.json'}`" in ran.err


def test_models_describes_a_folder(mull: Mull, checkpoint: Path) -> None:
    (card,) = mull("models", checkpoint, "--json").document["models"]
    assert card["window"] == 64
    assert card["dtype"] == "float16"
    assert card["families"] == ["countdown", "multiply", "chain", "letters"]
    assert "window 64 tokens" in mull("models", checkpoint).out


def test_a_reward_model_chooses_among_answers_and_is_charged_for(
    mull: Mull, tmp_path: Path, reward_model: Path
) -> None:
    settings = ("--model", scripted(tmp_path), "--n", "2", "--json")
    alone = mull("solve", GAME, *settings, "--verifier", "none").document
    judged = mull("solve", GAME, *settings, "--verifier", reward_model).document
    assert judged["answer"] is not None, judged
    assert judged["usage"]["generated_tokens"] == alone["usage"]["generated_tokens"]
    read = judged["usage"]["prompt_tokens"] - alone["usage"]["prompt_tokens"]
    assert 80 < read < 120, judged
    assert judged["usage"]["flops"] > 1e5 * read


def test_a_solve_with_a_reward_model_is_resumed_with_the_same_one(
    mull: Mull, tmp_path: Path, reward_model: Path
) -> None:
    settings = ("--model", scripted(tmp_path), "--n", "3", "--verifier", reward_model, "--json")
    short = mull("solve", GAME, *settings, "--budget-tokens", "30").document
    assert short["stop"] == "budget_tokens"
    more = mull("resume", short["solve_id"], "--more-tokens", "500", "--json")
    assert more.document["stop"] == "completed"
    card = reward_model / "config.json"
    card.write_text(card.read_text().replace('"exact"', '"mc"'))
    again = mull("resume", short["solve_id"], "--more-tokens", "1")
    assert again.code == 2
    assert "was checked by" in again.err


def test_an_unknown_verifier_is_told_which_there_are(mull: Mull, checkpoint: Path) -> None:
    ran = mull("solve", GAME, "--model", checkpoint, "--verifier", "oracle")
    assert ran.code == 2
    assert "no verifier `oracle`" in ran.err
    assert "mull-prm" in ran.err
