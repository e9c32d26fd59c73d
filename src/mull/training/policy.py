"""Trains a policy from nothing: data made on the fly, checkpoints that a killed run resumes from.

Matrices are optimised with Muon (Jordan et al. 2024), the rest with AdamW; the learning rate warms
up and then falls linearly to zero with the share of the token (or time) budget that is spent, so
that a run always ends decayed, however fast the machine was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from mull.core.errors import BadInputError
from mull.core.seeds import derive_seed
from mull.models.checkpoint import save_checkpoint
from mull.models.config import ModelConfig
from mull.models.memory import keep_freed_memory
from mull.models.tokenizer import VOCAB_SIZE, TextTokenizer
from mull.models.transformer import Decoder
from mull.training.batch import IGNORED, ROW_LENGTH, Batch, concatenate
from mull.training.countdown_rows import CountdownRows
from mull.training.run_folder import (
    SECONDS_BETWEEN_SAVES,
    SavedState,
    optimizers_of,
    publish,
    save_state,
    take_step,
    writing,
)
from mull.training.text_rows import TextRows

SHAPES: Final[Mapping[str, ModelConfig]] = {
    "mini": ModelConfig(VOCAB_SIZE, 64, 4, 2, 2, 160),
    "base": ModelConfig(VOCAB_SIZE, 192, 6, 6, 6, 512),
}
"""The shipped family: non-embedding sizes stand 1 : 14."""

COUNTDOWN_MIX: Final[Mapping[int, int]] = {3: 1, 4: 17, 5: 5, 6: 4}
"""Rows of each start size in a batch of 40; the 13 others are text rows."""
TEXT_ROWS: Final = 13
BATCH_TOKENS: Final = (sum(COUNTDOWN_MIX.values()) + TEXT_ROWS) * ROW_LENGTH

MATRIX_RATE: Final = 0.02
OTHER_RATE: Final = 3e-3
WARMUP_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What to train and for how long; whichever limit is reached first ends the run."""

    size: str
    """A key of `SHAPES`."""
    max_tokens: int
    max_minutes: float = float("inf")
    seed: int = 0
    device: str = "cpu"
    compiled: bool = True

    def __post_init__(self) -> None:
        if self.size not in SHAPES:
            raise BadInputError(f"no model size `{self.size}`; known: {', '.join(SHAPES)}")
        if self.max_tokens <= 0 or self.max_minutes <= 0:
            raise BadInputError("training needs a positive number of tokens and of minutes")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = float("nan")
    """Mean cross-entropy a trained token, in nats, smoothed over about 50 steps."""

    def share(self, plan: TrainingPlan) -> float:
        """The larger spent share of the two limits, in [0, 1]."""
        return min(1.0, max(self.tokens / plan.max_tokens, self.seconds / 60 / plan.max_minutes))


def batches(tokenizer: TextTokenizer, seed: int, first_step: int, device: str) -> Iterator[Batch]:
    """The batch of every step from `first_step`; step t is a function of the seed and t alone."""
    countdown = CountdownRows.of(tokenizer)
    step = first_step
    while True:
        generator = torch.Generator(device).manual_seed(derive_seed(seed, "countdown", step))
        parts = [countdown.batch(rows, size, generator) for size, rows in COUNTDOWN_MIX.items()]
        text = TextRows(tokenizer, derive_seed(seed, "text", step)).batch(TEXT_ROWS)
        yield concatenate([*parts, text.to(device)])
        step += 1


class PolicyTrainer:
    """Owns the model and its optimisers for one run in one folder."""

    def __init__(self, plan: TrainingPlan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        keep_freed_memory()
        self.tokenizer = TextTokenizer.built()
        torch.manual_seed(derive_seed(plan.seed, "weights"))  # pyright: ignore[reportUnknownMemberType]
        self.model = Decoder(SHAPES[plan.size]).to(plan.device)
        self.optimizers = optimizers_of(self.model, matrix_rate=MATRIX_RATE, other_rate=OTHER_RATE)
        self.progress = Progress()
        self._loss = torch.compile(_loss) if plan.compiled else _loss  # pyright: ignore[reportUnknownMemberType]
        self._resume()

    def run(self, report: Callable[[Progress], None]) -> Path:
        """Train to the end of the plan; return the folder of the finished checkpoint (fp16)."""
        last_save = started = monotonic()
        before = self.progress.seconds
        stream = batches(self.tokenizer, self.plan.seed, self.progress.step, self.plan.device)
        while self.progress.share(self.plan) < 1:
            loss = self._step(next(stream))
            now = monotonic()
            self.progress = _advanced(self.progress, loss, seconds=before + now - started)
            report(self.progress)
            if now - last_save > SECONDS_BETWEEN_SAVES:
                self.save()
                last_save = now
        self.save()
        with writing(self.folder):
            return self._publish("model")

    def _step(self, batch: Batch) -> float:
        bias = batch.attention_bias(torch.bfloat16)
        with torch.autocast(self.plan.device.split(":")[0], torch.bfloat16):
            loss = self._loss(self.model, batch.tokens, batch.positions, bias, batch.targets)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        take_step(self.optimizers, rate=_rate(self.progress, self.plan))
        return float(loss.detach())

    def save(self) -> None:
        """Put down where the run stands, and the model as it is."""
        save_state(
            self.folder,
            self.model,
            self.optimizers,
            plan=asdict(self.plan),
            progress=asdict(self.progress),
        )
        with writing(self.folder):
            self._publish("snapshot")

    def _publish(self, name: str) -> Path:
        """Write the model as a checkpoint folder of that name (fp16), in place of an older one."""

        def save(folder: Path) -> None:
            save_checkpoint(folder, self.model, self.tokenizer, dtype=torch.float16)

        return publish(self.folder, name, save)

    def _resume(self) -> None:
        state = SavedState.read(self.folder, self.plan.device)
        if state is None:
            return
        stored = TrainingPlan(**state.plan)  # pyright: ignore[reportArgumentType]
        limits = {"max_tokens": 1, "max_minutes": 1.0, "device": "", "compiled": True}
        if replace(stored, **limits) != replace(self.plan, **limits):
            raise BadInputError(
                f"`{self.folder}` holds a run of another plan ({stored.size}, seed {stored.seed})",
                hint="name another folder, or the same size and seed",
            )
        state.load(self.model, self.optimizers)
        self.progress = Progress(**state.progress)  # pyright: ignore[reportArgumentType]


def _loss(
    model: Decoder, tokens: Tensor, positions: Tensor, bias: Tensor, targets: Tensor
) -> Tensor:
    logits = model(tokens, positions, bias)
    return functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED
    )


def _rate(progress: Progress, plan: TrainingPlan) -> float:
    """The factor on every learning rate: linear warm-up, then linear decay to zero."""
    return min((progress.step + 1) / WARMUP_STEPS, 1.0 - progress.share(plan))


def _advanced(progress: Progress, loss: float, *, seconds: float) -> Progress:
    step = progress.step + 1
    weight = max(0.02, 1 / step)  # a plain mean at first, then the last 50 steps or so
    smooth = loss if step == 1 else (1 - weight) * progress.loss + weight * loss
    return Progress(step, progress.tokens + BATCH_TOKENS, seconds, smooth)
