"""A Llama-architecture decoder: token ids in, logits out. Knows nothing of text or search.

Parameter names are those of `transformers`' `LlamaForCausalLM`, so a checkpoint needs no
translation. This is the whole-sequence form that trains; `inference` holds the same network over a
cache. Axes: B rows, T tokens, H heads, D head width, C hidden width, V vocabulary.
"""

from __future__ import annotations

from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mull.models.config import ModelConfig

INIT_STD: Final = 0.02

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines of every position's angles."""


class RmsNorm(nn.Module):
    """Root-mean-square normalisation (Zhang & Sennrich 2019), computed in fp32 or wider."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """`x` (..., C) with every vector scaled to a root mean square of 1, times the weight."""
        wide = x.double() if x.dtype == torch.float64 else x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight.to(x.dtype) * (wide * scale).to(x.dtype)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, kv_width = config.hidden_size, config.num_kv_heads * config.head_dim
        self.head_dim = config.head_dim
        self.groups = config.num_heads // config.num_kv_heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, kv_width, bias=False)
        self.v_proj = nn.Linear(width, kv_width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotary: Rotary, mask: Tensor | None) -> Tensor:
        """Mix `x` (B, T, C) over positions; a mask of None is causal."""
        rows, length, width = x.shape

        def split(y: Tensor) -> Tensor:  # (B, T, H*D) -> (B, H, T, D)
            return y.view(rows, length, -1, self.head_dim).transpose(1, 2)

        queries = rotate(split(self.q_proj(x)), *rotary)
        keys = rotate(split(self.k_proj(x)), *rotary)
        values = split(self.v_proj(x))
        if self.groups > 1:
            keys = keys.repeat_interleave(self.groups, dim=1)
            values = values.repeat_interleave(self.groups, dim=1)
        if mask is None:
            mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        else:
            mixed = biased_attention(queries, keys, values, mask)
        return self.o_proj(mixed.transpose(1, 2).reshape(rows, length, width))


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.ffn_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.ffn_size, bias=False)
        self.down_proj = nn.Linear(config.ffn_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`x` (..., C) to the same shape, each position by itself."""
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """Pre-norm attention, then pre-norm feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden_size, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, rotary: Rotary, mask: Tensor | None) -> Tensor:
        """`x` (B, T, C) with what both parts add to it."""
        x = x + self.self_attn(self.input_layernorm(x), rotary, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    """Embeddings, blocks and the final norm: token ids (B, T) to hidden states (B, T, C)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = RmsNorm(config.hidden_size, config.norm_eps)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Normed hidden states (B, T, C) of `tokens` (B, T) at `positions` (B, T)."""
        x = self.embed_tokens(tokens)
        rotary = rotary_table(positions, self.config, x.dtype)
        for block in self.layers:
            x = block(x, rotary, mask)
        return cast("Tensor", self.norm(x))


class Decoder(nn.Module):
    """The language model. Weights are drawn from the global torch generator: seed it first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=INIT_STD / (2 * config.num_layers) ** (0.5 * deep))
        if config.tie_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Logits (B, T, V) of whole sequences.

        `positions` (B, T) default to 0..T-1; `mask` (B or 1, 1, T, T) is added to the attention
        scores (0 where a query may look, a large negative number elsewhere) and defaults to causal.
        """
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        return self.lm_head(self.model(tokens, positions, mask))


def biased_attention(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Attention written out. Compiled, it trains twice as fast on a CPU as the fused operator."""
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)  # (B, H, T, T)
    return torch.softmax(scores + bias, dim=-1).to(queries.dtype) @ values


def rotary_table(positions: Tensor, config: ModelConfig, dtype: torch.dtype) -> Rotary:
    """Cosines and sines (B, 1, T, D) of rotary positions (Su et al. 2021), halves repeated."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    half = torch.arange(0, config.head_dim, 2, device=positions.device, dtype=wide)
    frequencies = config.rope_theta ** (-half / config.head_dim)
    angles = positions.to(wide)[:, None, :, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn each pair (i, i + D/2) of `x` (B, H, T, D) by its position's angle."""
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-second, first), dim=-1) * sines
