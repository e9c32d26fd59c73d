"""A checkpoint of random weights that says lines of digits, thinks, and ends its turns."""

from pathlib import Path

import torch

from mull.models.checkpoint import save_checkpoint
from mull.models.config import ModelConfig
from mull.models.tokenizer import END, END_THINK, THINK, TextTokenizer
from mull.models.transformer import Decoder

torch.set_num_threads(1)  # a second thread only costs

SAID = (
    " 0",
    " 1",
    " 2",
    " 3",
    " 4",
    " 5",
    " 6",
    " 7",
    " +",
    " =",
    "\n",
    "\n",
    THINK,
    END_THINK,
    END,
)


def tiny_decoder(tokenizer: TextTokenizer, *, tied: bool = False) -> Decoder:
    """Random and the same every time; untied, it says little beyond the tokens `SAID`."""
    torch.manual_seed(4)  # pyright: ignore[reportUnknownMemberType]
    config = ModelConfig(1536, 64, 2, 2, 1, 128, max_positions=4096, tie_embeddings=tied)
    decoder = Decoder(config)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
        if not tied:
            said = [tokenizer.token_id(token) for token in SAID]
            decoder.lm_head.weight /= 8
            decoder.lm_head.weight[said] *= 32
            decoder.lm_head.weight[tokenizer.token_id(END)] /= 2
    return decoder.eval()


def save_tiny(folder: Path, *, tied: bool = False) -> tuple[Decoder, TextTokenizer]:
    """Write the checkpoint; return what it holds."""
    tokenizer = TextTokenizer.built()
    decoder = tiny_decoder(tokenizer, tied=tied)
    save_checkpoint(folder, decoder, tokenizer, dtype=torch.float32)
    return decoder, tokenizer


@torch.inference_mode()
def greedy(decoder: Decoder, prompt: list[int], num_tokens: int, end: int) -> list[int]:
    """The most likely continuation, by reading the whole sequence anew for every token."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + num_tokens:
        logits = decoder(torch.tensor([tokens]))
        tokens.append(int(logits[0, -1].argmax()))
        if tokens[-1] == end:
            break
    return tokens[len(prompt) :]
