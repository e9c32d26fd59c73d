"""Trains a reward model from a policy's weights on labelled states of a policy.

A frozen trunk under a trained head is known not to work at this size, so everything is trained. The
learning rate warms up and then falls linearly to zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import torch
from torch import Tensor

from mull.core.digest import content_digest
from mull.core.errors import BadInputError
from mull.core.seeds import derive_seed
from mull.models.checkpoint import load_checkpoint
from mull.models.memory import keep_freed_memory
from mull.models.reward import RewardModel, load_reward_model
from mull.models.reward_card import Head, RewardCard, RewardKind, is_reward_model
from mull.models.tokenizer import PAD, TextTokenizer
from mull.training.reward_losses import beta_binomial_loss, binomial_loss, ranking_loss
from mull.training.reward_rows import Labels, RewardBatch, pack
from mull.training.run_folder import (
    SECONDS_BETWEEN_SAVES,
    SavedState,
    optimizers_of,
    publish,
    save_state,
    take_step,
    writing,
)
from mull.training.states import LabelledProblem

ROWS_A_STEP: Final = 40
MATRIX_RATE: Final = 0.01
OTHER_RATE: Final = 2e-3
WARMUP_STEPS: Final = 50
VALIDATION_SHARE: Final = 10
"""One problem in so many is not trained on, but chooses the aggregation and calibrates."""


@dataclass(frozen=True, slots=True)
class RewardPlan:
    """What to train; with the states it is all that decides the weights."""

    kind: RewardKind
    start: str
    """What to begin from: a shipped policy's name, or the folder of a policy or reward model."""
    labels: Labels = Labels.EXACT
    head: Head = Head.BETA
    epochs: int = 3
    ranking: float = 0.0
    """Weight of the ranking loss beside the likelihood."""
    limit: int | None = None
    """Train on so many problems alone, drawn by the seed."""
    seed: int = 0
    compiled: bool = True
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise BadInputError("training needs at least one epoch")
        if (self.kind is RewardKind.OUTCOME) != (self.labels is Labels.OUTCOME):
            raise BadInputError(
                f"a model of kind `{self.kind}` cannot learn labels `{self.labels}`",
                hint="`orm` learns outcomes, `prm` all other labels",
            )
        if self.ranking and self.kind is not RewardKind.OUTCOME:
            raise BadInputError("`ranking` compares whole completions; use it with `orm`")


@dataclass(frozen=True, slots=True)
class RewardProgress:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    loss: float = float("nan")
    """Nats a rollout, smoothed over about 50 steps."""


def is_validation(problem: LabelledProblem) -> bool:
    """Whether a problem is kept for validation; all runs keep the same ones."""
    return int(content_digest(problem.statement), 16) % VALIDATION_SHARE == 0


class RewardTrainer:
    """Owns the model and its optimisers for one run in one folder."""

    def __init__(
        self,
        plan: RewardPlan,
        card: RewardCard,
        start: Path,
        problems: list[LabelledProblem],
        folder: Path,
    ) -> None:
        self.plan = plan
        self.folder = folder
        keep_freed_memory()
        self.tokenizer = TextTokenizer.load(start)
        self.model = _begin(start, card).to(plan.device).train()
        self.rows = pack(problems, plan.labels, pad=self.tokenizer.token_id(PAD))
        if not len(self.rows):
            raise BadInputError("there is nothing to train on: no state has a label")
        self.optimizers = optimizers_of(self.model, matrix_rate=MATRIX_RATE, other_rate=OTHER_RATE)
        self.progress = RewardProgress()
        self._loss = torch.compile(_loss) if plan.compiled else _loss  # pyright: ignore[reportUnknownMemberType]
        self._resume()

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return self.plan.epochs * self._steps_an_epoch

    @property
    def _steps_an_epoch(self) -> int:
        return max(1, len(self.rows) // ROWS_A_STEP)

    def run(self, report: Callable[[RewardProgress], None]) -> None:
        """Train to the end of the plan."""
        last_save = started = monotonic()
        before = self.progress.seconds
        while self.progress.step < self.num_steps:
            loss = self._step(self._batch(self.progress.step))
            now = monotonic()
            self.progress = _advanced(self.progress, loss, seconds=before + now - started)
            report(self.progress)
            if now - last_save > SECONDS_BETWEEN_SAVES:
                self.save()
                last_save = now
        self.save()

    def save(self) -> None:
        """Put down where the run stands."""
        save_state(
            self.folder,
            self.model,
            self.optimizers,
            plan=asdict(self.plan),
            progress=asdict(self.progress),
        )

    def publish(self, save: Callable[[Path], None]) -> Path:
        """Write the finished checkpoint folder, `model`."""
        with writing(self.folder):
            return publish(self.folder, "model", save)

    def _batch(self, step: int) -> RewardBatch:
        """The rows of a step, about equally long: each epoch deals them anew, from the seed."""
        epoch, place = divmod(step, self._steps_an_epoch)
        generator = torch.Generator().manual_seed(derive_seed(self.plan.seed, "epoch", epoch))
        order = torch.randperm(len(self.rows), generator=generator)
        order = order[: ROWS_A_STEP * self._steps_an_epoch]
        order = order[self.rows.lengths[order].argsort(stable=True)]
        which = torch.randperm(self._steps_an_epoch, generator=generator)[place]
        index = order[which * ROWS_A_STEP : (which + 1) * ROWS_A_STEP]
        return self.rows.rows(index, self.plan.device)

    def _step(self, batch: RewardBatch) -> float:
        where = torch.device(self.plan.device).type
        dtype = torch.float32 if where == "cpu" else torch.bfloat16
        bias = batch.attention_bias(dtype)
        with torch.autocast(where, dtype, enabled=dtype is torch.bfloat16):
            loss = self._loss(self.model, batch, bias, self.plan.ranking)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        step = self.progress.step
        warm = min(1.0, (step + 1) / min(WARMUP_STEPS, 1 + self.num_steps // 4))
        take_step(self.optimizers, rate=min(warm, 1.0 - step / self.num_steps))
        return float(loss.detach())

    def _resume(self) -> None:
        state = SavedState.read(self.folder, self.plan.device)
        if state is None:
            return
        where = {"device": "", "compiled": True}
        if state.plan | where != asdict(self.plan) | where:
            raise BadInputError(
                f"`{self.folder}` holds a run of another plan",
                hint="name another folder, or the same settings",
            )
        state.load(self.model, self.optimizers)
        self.progress = RewardProgress(**state.progress)  # pyright: ignore[reportArgumentType]


def _begin(start: Path, card: RewardCard) -> RewardModel:
    """A model that begins as a policy's trunk, or as another reward model of the same head."""
    if not is_reward_model(start):
        return RewardModel.on(load_checkpoint(start)[0], card)
    before, _ = load_reward_model(start)
    model = RewardModel(before.config, card)
    try:
        model.load_state_dict(before.state_dict())
    except RuntimeError as error:
        raise BadInputError(
            f"`{start}` is a `{before.card.kind}` model with a `{before.card.head}` head",
            hint="begin from one of the same kind and head, or from a policy",
        ) from error
    return model


def _loss(model: RewardModel, batch: RewardBatch, bias: Tensor, ranking: float) -> Tensor:
    outputs = model(batch.tokens, batch.positions, bias)
    likelihood = beta_binomial_loss if model.card.head is Head.BETA else binomial_loss
    loss = likelihood(outputs, batch.good, batch.total)
    if ranking:
        logits = outputs[..., 0] - (outputs[..., 1] if model.card.head is Head.BETA else 0.0)
        loss = loss + ranking * ranking_loss(logits, batch.good, batch.total)
    return loss


def _advanced(progress: RewardProgress, loss: float, *, seconds: float) -> RewardProgress:
    step = progress.step + 1
    weight = max(0.02, 1 / step)
    smooth = loss if step == 1 else (1 - weight) * progress.loss + weight * loss
    return RewardProgress(step, seconds, smooth)
