"""The training loop: equal to plain training, resumable, and it learns."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from mull.core.errors import BadInputError, CheckpointError, StoreError
from mull.models.checkpoint import load_checkpoint
from mull.models.tokenizer import TextTokenizer
from mull.training.batch import IGNORED, TRUNK
from mull.training.countdown_rows import CountdownRows
from mull.training.policy import (
    BATCH_TOKENS,
    PolicyTrainer,
    Progress,
    TrainingPlan,
)
from mull.training.run_folder import STATE_FILE


class KilledError(Exception):
    pass


def plan(steps: int) -> TrainingPlan:
    return TrainingPlan("mini", max_tokens=steps * BATCH_TOKENS, compiled=False)


def train(
    steps: int, folder: Path, *, until: int | None = None
) -> tuple[PolicyTrainer, list[float]]:
    """Run a plan of so many steps, killed after step number `until` if given."""
    trainer = PolicyTrainer(plan(steps), folder)
    losses: list[float] = []

    def report(progress: Progress) -> None:
        losses.append(progress.loss)
        if progress.step == until:
            trainer.save()
            raise KilledError

    with suppress(KilledError):
        trainer.run(report)
    return trainer, losses


def test_a_tree_row_teaches_what_separate_sequences_would() -> None:
    tokenizer = TextTokenizer.built()
    batch = CountdownRows.of(tokenizer).batch(2, 4, torch.Generator().manual_seed(0))
    trainer = PolicyTrainer(plan(1), Path("never-written"))
    model = trainer.model.double()
    packed = model(batch.tokens, batch.positions, batch.attention_bias(torch.float64))
    for row in range(2):
        trunk = batch.segments[row] == TRUNK
        for segment in range(1, 6):
            place = trunk | (batch.segments[row] == segment)
            alone = model(batch.tokens[row][place][None])[0]
            torch.testing.assert_close(packed[row][place], alone, rtol=0, atol=1e-9)


def test_training_lowers_the_loss_and_leaves_a_loadable_checkpoint(tmp_path: Path) -> None:
    _, losses = train(12, tmp_path)
    assert losses[-1] < losses[0]
    model, tokenizer = load_checkpoint(tmp_path / "model")
    batch = CountdownRows.of(tokenizer).batch(4, 4, torch.Generator().manual_seed(3))
    logits = model(batch.tokens, batch.positions, batch.attention_bias(torch.float32))
    loss = functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED
    )
    assert loss < losses[0] - 0.15


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole, _ = train(4, tmp_path / "whole")
    train(4, tmp_path / "killed", until=2)
    resumed, losses = train(4, tmp_path / "killed")
    assert len(losses) == 2
    for (name, expected), (_, actual) in zip(
        whole.model.state_dict().items(), resumed.model.state_dict().items(), strict=True
    ):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6, msg=name)


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    train(1, tmp_path)
    with pytest.raises(BadInputError, match="holds a run of another plan"):
        PolicyTrainer(replace(plan(1), seed=1), tmp_path)


def test_a_truncated_state_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    train(1, tmp_path)
    state = tmp_path / STATE_FILE
    for damaged in (state.read_bytes()[:1000], b"", b"not a state"):
        state.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"state\.pt"):
            PolicyTrainer(plan(1), tmp_path)


@pytest.mark.parametrize("tokens", [0, -5])
def test_a_plan_without_a_budget_is_refused(tokens: int) -> None:
    with pytest.raises(BadInputError, match="positive"):
        TrainingPlan("mini", max_tokens=tokens)


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(BadInputError, match="known: mini, base"):
        TrainingPlan("huge", max_tokens=1)


def test_a_full_disk_is_one_error_and_keeps_the_last_state(tmp_path: Path) -> None:
    trainer, _ = train(1, tmp_path)
    before = (tmp_path / STATE_FILE).read_bytes()
    (tmp_path / (STATE_FILE + ".new")).symlink_to("/dev/full")
    with pytest.raises(StoreError, match="cannot write to"):
        trainer.save()
    assert (tmp_path / STATE_FILE).read_bytes() == before
