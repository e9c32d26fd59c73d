"""Every script in `examples/` runs, with scripted replies in the place of a model."""

import subprocess
import sys
from pathlib import Path

import pytest
from replies import scripted

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
PRINTED = {
    "own_check.py": "2 4 8 1 7 1 with confidence 1.0\n",
    "own_strategy.py": "3 after 3 answers\n",
    "own_task.py": "self_consistency ['0% right', '0% right', '50% right']\n",
    "own_verifier.py": "2 4 8 1 7 1\n",
    "solve.py": (
        "greedy: no answer\n  stopped: completed after 25 tokens\n"
        "best_of_n: (10 - 4) * (13 - 9) = 24\n  stopped: completed after 400 tokens\n"
    ),
}


def test_every_example_is_run() -> None:
    assert [path.name for path in EXAMPLES] == list(PRINTED)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_an_example_prints_what_it_promises(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(path), scripted(tmp_path)]
    ran = subprocess.run(  # noqa: S603  (our own interpreter and script)
        command, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (ran.stdout, ran.stderr) == (PRINTED[path.name], "")
