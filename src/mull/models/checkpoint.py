"""Standard Hugging Face checkpoint folders: config, safetensors weights, tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError

# Their annotations leave the parameter of `PathLike` open.
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]
    save_file,  # pyright: ignore[reportUnknownVariableType]
)

from mull.core.errors import CheckpointError
from mull.models.config import ModelConfig
from mull.models.tokenizer import BEGIN, END, PAD, TextTokenizer
from mull.models.transformer import Decoder

WEIGHTS: Final = "model.safetensors"


def save_checkpoint(
    folder: Path, model: Decoder, tokenizer: TextTokenizer, *, dtype: torch.dtype
) -> None:
    """Write a folder that `transformers` and llama.cpp's converter read as a Llama model."""
    folder.mkdir(parents=True, exist_ok=True)
    name = str(dtype).removeprefix("torch.")
    bos, eos, pad = (tokenizer.token_id(token) for token in (BEGIN, END, PAD))
    model.config.save(folder, dtype=name, bos=bos, eos=eos, pad=pad)
    tokenizer.save(folder)
    weights = {
        key: tensor.detach().to("cpu", dtype).contiguous()
        for key, tensor in model.state_dict().items()
        if key != "lm_head.weight" or not model.config.tie_embeddings
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def load_checkpoint(
    folder: Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> tuple[Decoder, TextTokenizer]:
    """Read a Llama checkpoint folder; anything missing, cut short or misshapen is an error."""
    config = ModelConfig.load(folder)
    tokenizer = TextTokenizer.load(folder)
    path = folder / WEIGHTS
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot read the weights `{path}`: {error}", hint="fetch or train the checkpoint again"
        ) from error
    if config.tie_embeddings:
        weights.setdefault(
            "lm_head.weight", weights.get("model.embed_tokens.weight", torch.empty(0))
        )
    model = Decoder(config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"`{path}` does not fit its config.json: {error}") from error
    return model.to(device, dtype).eval(), tokenizer
