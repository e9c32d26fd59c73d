import sys
from pathlib import Path

import pytest
from cli.conftest import Mull
from replies import PRODUCT, scripted

from mull import solve

CHECKS = """
from dataclasses import dataclass

import mull

from helpers_of_nobody import nothing  # HELPERS


def check(problem: mull.Problem, answer: str) -> bool:
    return answer.endswith("1")


def doubt(problem, answer):
    return 0.9 if answer.endswith("1") else 0.2


NUMBER = 3


@dataclass(frozen=True)
class First:
    n: int = 2

    def ask(self, tree, limit):
        missing = self.n - len(tree.branches())
        whole = mull.Expansion((tree.root,), mull.ExpansionKind.FINISH, count=max(1, missing))
        return mull.Ask((whole,)) if missing > 0 else mull.Ask()

    def select(self, tree):
        first = tree.finished()[0].id if tree.finished() else None
        return first and mull.Candidate(first, tree.trajectory(first).answer_text)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "parts.py"
    path.write_text(CHECKS.replace("from helpers_of_nobody import nothing  # HELPERS\n", ""))
    return path


def test_a_function_in_a_file_checks_every_answer(mull: Mull, model: str, file: Path) -> None:
    ran = mull("solve", PRODUCT, "--model", model, "--n", "4", "--verifier", f"{file}:check",
               "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.document["readable_answer"] == "248171"
    assert ran.document["confidence"] == 1.0


def test_a_degree_of_belief_chooses_without_being_sure(mull: Mull, model: str, file: Path) -> None:
    ran = mull("solve", PRODUCT, "--model", model, "--n", "4", "--verifier", f"{file}:doubt",
               "--json")  # fmt: skip
    assert (ran.document["readable_answer"], ran.document["confidence"]) == ("248171", None)


def test_a_strategy_in_a_file_takes_its_settings_from_the_flags(
    mull: Mull, model: str, file: Path
) -> None:
    ran = mull("solve", PRODUCT, "--model", model, "--strategy", f"{file}:First", "--n", "3",
               "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.document["usage"]["calls"] == 3
    assert ran.document["readable_answer"] == "248172"
    ran = mull("solve", PRODUCT, "-m", model, "-s", f"{file}:First", "--width", "3")
    assert ran.code == 2
    assert "cannot be made: " in ran.err
    assert "unexpected keyword argument 'width'" in ran.err


def test_a_journal_alone_runs_no_code_and_a_changed_checker_is_another(
    mull: Mull, model: str, file: Path
) -> None:
    own = ("--verifier", f"{file}:check")
    started = mull(
        "solve", PRODUCT, "-m", model, "--n", "4", *own, "--budget-tokens", "8", "--json"
    )
    solve_id = started.document["solve_id"]
    assert started.document["stop"] == "budget_tokens"
    refused = mull("resume", solve_id, "--more-tokens", "200")
    assert refused.code == 2
    assert f"a verifier of its author's own, `{file}:check`" in refused.err
    assert "--verifier MODULE:NAME" in refused.err
    whole = mull("resume", solve_id, "--more-tokens", "200", *own, "--json")
    assert whole.document["readable_answer"] == "248171"

    again = mull("solve", PRODUCT, "-m", model, "--n", "4", *own, "--budget-tokens", "8", "--json")
    file.write_text(file.read_text() + "# changed\n")
    ran = mull("resume", again.document["solve_id"], "--more-tokens", "200", *own)
    assert ran.code == 2


def test_a_strategy_by_name_is_resumed_by_name(mull: Mull, model: str, file: Path) -> None:
    own = ("--strategy", f"{file}:First")
    started = mull(
        "solve", PRODUCT, "-m", model, "--n", "3", *own, "--budget-tokens", "20", "--json"
    )
    assert started.document["stop"] == "budget_tokens"
    solve_id = started.document["solve_id"]
    assert mull("resume", solve_id, "--more-tokens", "200").code == 2
    whole = mull("resume", solve_id, "--more-tokens", "200", *own, "--json")
    assert whole.code == 0, whole.err
    assert whole.document["stop"] == "completed"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("parts:check", "no module `parts` is installed", "name a file by its path: `./parts.py:"),
        ("no.py:check", "there is no file `no.py`", ""),
        ("{file}:chek", "`chek`; known: ", "did you mean `check`?"),
        ("{file}:NUMBER", "`{file}:NUMBER` is no verifier", "check(problem, answer)"),
        ("{file}:", "names no part", "file.py:name"),
        ("{broken}:check", "cannot be imported: ModuleNotFoundError: No module named 'helpers", ""),
        ("chekc", "no verifier `chekc`; known: ", ""),
    ],
)
def test_a_part_that_cannot_be_had_is_one_clear_error(
    mull: Mull, file: Path, name: str, message: str, hint: str
) -> None:
    model = scripted(file.parent)
    broken = file.with_name("broken.py")
    broken.write_text(CHECKS)
    names = {"file": str(file), "broken": str(broken)}
    ran = mull("solve", PRODUCT, "-m", model, "--verifier", name.format(**names))
    assert (ran.code, ran.out) == (2, "")
    assert message.format(**names) in ran.err
    assert hint in ran.err


def test_an_installed_package_brings_parts_by_entry_point(
    mull: Mull, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `pip install` leaves a package behind: modules and their metadata on the path."""
    site = tmp_path / "site"
    info = site / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "theirs_parts.py").write_text(CHECKS.replace("from helpers_of_nobody", "# from"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mull.verifiers]\nends_in_one = theirs_parts:check\n"
        "[mull.strategies]\nfirst = theirs_parts:First\n"
    )
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    ran = mull("solve", PRODUCT, "-m", model, "--n", "4", "--verifier", "ends_in_one", "--json")
    assert (ran.code, ran.document["confidence"]) == (0, 1.0), ran.err
    ran = mull("solve", PRODUCT, "-m", model, "--strategy", "first", "--json")
    assert ran.document["usage"]["calls"] == 2
    sys.modules.pop("theirs_parts")


def test_python_takes_a_plain_function(model: str) -> None:
    def check(problem: object, answer: str) -> bool:
        return answer.endswith("1")

    solution = solve(PRODUCT, model=model, n=4, verifier=check)
    assert (solution.answer, solution.confidence) == ("2 4 8 1 7 1", 1.0)
