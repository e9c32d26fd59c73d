"""The folder of one training run: a state that a killed run resumes from, and its model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Final, cast

import torch
from torch import Tensor, nn

from mull.core.errors import CheckpointError, StoreError

STATE_FILE: Final = "state.pt"
SECONDS_BETWEEN_SAVES: Final = 120.0

Optimizers = tuple[torch.optim.Optimizer, torch.optim.Optimizer]


def optimizers_of(model: nn.Module, *, matrix_rate: float, other_rate: float) -> Optimizers:
    """Muon (Jordan et al. 2024) for the matrices of the layers, AdamW for the rest."""
    named = dict(model.named_parameters())
    matrices = [p for name, p in named.items() if p.dim() == 2 and "layers" in name]
    others = [p for name, p in named.items() if p.dim() != 2 or "layers" not in name]
    both = (
        torch.optim.Muon(matrices, lr=matrix_rate, weight_decay=0.01, momentum=0.95),
        torch.optim.AdamW(others, lr=other_rate, betas=(0.9, 0.99), weight_decay=0.0),
    )
    for optimizer in both:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return both


def take_step(optimizers: Optimizers, *, rate: float) -> None:
    """Apply the gradients at this share of each learning rate, and forget them."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate
        optimizer.step()
        optimizer.zero_grad()


@contextmanager
def writing(folder: Path) -> Generator[None]:
    """Attribute a failed write to the disk; torch reports a full one as a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise StoreError(
            f"cannot write to `{folder}`: {error}",
            hint="free some space and run the same command; it goes on from the last state saved",
        ) from error


def save_state(
    folder: Path,
    model: nn.Module,
    optimizers: Optimizers,
    *,
    plan: Mapping[str, object],
    progress: Mapping[str, object],
) -> None:
    """Replace the resumable state in one rename, so that a kill leaves the old or the new."""
    state = {
        "plan": json.dumps(plan),
        "progress": json.dumps(progress),
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / (STATE_FILE + ".new")
        torch.save(state, new)
        new.replace(folder / STATE_FILE)


class SavedState:
    """A state read back; nothing is loaded into a model before its plan has been looked at."""

    def __init__(self, state: Mapping[str, object]) -> None:
        self.plan = cast("dict[str, object]", json.loads(cast("str", state["plan"])))
        self.progress = cast("dict[str, object]", json.loads(cast("str", state["progress"])))
        self._model = cast("dict[str, Tensor]", state["model"])
        self._optimizers = cast("list[dict[str, object]]", state["optimizers"])

    @classmethod
    def read(cls, folder: Path, device: str) -> SavedState | None:
        """The state of a folder; None where there is none. Raises `CheckpointError`."""
        path = folder / STATE_FILE
        if not path.exists():
            return None
        try:
            return cls(cast("dict[str, object]", torch.load(path, map_location=device)))
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise CheckpointError(
                f"cannot resume from `{path}`: {error}",
                hint="delete it to train anew, or name another folder",
            ) from error

    def load(self, model: nn.Module, optimizers: Optimizers) -> None:
        """Put a model and its optimisers where they were."""
        model.load_state_dict(self._model)
        for optimizer, values in zip(optimizers, self._optimizers, strict=True):
            optimizer.load_state_dict(values)


def publish(folder: Path, name: str, save: Callable[[Path], None]) -> Path:
    """Write a checkpoint folder of that name, in place of an older one; `save` fills it."""
    new, path = folder / f"{name}.new", folder / name
    save(new)
    shutil.rmtree(path, ignore_errors=True)
    return new.replace(path)
