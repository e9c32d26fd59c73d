"""Shape of a Llama-architecture decoder, in and out of Hugging Face `config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, cast

from mull.core.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of one decoder. Widths are multiples of 32, so that any quantiser takes them."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    ffn_size: int
    max_positions: int = 512
    """Longest sequence the model was trained for, in tokens."""
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    tie_embeddings: bool = True

    def __post_init__(self) -> None:
        for name in ("num_layers", "num_heads", "num_kv_heads", "max_positions"):
            if getattr(self, name) < 1:
                raise CheckpointError(f"`{name}` is {getattr(self, name)}; it must be at least 1")
        for name in ("vocab_size", "hidden_size", "ffn_size"):
            if getattr(self, name) % 32 or getattr(self, name) <= 0:
                raise CheckpointError(
                    f"`{name}` is {getattr(self, name)}; it must be a multiple of 32"
                )
        if self.hidden_size % self.num_heads or self.num_heads % self.num_kv_heads:
            raise CheckpointError(
                f"{self.num_heads} heads and {self.num_kv_heads} key-value heads do not divide "
                f"a hidden size of {self.hidden_size}"
            )
        if self.head_dim % 2:
            raise CheckpointError(f"a head is {self.head_dim} wide; rotation needs an even width")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def num_core_parameters(self) -> int:
        """Parameters without the embedding table: the size that scaling claims quote."""
        attention = 2 * self.hidden_size * self.head_dim * (self.num_heads + self.num_kv_heads)
        feed_forward = 3 * self.hidden_size * self.ffn_size
        norms = 2 * self.hidden_size
        return self.num_layers * (attention + feed_forward + norms) + self.hidden_size

    def flops_per_token(self, context: int) -> float:
        """Forward FLOPs of one token that attends to `context` positions."""
        head = self.vocab_size * self.hidden_size
        attention = 2 * self.num_layers * self.hidden_size * context
        return 2.0 * (self.num_core_parameters + head + attention)

    def trunk_flops(self, num_tokens: int) -> float:
        """Forward FLOPs of a whole sequence up to the last hidden states: no vocabulary."""
        contexts = num_tokens * (num_tokens + 1) / 2
        attention = 2 * self.num_layers * self.hidden_size * contexts
        return 2.0 * (num_tokens * self.num_core_parameters + attention)

    def save(self, folder: Path, *, dtype: str, bos: int, eos: int, pad: int) -> None:
        """Write `config.json` and `generation_config.json` as `transformers` reads them."""
        tokens = {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad}
        config = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.ffn_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_positions,
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": self.tie_embeddings,
            "torch_dtype": dtype,
            **tokens,
        }
        _write_json(folder / "config.json", config)
        _write_json(folder / "generation_config.json", {"do_sample": True, **tokens})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the `config.json` of a Llama checkpoint; any other architecture is refused."""
        if not folder.is_dir():
            raise CheckpointError(f"no checkpoint folder `{folder}`")
        path = folder / "config.json"
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError(f"cannot read `{path}`: {error.strerror}") from error
        except ValueError as error:
            raise CheckpointError(f"`{path}` is not JSON: {error}") from error
        if not isinstance(raw, dict) or cast("dict[str, object]", raw).get("model_type") != "llama":
            raise CheckpointError(f"`{path}` is not a Llama checkpoint; only that is supported")
        return cls._from_json(cast("dict[str, object]", raw), path)

    @classmethod
    def _from_json(cls, raw: dict[str, object], path: Path) -> Self:
        for name, supported in SUPPORTED.items():
            if raw.get(name) not in supported:
                raise CheckpointError(f"`{path}` sets `{name}`, which is not supported")
        rotary = _rotary(raw, path)
        try:
            heads = _whole(raw, "num_attention_heads")
            config = cls(
                vocab_size=_whole(raw, "vocab_size"),
                hidden_size=_whole(raw, "hidden_size"),
                num_layers=_whole(raw, "num_hidden_layers"),
                num_heads=heads,
                num_kv_heads=_whole(raw, "num_key_value_heads", heads),
                ffn_size=_whole(raw, "intermediate_size"),
                max_positions=_whole(raw, "max_position_embeddings", 2048),
                rope_theta=_real(rotary, "rope_theta", 10_000.0),
                norm_eps=_real(raw, "rms_norm_eps", 1e-6),
                tie_embeddings=bool(raw.get("tie_word_embeddings", False)),
            )
        except KeyError as error:
            raise CheckpointError(f"`{path}` lacks or garbles {error}") from error
        if _whole(raw, "head_dim", config.head_dim) != config.head_dim:
            raise CheckpointError(
                f"`{path}` sets `head_dim` {raw['head_dim']}; only hidden size / heads is supported"
            )
        return config


SUPPORTED: Final[Mapping[str, tuple[object, ...]]] = {
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "rope_scaling": (None,),
    "quantization_config": (None,),
    "hidden_act": (None, "silu"),
}
"""Settings that change the network, and the values of them that this one is."""


def _rotary(raw: dict[str, object], path: Path) -> dict[str, object]:
    """Where `rope_theta` is: `transformers` 5 nests it, older files have it on top."""
    nested = raw.get("rope_parameters")
    if not isinstance(nested, dict):
        return raw
    rotary = cast("dict[str, object]", nested)
    if rotary.get("rope_type", "default") != "default":
        raise CheckpointError(f"`{path}` sets `rope_type` {rotary['rope_type']}; not supported")
    return rotary


def _whole(raw: dict[str, object], name: str, default: int | None = None) -> int:
    value = raw.get(name, default)
    if not isinstance(value, int):
        raise KeyError(name)
    return value


def _real(raw: dict[str, object], name: str, default: float) -> float:
    value = raw.get(name, default)
    if not isinstance(value, int | float):
        raise KeyError(name)
    return float(value)


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
