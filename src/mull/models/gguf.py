"""Export of a checkpoint to one GGUF file, as llama.cpp reads and serves it.

The file holds the same numbers, the same tokenizer and the same chat template, so that a server
decodes the same tokens. Only rotary pairs lie differently: Hugging Face keeps the two halves of a
head apart, GGML interleaves them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy
import torch
from gguf import GGUFWriter, TokenType
from torch import Tensor

from mull.core.errors import CheckpointError
from mull.models.checkpoint import load_checkpoint
from mull.models.config import ModelConfig
from mull.models.transformer import Decoder

FORMATS: Final = ("f32", "f16")
"""Number formats of the matrices; vectors always stay fp32."""
ARCHITECTURE: Final = "LlamaForCausalLM"
_GPT2_SPLIT: Final = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
"""How GPT-2 cuts text before it merges bytes, as `tokenizer.json` says it."""

_BLOCK_NAMES: Final = (
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
)


def export_gguf(folder: Path, path: Path, *, number_format: str = "f32") -> None:
    """Write the checkpoint in `folder` to the GGUF file `path`, replacing what is there.

    `number_format` is one of `FORMATS`; `f32` loses nothing. Raises `CheckpointError` for a folder
    that is no whole Llama checkpoint or has another head (a reward model), a tokenizer that does
    not split text as GPT-2's, an unknown format, or a path that cannot be written.
    """
    if number_format not in FORMATS:
        raise CheckpointError(
            f"number format `{number_format}` is unknown", hint=f"use one of {', '.join(FORMATS)}"
        )
    _check_architecture(folder)
    model, _ = load_checkpoint(folder)
    writer = GGUFWriter(None, "llama")
    _add_shape(writer, model.config, folder.name)
    _add_tokenizer(writer, folder, model.config.vocab_size)
    for name, tensor in _tensors(model):
        narrow = number_format == "f16" and tensor.dim() == 2
        values = tensor.to(torch.float16 if narrow else torch.float32).contiguous().numpy()
        writer.add_tensor(
            name, cast("numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.generic]]", values)
        )
    _write(writer, path)


def _check_architecture(folder: Path) -> None:
    """Only what continues text is exported: no server would ask a reward head."""
    ModelConfig.load(folder)
    named = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures")
    if named not in (None, [ARCHITECTURE]):
        raise CheckpointError(
            f"`{folder}` is a `{', '.join(named)}`; only `{ARCHITECTURE}` can be exported to GGUF"
        )


def _write(writer: GGUFWriter, path: Path) -> None:
    part = path.with_name(f"{path.name}.part")  # so that a server never opens half a model
    try:
        writer.write_header_to_file(part)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        part.replace(path)
    except OSError as error:
        raise CheckpointError(f"cannot write `{path}`: {error.strerror}") from error


def _add_shape(writer: GGUFWriter, config: ModelConfig, name: str) -> None:
    writer.add_name(name)
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.ffn_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: GGUFWriter, folder: Path, vocab_size: int) -> None:
    """The tokenizer under the names of GPT-2's, whose pre-tokenizer it shares."""
    vocabulary = _Vocabulary.read(folder)
    if sorted(vocabulary.tokens) != list(range(vocab_size)):
        raise CheckpointError(
            f"the tokenizer of `{folder}` names {len(vocabulary.tokens)} tokens; its model has "
            f"{vocab_size}"
        )
    kinds = {True: TokenType.CONTROL, False: TokenType.NORMAL}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([vocabulary.tokens[index] for index in range(vocab_size)])
    writer.add_token_types([kinds[index in vocabulary.special] for index in range(vocab_size)])
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.begin)
    writer.add_eos_token_id(vocabulary.end)
    writer.add_pad_token_id(vocabulary.pad)
    writer.add_add_bos_token(value=False)  # the template writes it
    writer.add_chat_template(vocabulary.template)


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """A tokenizer as its files say it."""

    tokens: dict[int, str]
    special: frozenset[int]
    merges: list[str]
    begin: int
    end: int
    pad: int
    template: str

    @classmethod
    def read(cls, folder: Path) -> _Vocabulary:
        try:
            tokenizer, settings, config = (
                json.loads((folder / name).read_text(encoding="utf-8"))
                for name in ("tokenizer.json", "tokenizer_config.json", "config.json")
            )
            _check_splitting(folder, tokenizer)
            added = {int(each["id"]): str(each["content"]) for each in tokenizer["added_tokens"]}
            tokens = {
                int(index): str(token) for token, index in tokenizer["model"]["vocab"].items()
            }
            return cls(
                tokens | added,
                frozenset(added),
                [" ".join(pair) for pair in tokenizer["model"]["merges"]],
                *(int(config[f"{name}_token_id"]) for name in ("bos", "eos", "pad")),
                template=str(settings["chat_template"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"`{folder}` has no byte-level BPE tokenizer with a chat template: {error!r}"
            ) from error


def _check_splitting(folder: Path, tokenizer: Mapping[str, Any]) -> None:
    """Another way to cut text would decode, but never to the tokens the model was trained on."""
    split: Mapping[str, Any] = tokenizer["pre_tokenizer"] or {}
    is_gpt2 = all(split.get(name) == value for name, value in _GPT2_SPLIT.items())
    if tokenizer["normalizer"] or not is_gpt2:
        raise CheckpointError(
            f"the tokenizer of `{folder}` cuts or changes text in a way of its own; GGUF export "
            "knows byte-level BPE that cuts it as GPT-2 does",
            hint="llama.cpp's own `convert_hf_to_gguf.py` knows many others",
        )


def _tensors(model: Decoder) -> Iterator[tuple[str, Tensor]]:
    config, weights = model.config, model.state_dict()
    yield "token_embd.weight", weights["model.embed_tokens.weight"]
    yield "output_norm.weight", weights["model.norm.weight"]
    if not config.tie_embeddings:
        yield "output.weight", weights["lm_head.weight"]
    heads = {"attn_q": config.num_heads, "attn_k": config.num_kv_heads}
    for layer in range(config.num_layers):
        for name, origin in _BLOCK_NAMES:
            tensor = weights[f"model.layers.{layer}.{origin}.weight"]
            placed = interleave_rotary(tensor, heads[name]) if name in heads else tensor
            yield f"blk.{layer}.{name}.weight", placed


def interleave_rotary(weight: Tensor, num_heads: int) -> Tensor:
    """Rows (H*D, C) of a query or key projection with the pair (i, i + D/2) of a head adjacent."""
    rows, width = weight.shape
    halves = weight.view(num_heads, 2, rows // num_heads // 2, width)  # (H, half, D/2, C)
    return halves.transpose(1, 2).reshape(rows, width)
