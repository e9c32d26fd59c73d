"""Checkpoints that cannot be used say so."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from toys import TOY, toy_decoder, write_toy_checkpoint

from mull.core.errors import CheckpointError
from mull.models.checkpoint import load_checkpoint
from mull.models.config import ModelConfig

Damage = Callable[[Path], object]


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
    "half the weights": (lambda folder: cut(folder / "model.safetensors", 0.5), "safetensors"),
    "a cut header": (lambda folder: cut(folder / "model.safetensors", 0.001), "safetensors"),
    "empty weights": (lambda folder: cut(folder / "model.safetensors", 0), "safetensors"),
    "half a tokenizer": (lambda folder: cut(folder / "tokenizer.json", 0.5), "tokenizer.json"),
    "half a config": (lambda folder: cut(folder / "config.json", 0.5), "not JSON"),
    "a list for a config": (lambda folder: (folder / "config.json").write_text("[]"), "Llama"),
    "another architecture": (lambda folder: edit(folder, model_type="gpt2"), "Llama"),
    "another width": (lambda folder: edit(folder, intermediate_size=128), "does not fit"),
    "more layers": (lambda folder: edit(folder, num_hidden_layers=3), "does not fit"),
    "fewer layers": (lambda folder: edit(folder, num_hidden_layers=1), "does not fit"),
    "an odd width": (lambda folder: edit(folder, hidden_size=65), "multiple of 32"),
    "no heads": (lambda folder: edit(folder, num_attention_heads=0), "num_heads"),
    "heads that do not divide": (lambda folder: edit(folder, num_attention_heads=3), "divide"),
    "heads too narrow to turn": (
        lambda folder: edit(folder, num_attention_heads=64, num_key_value_heads=64),
        "even width",
    ),
    "another head width": (lambda folder: edit(folder, head_dim=32), "head_dim"),
    "a word for a number": (lambda folder: edit(folder, hidden_size="big"), "hidden_size"),
    "a word for an epsilon": (lambda folder: edit(folder, rms_norm_eps="tiny"), "rms_norm_eps"),
    "biases": (lambda folder: edit(folder, attention_bias=True), "attention_bias"),
    "another rotation": (lambda folder: edit(folder, rope_scaling={"factor": 2}), "rope_scaling"),
    "a nested rotation": (
        lambda folder: edit(folder, rope_parameters={"rope_type": "llama3", "rope_theta": 1e4}),
        "rope_type",
    ),
    "another activation": (lambda folder: edit(folder, hidden_act="gelu"), "hidden_act"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_refused_by_what_is_wrong_with_it(
    name: str, tmp_path: Path
) -> None:
    damage, complaint = DAMAGES[name]
    folder = write_toy_checkpoint(tmp_path / "toy")
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert complaint in caught.value.message


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_config_survives_its_file(tmp_path: Path) -> None:
    TOY.save(tmp_path, dtype="float32", bos=1, eos=2, pad=0)
    assert ModelConfig.load(tmp_path) == TOY


def test_core_parameters_are_those_of_the_weights_but_the_embeddings() -> None:
    core = sum(
        parameter.numel()
        for name, parameter in toy_decoder().named_parameters()
        if "embed" not in name and "lm_head" not in name
    )
    assert TOY.num_core_parameters == core


def test_flops_count_two_a_weight_and_four_a_cached_channel() -> None:
    weights = TOY.num_core_parameters + TOY.vocab_size * TOY.hidden_size
    assert TOY.flops_per_token(0) == 2 * weights
    per_position = TOY.flops_per_token(1) - TOY.flops_per_token(0)
    assert per_position == 4 * TOY.num_layers * TOY.hidden_size
