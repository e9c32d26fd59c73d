"""One run from labelled states to a finished reward model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import torch

from mull.core.errors import BadInputError
from mull.core.seeds import derive_seed
from mull.models.reward import save_reward_model
from mull.models.reward_card import RewardCard
from mull.training.reward import RewardPlan, RewardProgress, RewardTrainer, is_validation
from mull.training.reward_fit import fit
from mull.training.reward_rows import Labels
from mull.training.states import LabelledProblem, StateFolder


@dataclass(slots=True)
class RewardRun:
    """Trains, fits what is fitted on held-out problems, and publishes. Owns its trainer."""

    trainer: RewardTrainer
    trained: list[LabelledProblem]
    kept: list[LabelledProblem]
    """Problems for validation."""
    card: RewardCard

    @classmethod
    def begin(
        cls, plan: RewardPlan, states: Sequence[Path], start: Path, folder: Path
    ) -> RewardRun:
        """Read the states and make the model, or go on where the folder's run was stopped.

        Raises `BadInputError` for states that have no labels of the wanted kind.
        """
        folders = [StateFolder.open(each) for each in states]
        for each in folders:
            if each.plan.search == "steps" and plan.labels is not Labels.EXACT:
                raise BadInputError(
                    f"`{each.folder}` has no rollouts, so there are no labels `{plan.labels}`",
                    hint="train on exact labels, or on states made with `--search mc`",
                )
        problems = [problem for each in folders for problem in each.read()]
        trained = [each for each in problems if not is_validation(each)]
        if plan.limit is not None and plan.limit < len(trained):
            trained = Random(derive_seed(plan.seed, "limit")).sample(trained, plan.limit)
        kept = [each for each in problems if is_validation(each)]
        searches = "+".join(dict.fromkeys(each.plan.search for each in folders))
        card = RewardCard(
            plan.kind,
            plan.head,
            f"{plan.labels} ({searches})",
            "+".join(dict.fromkeys(each.plan.policy for each in folders)),
            tuple(sorted({problem.family for problem in trained})),
        )
        return cls(RewardTrainer(plan, card, start, trained, folder), trained, kept, card)

    def finish(self, report: Callable[[RewardProgress], None]) -> Path:
        """Train to the end; the folder of the finished model (fp16)."""
        self.trainer.run(report)
        model = self.trainer.model.to("cpu", torch.float32).eval()
        fitted = fit(model, self.trained, self.kept)
        self.card = model.card = replace(fitted.card)

        def save(folder: Path) -> None:
            save_reward_model(
                folder, model, self.trainer.tokenizer, fitted.familiarity, dtype=torch.float16
            )

        return self.trainer.publish(save)
