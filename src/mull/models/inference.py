"""The decoder over a key-value cache, with its matrices fused for few tokens a row.

The same network as `transformer.Decoder`, written for generation: the projections of queries, keys
and values are one product, so are gate and up, and the scales of the norms and of attention are
folded into the weights that follow them. Axes: L layers, B rows, T new tokens, S slots, H key-value
heads, G query heads that share one, D head width, C hidden width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self, cast

import torch
from torch import Tensor
from torch.nn import functional

from mull.models.config import ModelConfig
from mull.models.transformer import Block, Decoder, rotary_table


class KeyValueCache:
    """Keys and values of a batch of rows; slot `p` of a row holds its position `p`.

    Each layer has two (B, H, S, D) tensors. Rows may hold different numbers of positions: what lies
    beyond a row's own last position is garbage that attention must not look at. Attention reads
    every slot there is, because the fast products take no tensor with gaps: keep `slots` tight.
    """

    def __init__(
        self, config: ModelConfig, rows: int, slots: int, *, dtype: torch.dtype, device: str
    ) -> None:
        shape = (rows, config.num_kv_heads, slots, config.head_dim)
        # Zeros, not empty: garbage may be anything but NaN, which no mask hides.
        layers = range(config.num_layers)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in layers]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in layers]

    @property
    def rows(self) -> int:
        """Rows there is room for."""
        return self.keys[0].shape[0]

    @property
    def slots(self) -> int:
        """Positions a row has room for."""
        return self.keys[0].shape[2]

    def resize(self, rows: int, slots: int) -> None:
        """Make room for so many, keeping the first rows and slots, layer by layer."""
        kept_rows, kept_slots = min(rows, self.rows), min(slots, self.slots)
        for tensors in (self.keys, self.values):
            for layer, old in enumerate(tensors):
                new = old.new_zeros((rows, old.shape[1], slots, old.shape[3]))
                new[:kept_rows, :, :kept_slots] = old[:kept_rows, :, :kept_slots]
                tensors[layer] = new

    def copy_rows(self, source: Self, source_rows: Tensor, rows: Tensor) -> None:
        """Fill `rows` from `source_rows` (repeats allowed) as far as both have slots: a fork."""
        slots = min(self.slots, source.slots)
        for tensors, sources in ((self.keys, source.keys), (self.values, source.values)):
            for tensor, each in zip(tensors, sources, strict=True):
                tensor[rows, :, :slots] = each[source_rows, :, :slots]

    def write(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Store (B, T, H, D) keys and values of the first B rows at `positions` (B, T)."""
        rows = torch.arange(len(positions), device=positions.device)[:, None]
        self.keys[layer][rows, :, positions] = keys
        self.values[layer][rows, :, positions] = values


@dataclass(frozen=True, slots=True)
class FusedBlock:
    """The weights of one block, ready for inference."""

    attend: Tensor
    """((G+2)*H*D, C): queries, keys and values after the first norm."""
    mix: Tensor
    """(C, G*H*D): attention's output."""
    widen: Tensor
    """(2*F, C): gate and up after the second norm."""
    narrow: Tensor
    """(C, F)."""

    @classmethod
    def of(cls, block: Block, dtype: torch.dtype, device: str) -> Self:
        """Fuse in the block's own precision, then convert once."""
        attention, mlp = block.self_attn, block.mlp
        scaled = attention.q_proj.weight * attention.head_dim**-0.5
        attend = torch.cat((scaled, attention.k_proj.weight, attention.v_proj.weight))
        widen = torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight))
        return cls(
            (attend * block.input_layernorm.weight).to(device, dtype),
            attention.o_proj.weight.to(device, dtype),
            (widen * block.post_attention_layernorm.weight).to(device, dtype),
            mlp.down_proj.weight.to(device, dtype),
        )


class CachedDecoder:
    """A decoder that extends cached rows. Logits are fp32 or wider whatever the dtype."""

    @torch.inference_mode()
    def __init__(self, decoder: Decoder, *, dtype: torch.dtype, device: str) -> None:
        self.config: Final = decoder.config
        self.dtype: Final = dtype
        self.device: Final = device
        trunk, wide = decoder.model, torch.promote_types(dtype, torch.float32)
        self._embedding = trunk.embed_tokens.weight.to(device, dtype)
        self._blocks = [FusedBlock.of(cast(Block, block), dtype, device) for block in trunk.layers]
        self._head = (decoder.lm_head.weight * trunk.norm.weight).to(device, wide)
        positions = torch.arange(decoder.config.max_positions)[None]
        cosines, sines = rotary_table(positions, decoder.config, wide)
        # The rotation adds -x2 * sin to the first half and x1 * sin to the second.
        sines = sines * torch.ones(decoder.config.head_dim).index_fill_(
            0, torch.arange(decoder.config.head_dim // 2), -1.0
        )
        self._cosines, self._sines = (
            table[0, 0].to(device, dtype)
            for table in (cosines, sines)  # (positions, D)
        )

    @property
    def bytes_per_token(self) -> int:
        """What one position of one row takes in the cache."""
        config = self.config
        per_layer = 2 * config.num_kv_heads * config.head_dim * self.dtype.itemsize
        return config.num_layers * per_layer

    def new_cache(self, rows: int, slots: int) -> KeyValueCache:
        """An empty cache that this decoder can extend."""
        return KeyValueCache(self.config, rows, slots, dtype=self.dtype, device=self.device)

    def extend(self, tokens: Tensor, positions: Tensor, cache: KeyValueCache) -> Tensor:
        """Normed hidden states (B, T, C) of new `tokens` (B, T), whose keys join the cache.

        They belong to the first B rows of the cache. Each token sees its row's slots up to its own
        position, so rows may be ragged; all positions must have slots.
        """
        slots = torch.arange(cache.slots, device=tokens.device)
        hidden = slots > positions[:, None, :, None]  # (B, 1, T, S)
        bias = torch.zeros(hidden.shape, dtype=self.dtype, device=tokens.device)
        bias = bias.masked_fill_(hidden, float("-inf"))
        if self._groups > 1:
            bias = bias.repeat(1, 1, self._groups, 1)
        rotary = self._cosines[positions][:, :, None], self._sines[positions][:, :, None]
        x = self._embedding[tokens]
        for layer, block in enumerate(self._blocks):
            queries, keys, values = self._project(x, block, rotary)
            cache.write(layer, keys, values, positions)
            mixed = self._attend(queries, cache, layer, bias)
            x = x + functional.linear(mixed, block.mix)
            gate, up = functional.linear(self._norm(x), block.widen).chunk(2, dim=-1)
            x = x + functional.linear(functional.silu(gate) * up, block.narrow)
        return self._norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, V) of normed hidden states (N, C)."""
        return functional.linear(hidden.to(self._head.dtype), self._head)

    @property
    def _groups(self) -> int:
        return self.config.num_heads // self.config.num_kv_heads

    def _norm(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (self.config.hidden_size,), None, self.config.norm_eps)

    def _project(
        self, x: Tensor, block: FusedBlock, rotary: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries (B, T, H*G, D) and keys (B, T, H, D), and values (B, T, H, D)."""
        cosines, sines = rotary
        heads, kv_heads = self.config.num_heads, self.config.num_kv_heads
        fused = functional.linear(self._norm(x), block.attend)
        fused = fused.view(*x.shape[:2], heads + 2 * kv_heads, self.config.head_dim)
        turning, values = fused[:, :, : heads + kv_heads], fused[:, :, heads + kv_heads :]
        half = self.config.head_dim // 2
        swapped = torch.cat((turning[..., half:], turning[..., :half]), dim=-1)
        turned = turning * cosines + swapped * sines
        return turned[:, :, :heads], turned[:, :, heads:], values

    def _attend(self, queries: Tensor, cache: KeyValueCache, layer: int, bias: Tensor) -> Tensor:
        """Mix values (B, T, C) of the slots that `bias` (B, 1, G*T, S) leaves visible."""
        rows, new, _, width = queries.shape
        kv_heads, groups = self.config.num_kv_heads, self._groups
        queries = queries.view(rows, new, kv_heads, groups, width).permute(0, 2, 3, 1, 4)
        queries = queries.reshape(rows, kv_heads, groups * new, width)
        scores = queries @ cache.keys[layer][:rows].transpose(-1, -2)  # (B, H, G*T, S)
        mixed = torch.softmax(scores.add_(bias), dim=-1) @ cache.values[layer][:rows]
        mixed = mixed.view(rows, kv_heads, groups, new, width).permute(0, 3, 1, 2, 4)
        return mixed.reshape(rows, new, kv_heads * groups * width)
