"""Reward models from the command line: states, training, an audit, and what is refused."""

import json
from pathlib import Path

import pytest
from cli_local.conftest import Mull


def test_states_then_a_model_then_an_audit(mull: Mull, tmp_path: Path) -> None:
    states, run, audit = tmp_path / "states", tmp_path / "run", tmp_path / "audit"
    made = mull(
        *("train", "states", "--policy", "mull-mini", "--family", "chain", "--problems", "40"),
        *("--traces", "3", "--rollouts", "0", "--out", states),
    )
    assert (made.code, made.out) == (0, f"{states}\n")
    trained = mull(
        *("train", "prm", "--states", states, "--labels", "soft", "--epochs", "1"),
        *("--no-compile", "--out", run),
    )
    assert (trained.code, trained.out) == (0, f"{run / 'model'}\n")
    assert "aggregation" in trained.err
    again = mull(
        *("train", "prm", "--states", states, "--labels", "soft", "--epochs", "1"),
        *("--no-compile", "--out", run),
    )
    assert "going on after step 1" in again.err
    settings = (
        "--task",
        "chain",
        "--level",
        "3",
        "--count",
        "6",
        "--n",
        "4",
        "--model",
        "mull-mini",
    )
    first = mull("audit", run / "model", *settings, "--out", audit)
    assert first.code == 0
    assert "accuracy in %" in first.out
    document = json.loads((audit / "audit.json").read_text())
    chosen = {(each["judge"], each["choice"]) for each in document["curves"]}
    assert {("none", "vote"), ("none", "oracle"), (str(run / "model"), "best")} <= chosen
    kept = (audit / "samples.jsonl").read_bytes()
    assert mull("audit", run / "model", *settings, "--out", audit).out == first.out
    assert (audit / "samples.jsonl").read_bytes() == kept


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("train", "states", "--search", "guess"), "no search `guess`; known: mc, omega, steps"),
        (("train", "states", "--family", "riddle"), "no states of family `riddle`"),
        (("train", "states", "--problems", "0"), "at least one problem"),
        (("train", "states", "--policy", "huge"), "no model `huge`"),
        (("train", "prm", "--states", "nowhere"), "holds no labelled states"),
        (("train", "prm", "--states", "nowhere", "--labels", "guess"), "no labels `guess`"),
        (("train", "prm", "--states", "nowhere", "--head", "two"), "no head `two`"),
        (("train", "orm", "--states", "nowhere", "--epochs", "0"), "at least one epoch"),
        (("audit", "countdown"), "`countdown` is no reward model"),
        (("audit", "nowhere"), "no verifier `nowhere`"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(
    mull: Mull, tmp_path: Path, arguments: tuple[str, ...], error: str
) -> None:
    ran = mull(*arguments, "--out", tmp_path / "run")
    assert ran.code == 2
    assert error in ran.err
    assert not (tmp_path / "run").exists()
