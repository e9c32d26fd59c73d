"""A model with random weights that writes many short lines."""

from pathlib import Path

import torch

from mull.models.checkpoint import save_checkpoint
from mull.models.config import ModelConfig
from mull.models.tokenizer import TextTokenizer
from mull.models.transformer import Decoder


def save_toy(folder: Path) -> None:
    """Write its checkpoint. About every tenth of its tokens ends a line, few end the turn."""
    torch.set_num_threads(1)
    tokenizer = TextTokenizer.built()
    config = ModelConfig(
        tokenizer.tokenizer.get_vocab_size(),
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        ffn_size=64,
        tie_embeddings=False,
    )
    generator = torch.Generator().manual_seed(0)
    decoder = Decoder(config)
    with torch.no_grad():
        for name, weights in decoder.named_parameters():
            if "norm" not in name:
                weights.normal_(0.0, 0.3, generator=generator)
        # What all embeddings share, every hidden state has; so a logit can be raised everywhere.
        decoder.model.embed_tokens.weight += 4.0
        for token, lift in (("\n", 0.27), ("<|end|>", 0.29)):
            decoder.lm_head.weight[tokenizer.token_id(token)] += lift
    save_checkpoint(folder, decoder, tokenizer, dtype=torch.float32)
