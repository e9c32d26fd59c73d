"""A tiny reward model with random weights, as a checkpoint folder."""

from pathlib import Path

import torch
from toys import TOKENIZER, toy_decoder

from mull.models.reward import Familiarity, RewardModel, save_reward_model
from mull.models.reward_card import Head, RewardCard, RewardKind


def toy_reward_model(card: RewardCard, seed: int = 0) -> RewardModel:
    """One whose values differ from place to place."""
    model = RewardModel.on(toy_decoder(seed), card)
    with torch.no_grad():
        model.score.weight.normal_()
    return model.eval()


def write_toy_reward_model(
    folder: Path,
    *,
    kind: RewardKind = RewardKind.PROCESS,
    head: Head = Head.BETA,
    families: tuple[str, ...] = ("countdown",),
    max_distance: float | None = None,
    aggregation: str = "last",
) -> Path:
    """The toy as a checkpoint folder, in float32."""
    card = RewardCard(
        kind,
        head,
        "exact",
        "toy",
        families,
        aggregation=aggregation,
        max_distance=max_distance,
    )
    model = toy_reward_model(card)
    features = torch.randn(500, model.config.hidden_size)
    save_reward_model(folder, model, TOKENIZER, Familiarity.of(features), dtype=torch.float32)
    return folder
