"""A tiny model with random weights and the shipped tokenizer, for tests of what needs torch.

Its text means nothing, but it has structure: numbers, lines, think marks and turns that end. In
float64 its samples do not depend on the batch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch

from mull.models.checkpoint import save_checkpoint
from mull.models.config import ModelConfig
from mull.models.tokenizer import END, END_THINK, THINK, VOCAB_SIZE, TextTokenizer
from mull.models.transformer import Decoder

TOY: Final = ModelConfig(
    vocab_size=VOCAB_SIZE,
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    ffn_size=96,
    max_positions=128,
    tie_embeddings=False,
)
TOKENIZER: Final = TextTokenizer.built()
NEWLINE: Final = TOKENIZER.token_id("\n")
STOP: Final = TOKENIZER.token_id(END)
LIKELY: Final[Mapping[str, float]] = {
    **{f" {number}": 3.0 for number in range(20)},
    **{f" {sign}": 3.0 for sign in "+-*/="},
    "\n": 4.5,
    THINK: 2.0,
    END_THINK: 2.5,
    END: 3.5,
}
"""Logits that these tokens have on top of the random ones; every other token has less."""
UNLIKELY: Final = -6.0
LEVEL: Final = 4.0
"""What one axis of the residual stream always holds, so that a weight on it acts as a bias."""


def toy_decoder(seed: int = 0, config: ModelConfig = TOY) -> Decoder:
    """A decoder whose next token depends on all before it, among the likely tokens."""
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    model = Decoder(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(6.0)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter[0] = 0.0
            if name.endswith("norm.weight"):
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.model.embed_tokens.weight[:, 0] = LEVEL
        # After the last norm the level is about LEVEL / rms of a stream that is mostly level.
        level = LEVEL / (1.0 + LEVEL**2 / config.hidden_size) ** 0.5
        bias = torch.full((config.vocab_size,), UNLIKELY)
        for token, logit in LIKELY.items():
            bias[TOKENIZER.token_id(token)] = logit
        if not config.tie_embeddings:
            model.lm_head.weight[:, 0] = bias / level
    return model.eval()


def write_toy_checkpoint(folder: Path, seed: int = 0) -> Path:
    """The toy as a checkpoint folder, in float32."""
    save_checkpoint(folder, toy_decoder(seed), TOKENIZER, dtype=torch.float32)
    return folder
