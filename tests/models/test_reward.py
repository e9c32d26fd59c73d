"""Reward models on disk: what `transformers` computes from the same folder, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from toy_rewards import toy_reward_model, write_toy_reward_model
from toys import TOKENIZER, TOY

from mull.core.errors import CheckpointError
from mull.models.reward import Familiarity, load_reward_model, save_reward_model
from mull.models.reward_card import Head, RewardCard, RewardKind, is_reward_model

PAD = 0
TOKENS = torch.randint(1, TOY.vocab_size, (3, 40), generator=torch.Generator().manual_seed(5))


def theirs(kind: str, folder: Path) -> Any:
    return getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32).eval()


@torch.inference_mode()
@pytest.mark.parametrize("head", list(Head))
def test_a_process_model_is_a_token_classifier_of_transformers(tmp_path: Path, head: Head) -> None:
    folder = write_toy_reward_model(tmp_path, head=head)
    model, _ = load_reward_model(folder)
    expected = theirs("LlamaForTokenClassification", folder)(TOKENS).logits
    assert expected.shape == (3, 40, head.num_outputs)
    assert (model(TOKENS) - expected).abs().max() < 1e-4
    assert expected.std() > 0.1, "the toy says the same everywhere"


@torch.inference_mode()
@pytest.mark.parametrize("head", list(Head))
def test_an_outcome_model_is_a_sequence_classifier_of_transformers(
    tmp_path: Path, head: Head
) -> None:
    folder = write_toy_reward_model(tmp_path, kind=RewardKind.OUTCOME, head=head)
    model, _ = load_reward_model(folder)
    padded = TOKENS.clone()
    padded[0, 25:] = PAD
    expected = theirs("LlamaForSequenceClassification", folder)(padded).logits
    ours = model(TOKENS)[torch.arange(3), torch.tensor([24, 39, 39])]
    assert (ours - expected).abs().max() < 1e-4


def test_the_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    card = RewardCard(
        RewardKind.PROCESS,
        Head.BETA,
        "exact",
        "mull-base@1",
        ("countdown", "chain"),
        "min",
        {"countdown": {"kind": "platt", "slope": 1.5, "shift": -0.25}},
        {"countdown": 0.02},
        1.75,
    )
    save_reward_model(tmp_path, toy_reward_model(card), TOKENIZER, dtype=torch.float16)
    assert RewardCard.load(tmp_path) == card
    assert is_reward_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["LlamaForTokenClassification"]
    assert config["id2label"] == {"0": "good", "1": "bad"}


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ({"mull": None}, "describes no reward model"),
        ({"mull": {"kind": "process"}}, "describes no reward model"),
        ({"mull": {"kind": "oracle", "head": "beta", "families": []}}, "describes no reward model"),
    ],
)
def test_a_folder_without_a_card_is_refused(
    tmp_path: Path, damage: dict[str, object], error: str
) -> None:
    folder = write_toy_reward_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **damage}))
    with pytest.raises(CheckpointError, match=error):
        load_reward_model(folder)


def test_weights_that_do_not_fit_or_cannot_be_read_are_one_clear_error(tmp_path: Path) -> None:
    folder = write_toy_reward_model(tmp_path / "beta", head=Head.BETA)
    other = write_toy_reward_model(tmp_path / "binary", head=Head.BINARY)
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"does not fit its config\.json"):
        load_reward_model(folder)
    (folder / "model.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        load_reward_model(folder)


def test_what_is_no_reward_model_is_told_apart(tmp_path: Path) -> None:
    assert not is_reward_model(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("[]")
    assert not is_reward_model(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert not is_reward_model(tmp_path)


def test_familiar_features_are_near_and_foreign_ones_far() -> None:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    mixing = torch.randn(16, 16)
    known = torch.randn(5_000, 16) @ mixing + 3.0
    familiarity = Familiarity.of(known, shrinkage=0.0)
    assert familiarity(known).square().mean().item() == pytest.approx(1.0, rel=1e-3)
    # The distance is counted in standard deviations of the direction, not in length.
    values, directions = np.linalg.eigh((mixing.T @ mixing).double().numpy())
    thin, thick = (torch.tensor(directions[:, index]).float() for index in (0, -1))
    step, centre = 5 * float(values[0]) ** 0.5, known.mean(0)
    assert familiarity(centre + step * thin) > 3 * familiarity(centre + step * thick)
    assert familiarity(centre + 100 * thick) > 2
