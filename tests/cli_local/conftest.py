"""The command line over real (tiny, random) models: these tests need torch."""

from pathlib import Path

import pytest
import torch
from cli.conftest import Mull, Ran, journal, mull
from toy_rewards import write_toy_reward_model

from mull.models.checkpoint import save_checkpoint
from mull.models.config import ModelConfig
from mull.models.tokenizer import VOCAB_SIZE, TextTokenizer
from mull.models.transformer import Decoder

__all__ = ["Mull", "Ran", "journal", "mull"]

torch.set_num_threads(1)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A model that knows nothing: its text is noise, drawn like any other."""
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    model = Decoder(ModelConfig(VOCAB_SIZE, 32, 1, 1, 1, 32, max_positions=64))
    folder = tmp_path / "toy"
    save_checkpoint(folder, model, TextTokenizer.built(), dtype=torch.float16)
    return folder


@pytest.fixture
def reward_model(tmp_path: Path) -> Path:
    """A reward model that has learned nothing."""
    return write_toy_reward_model(tmp_path / "prm", families=("countdown", "chain"))
