"""Reward models: the decoder's trunk under a small linear head, one value or two a judged place.

Weights are named as in `transformers`' `LlamaForTokenClassification` (process) and
`LlamaForSequenceClassification` (outcome). Axes: B rows, T tokens, C hidden width, L outputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]
    save_file,  # pyright: ignore[reportUnknownVariableType]
)
from torch import Tensor, nn

from mull.core.errors import CheckpointError
from mull.models.checkpoint import WEIGHTS
from mull.models.config import ModelConfig
from mull.models.reward_card import RewardCard, RewardKind
from mull.models.tokenizer import BEGIN, END, PAD, TextTokenizer
from mull.models.transformer import Decoder, Trunk, rotary_table

FAMILIARITY: Final = "early_features.safetensors"
"""Mean and whitening of the training features; `transformers` ignores the file."""


class Look(NamedTuple):
    """What a reward model sees of tokens."""

    early: Tensor
    """After the first block: what is there, before it is reduced to whether it is good. Foreign
    numbers are told by it; at the end nine tenths of the difference is gone."""
    late: Tensor
    """What the head reads."""


class RewardModel(nn.Module):
    """A trunk and a head; the head begins at zero, so that a fresh one says 1/2 of everything."""

    def __init__(self, config: ModelConfig, card: RewardCard) -> None:
        super().__init__()
        self.config = config
        self.card = card
        self.model = Trunk(config)
        self.score = nn.Linear(
            config.hidden_size, card.head.num_outputs, bias=card.kind is RewardKind.PROCESS
        )
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)

    @classmethod
    def on(cls, decoder: Decoder, card: RewardCard) -> RewardModel:
        """A reward model that begins from a policy's trunk."""
        model = cls(decoder.config, card)
        model.model.load_state_dict(decoder.model.state_dict())
        return model

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Outputs (B, T, L); positions and mask as in `Decoder`."""
        return self.score(self.features(tokens, positions, mask))

    def features(
        self, tokens: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, C) that the head reads."""
        return self.look(tokens, positions, mask).late

    def look(
        self, tokens: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
    ) -> Look:
        """Hidden states after the first block and at the end, both (B, T, C)."""
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        trunk = self.model
        early = x = trunk.embed_tokens(tokens)
        rotary = rotary_table(positions, self.config, x.dtype)
        for index, block in enumerate(trunk.layers):
            x = block(x, rotary, mask)
            early = early if index else x
        return Look(early, trunk.norm(x))


class Familiarity(nn.Module):
    """How far early features are from those of training, by Mahalanobis (Lee et al. 2018)."""

    def __init__(self, mean: Tensor, whitening: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("whitening", whitening)

    @classmethod
    def of(cls, features: Tensor, *, shrinkage: float = 0.01) -> Familiarity:
        """Fit to features (N, C); the covariance is shrunk towards a multiple of the identity."""
        wide = features.double().numpy()
        centred = wide - wide.mean(0)
        covariance: NDArray[np.float64] = centred.T @ centred / len(wide)
        width = len(covariance)
        level = np.trace(covariance) / width
        covariance = (1 - shrinkage) * covariance + shrinkage * level * np.eye(width)
        inverse: NDArray[np.floating[Any]] = np.linalg.inv(covariance)
        whitening = torch.tensor(np.linalg.cholesky(inverse).T)
        return cls(torch.tensor(wide.mean(0)).float(), whitening.float().contiguous())

    def forward(self, features: Tensor) -> Tensor:
        """Distances (...) of features (..., C), divided by sqrt(C): about 1 where all is known."""
        mean, whitening = cast("Tensor", self.mean), cast("Tensor", self.whitening)
        white = (features.float() - mean) @ whitening.T
        return white.square().mean(-1).sqrt()


def save_reward_model(
    folder: Path,
    model: RewardModel,
    tokenizer: TextTokenizer,
    familiarity: Familiarity | None = None,
    *,
    dtype: torch.dtype,
) -> None:
    """Write a folder that `transformers` loads as a Llama classifier, with mull's card."""
    folder.mkdir(parents=True, exist_ok=True)
    bos, eos, pad = (tokenizer.token_id(token) for token in (BEGIN, END, PAD))
    name = str(dtype).removeprefix("torch.")
    model.config.save(folder, dtype=name, bos=bos, eos=eos, pad=pad)
    (folder / "generation_config.json").unlink()  # it generates nothing
    model.card.save(folder)
    tokenizer.save(folder)
    weights = {
        key: tensor.detach().to("cpu", dtype).contiguous()
        for key, tensor in model.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    if familiarity is not None:
        save_file(familiarity.state_dict(), folder / FAMILIARITY)


def load_reward_model(
    folder: Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> tuple[RewardModel, Familiarity | None]:
    """Read a reward model's folder; anything missing, cut short or misshapen is an error."""
    config, card = ModelConfig.load(folder), RewardCard.load(folder)
    model = RewardModel(config, card)
    path = folder / WEIGHTS
    try:
        model.load_state_dict(load_file(path))
        familiarity = _load_familiarity(folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot read the weights in `{folder}`: {error}",
            hint="fetch or train the checkpoint again",
        ) from error
    except RuntimeError as error:
        raise CheckpointError(f"`{path}` does not fit its config.json: {error}") from error
    if familiarity is not None:
        familiarity = familiarity.to(device)
    return model.to(device, dtype).eval(), familiarity


def _load_familiarity(folder: Path) -> Familiarity | None:
    path = folder / FAMILIARITY
    if not path.exists():
        return None
    weights = load_file(path)
    return Familiarity(weights["mean"], weights["whitening"])
