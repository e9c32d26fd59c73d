import json
from pathlib import Path

import pytest
import torch
from gguf import GGUFReader
from servers.tiny import save_tiny

from mull.core.errors import CheckpointError
from mull.models.gguf import export_gguf, interleave_rotary


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("number_format", "bits"), [("f32", 32), ("f16", 16)])
def test_every_weight_is_in_the_file(
    tmp_path: Path, tied: bool, number_format: str, bits: int
) -> None:
    decoder, _ = save_tiny(tmp_path / "model", tied=tied)
    export_gguf(tmp_path / "model", tmp_path / "model.gguf", number_format=number_format)
    tensors = {each.name: each for each in GGUFReader(tmp_path / "model.gguf").tensors}
    assert len(tensors) == 2 * 9 + 2 + (not tied)
    assert all(
        each.data.dtype.itemsize * 8 == (bits if len(each.shape) == 2 else 32)
        for each in tensors.values()
    )
    gate = decoder.state_dict()["model.layers.1.mlp.gate_proj.weight"]
    assert torch.allclose(
        torch.tensor(tensors["blk.1.ffn_gate.weight"].data).float(), gate, atol=1e-2, rtol=1e-3
    )
    assert not list(tmp_path.glob("*.part"))


def test_rotary_pairs_are_adjacent() -> None:
    rows = torch.arange(8.0)[:, None]  # two heads of width 4: pairs (0, 2), (1, 3), then 4 later
    assert (
        interleave_rotary(rows, 2)[:, 0].int().equal(torch.tensor([0, 2, 1, 3, 4, 6, 5, 7]).int())
    )


def test_special_tokens_are_control_tokens_and_the_template_comes_along(tmp_path: Path) -> None:
    _, tokenizer = save_tiny(tmp_path / "model")
    export_gguf(tmp_path / "model", tmp_path / "model.gguf")
    fields = GGUFReader(tmp_path / "model.gguf").fields
    types = fields["tokenizer.ggml.token_type"].contents()
    assert types[tokenizer.token_id("<think>")] == 3
    assert types[tokenizer.token_id(" 12")] == 1
    assert fields["tokenizer.ggml.eos_token_id"].contents() == tokenizer.token_id("<|end|>")
    assert "add_generation_prompt" in fields["tokenizer.chat_template"].contents()


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        export_gguf(tmp_path / "nothing", tmp_path / "model.gguf")
    folder = tmp_path / "model"
    save_tiny(folder)
    with pytest.raises(CheckpointError, match="number format `q3` is unknown"):
        export_gguf(folder, tmp_path / "model.gguf", number_format="q3")
    with pytest.raises(CheckpointError, match="cannot write"):
        export_gguf(folder, tmp_path / "nowhere" / "model.gguf")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for change in (
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": {**tokenizer["pre_tokenizer"], "use_regex": False}},
        {"normalizer": {"type": "Lowercase"}},
    ):
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer | change))
        with pytest.raises(CheckpointError, match="in a way of its own"):
            export_gguf(folder, tmp_path / "model.gguf")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no byte-level BPE tokenizer"):
        export_gguf(folder, tmp_path / "model.gguf")


def test_a_reward_model_is_refused_by_name(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["architectures"] = ["LlamaForTokenClassification"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="is a `LlamaForTokenClassification`; only"):
        export_gguf(tmp_path, tmp_path / "model.gguf")
