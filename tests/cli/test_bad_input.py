"""Every wrong input: one `error:` line, a `hint:` where there is a remedy, code 2, nothing lost."""

from pathlib import Path

import pytest
from cli.conftest import Mull
from replies import GAME, PRODUCT, REPLIES, scripted


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("--strategy", "best_of"), "no strategy `best_of`; known: beam, best_", "`best_of_n`"),
        (("--verifier", "countdwn"), "no verifier `countdwn`; known: assertions", "`countdown`"),
        (("--budget-tokens", "0"), "`budget_tokens` is 0", "positive"),
        (("--budget-tokens", "-5"), "`budget_tokens` is -5", "positive"),
        (("--budget-seconds", "nan"), "`budget_seconds` is nan", "positive"),
        (("--n", "0"), "`n` is 0; it must lie between 1 and", ""),
        (("--n", "100001"), "`n` is 100001; it must lie between 1 and", ""),
        (("--max-tokens", "0"), "`max_tokens` is 0", ""),
        (("--temperature", "0"), "temperature is 0.0", "greedy"),
        (("--strategy", "greedy", "--n", "4"), "`greedy` has no setting `n`", ""),
        (("--strategy", "early_stop", "--verifier", "none"), "needs a verifier", "best_of_n"),
        (
            ("--strategy", "self_consistency", "--verifier", "countdown"),
            "`self_consistency` takes no verifier",
            "best_of_n",
        ),
        (("--seed", "-1"), "Invalid value for '--seed'", "--help"),
        (("--modle", "x"), "No such option: --modle", "mull solve --help"),
    ],
)
def test_a_setting_that_cannot_work_starts_nothing(
    mull: Mull, model: str, arguments: tuple[str, ...], error: str, hint: str
) -> None:
    ran = mull("solve", GAME, "--model", model, *arguments)
    assert (ran.code, ran.out) == (2, "")
    lines = ran.err.splitlines()
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    assert len(lines) == (2 if hint else 1)
    assert hint in lines[-1]
    assert mull("runs", "--json").document["runs"] == []


@pytest.mark.parametrize(
    ("model", "error", "hint"),
    [
        ("mull-bse", "no model `mull-bse`; known: mull-base, mull-mini", "`mull-base`"),
        ("./nowhere", "no checkpoint folder `./nowhere`", "mull models"),
        ("scripted:/nowhere", "cannot read the replies `/nowhere`", ""),
    ],
)
def test_a_model_that_is_not_there_is_named(mull: Mull, model: str, error: str, hint: str) -> None:
    ran = mull("solve", GAME, "--model", model)
    assert ran.code == 2
    assert error in ran.err
    assert hint in ran.err


def test_a_file_is_no_checkpoint(mull: Mull, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    ran = mull("solve", GAME, "--model", file)
    assert ran.code == 2
    assert "is a file; a checkpoint is a folder" in ran.err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"replies": {"x": []}}', '{"replies": 3}'])
def test_a_broken_file_of_replies_is_named(mull: Mull, tmp_path: Path, content: str) -> None:
    file = tmp_path / "replies.json"
    file.write_text(content)
    ran = mull("solve", GAME, "--model", f"scripted:{file}")
    assert ran.code == 2
    assert ran.err.startswith(f"error: `{file}`")


def test_a_problem_without_a_script_is_named(mull: Mull, model: str) -> None:
    ran = mull("solve", "What is love?", "--model", model)
    assert ran.code == 2
    assert "none to `What is love?`" in ran.err


def test_an_empty_problem_is_refused(mull: Mull, model: str) -> None:
    ran = mull("solve", " ", "--model", model)
    assert ran.code == 2
    assert "the problem is empty" in ran.err


def test_a_problem_without_a_checker_cannot_stop_early(mull: Mull, model: str) -> None:
    ran = mull("solve", PRODUCT, "--model", model, "--strategy", "early_stop")
    assert ran.code == 2
    assert "there is none for this problem" in ran.err


def test_an_unknown_command_names_the_nearest(mull: Mull) -> None:
    ran = mull("sovle", GAME)
    assert ran.code == 2
    assert "sovle" in ran.err


def test_a_corrupt_journal_loses_nothing_and_says_so(mull: Mull, model: str, journal: Path) -> None:
    mull("solve", GAME, "--model", model, "--n", "1")
    damaged = b"this was a database " * 500
    journal.write_bytes(damaged)
    for arguments in (("runs",), ("solve", GAME, "--model", model), ("resume", "x")):
        ran = mull(*arguments)
        assert ran.code == 2
        assert ran.err.startswith("error: ")
        assert str(journal) in ran.err
    assert journal.read_bytes() == damaged


def test_a_folder_is_no_journal(mull: Mull, model: str, tmp_path: Path) -> None:
    ran = mull("solve", GAME, "--model", model, "--journal", tmp_path)
    assert ran.code == 2
    assert "is a directory" in ran.err


def test_a_full_disk_is_one_clear_error(mull: Mull, tmp_path: Path) -> None:
    model = scripted(tmp_path, {GAME: list(REPLIES[GAME])})
    ran = mull("solve", GAME, "--model", model, "--trace", "/dev/full", "--n", "1")
    assert ran.code == 2
    assert "cannot write the trace `/dev/full`: No space left on device" in ran.err


def test_a_shipped_model_is_not_measured_on_what_it_never_saw_without_a_word(
    mull: Mull, tmp_path: Path
) -> None:
    plain = mull("eval", "code", "--level", "9", "--budgets", "1", "--out", tmp_path / "out")
    assert "`mull-base` was trained on countdown, multiply, chain, letters alone" in plain.err
    assert "task `code` has no level 9" in plain.err
