import os
import signal
import time
from pathlib import Path
from threading import Thread

import pytest
from cli_local.conftest import Mull
from replies import GAME

from mull.training.policy import BATCH_TOKENS


def training(out: Path, *, steps: int) -> tuple[str | Path, ...]:
    tokens = str(steps * BATCH_TOKENS)
    return ("train", "policy", "--size", "mini", "--tokens", tokens, "--no-compile", "--out", out)


def test_a_trained_model_can_be_asked_and_described(mull: Mull, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = mull(*training(out, steps=1))
    assert (trained.code, trained.out) == (0, f"{out / 'model'}\n")
    assert "parameters" in trained.err
    solved = mull("solve", GAME, "--model", out / "model", "--n", "1", "--max-tokens", "4")
    assert solved.code == 1
    again = mull(*training(out, steps=2))
    assert "going on after step 1" in again.err


def test_an_interrupt_saves_and_the_same_command_goes_on(mull: Mull, tmp_path: Path) -> None:
    out = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)

    def interrupt_the_training() -> None:
        while signal.getsignal(signal.SIGINT) is before:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=interrupt_the_training, daemon=True).start()
    stopped = mull(*training(out, steps=10_000))
    assert signal.getsignal(signal.SIGINT) is before
    assert stopped.code == 130
    assert "the same command goes on" in stopped.err
    assert not (out / "model").exists()
    assert "going on after step" in mull(*training(out, steps=1)).err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--size", "huge"), "no model size `huge`; known: mini, base"),
        (("--tokens", "0"), "positive number of tokens"),
        (("--minutes", "0"), "positive number of tokens and of minutes"),
        (("--device", "cuda:99"), "device `cuda:99` cannot be used"),
        (("--device", "abacus"), "device `abacus` cannot be used"),
    ],
)
def test_a_plan_that_cannot_work_starts_nothing(
    mull: Mull, tmp_path: Path, arguments: tuple[str, str], error: str
) -> None:
    ran = mull("train", "policy", *arguments, "--out", tmp_path / "run")
    assert ran.code == 2
    assert error in ran.err
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_run_is_left_alone(mull: Mull, tmp_path: Path) -> None:
    mull(*training(tmp_path, steps=1))
    ran = mull(*training(tmp_path, steps=1), "--seed", "5")
    assert ran.code == 2
    assert "holds a run of another plan" in ran.err
