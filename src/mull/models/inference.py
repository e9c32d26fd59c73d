"""The decoder one token a row, for generation. Where keys and values live is not its affair.

The same network as `transformer.Decoder`, with fewer and larger steps: the projections of queries,
keys and values are one product, so are gate and up; the scales of the norms and of attention are
folded into the weights that follow them, and these are kept transposed, which a product with few
rows reads twice as fast. Axes: N tokens, H key-value heads, G query heads that share one, D head
width, C hidden width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, Self, cast

import torch
from torch import Tensor
from torch.nn import functional

from mull.models.config import ModelConfig
from mull.models.reward import Familiarity, RewardModel
from mull.models.transformer import Block, Decoder, Trunk, rotary_table

MARGIN: Final = 16
"""Columns that follow the residual stream; the first makes the length of a row its norm."""


PANEL: Final = 64
"""Columns of a packed weight that lie side by side."""


class Attend(Protocol):
    """Stores new keys and values, and mixes values for the queries.

    Takes the layer, queries (N, H*G, D), keys (N, H, D) and values (N, H, D), the same tensors at
    every layer of a pass; returns (N, H*G*D). Queries and keys are rotated, and their pairs of
    coordinates lie side by side.
    """

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class FusedBlock:
    """The weights of one block, ready for inference."""

    attend: Tensor
    """(C, (G+2)*H*D): queries, keys and values after the first norm."""
    mix: Tensor
    """(G*H*D, C): attention's output."""
    widen: Tensor
    """(C, 2*F): gate and up after the second norm."""
    narrow: Tensor
    """(F, C)."""

    @classmethod
    def of(cls, block: Block, ready: Callable[[Tensor], Tensor]) -> Self:
        """Fuse in the block's own precision, then convert once."""
        attention, mlp = block.self_attn, block.mlp
        queries = _paired(attention.q_proj.weight * attention.head_dim**-0.5, attention.head_dim)
        keys = _paired(attention.k_proj.weight, attention.head_dim)
        attend = torch.cat((queries, keys, attention.v_proj.weight))
        widen = torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight))
        # What precedes these divides by the length of a row, not by its root mean square.
        root = attend.shape[1] ** 0.5

        return cls(
            ready(attend * (block.input_layernorm.weight * root)),
            ready(attention.o_proj.weight),
            ready(widen * (block.post_attention_layernorm.weight * root)),
            ready(mlp.down_proj.weight),
        )


class Kernels(Protocol):
    """Some operations as one pass over memory each. Arguments are addresses and numbers."""

    @property
    def norm(self) -> Callable[[int, int, int, int], None]:
        """Of x, into out; rows, width without the margin that a row of x has."""
        ...

    @property
    def gate(self) -> Callable[[int, int, int, int], None]:
        """Silu of the first half of each row, times the second; rows, half a row's width."""
        ...

    @property
    def multiply(self) -> Callable[[int, int, int, int, int, int, int, int], None]:
        """Rows, depth, width; x, a packed weight, out; numbers from row to row; 1 to add."""
        ...

    @property
    def publish(self) -> Callable[[int, int, int, int, int, int, int, int], None]:
        """Layers, blocks, heads, width, positions; keys, values, places; see kernels.py."""
        ...

    @property
    def draw(self) -> Callable[[int, int, int, int, int, int], None]:
        """Rows, vocabulary; logits, chances, what is told, room for a row; see kernels.py."""
        ...


class Scratch:
    """Room for one pass over N tokens. Its parts are views, made once."""

    def __init__(self, count: int, config: ModelConfig, like: Tensor) -> None:
        heads, kv_heads, width = config.num_heads, config.num_kv_heads, config.head_dim
        wide = torch.promote_types(like.dtype, torch.float32)
        self.x: Final = like.new_empty((count, config.hidden_size + MARGIN))
        self.stream: Final = self.x.narrow(1, 0, config.hidden_size)
        self.length: Final = like.new_empty((count, 1), dtype=wide)
        self.normed: Final = like.new_empty((count, config.hidden_size))
        self.attend: Final = like.new_empty((count, (heads + 2 * kv_heads) * width))
        parts = self.attend.view(count, -1, width)
        self.turning: Final = parts.narrow(1, 0, heads + kv_heads)
        self.queries: Final = parts.narrow(1, 0, heads)
        self.keys: Final = parts.narrow(1, heads, kv_heads)
        self.values: Final = parts.narrow(1, heads + kv_heads, kv_heads)
        pairs = self.turning.view(count, heads + kv_heads, width // 2, 2)
        self.pairs: Final = torch.view_as_complex(pairs) if like.dtype == wide else None
        """None where numbers are too narrow to be turned in place."""
        self.wide: Final = like.new_empty((count, 2 * config.ffn_size))
        self.gate: Final = self.wide.narrow(1, 0, config.ffn_size)
        self.up: Final = self.wide.narrow(1, config.ffn_size, config.ffn_size)
        self.gated: Final = like.new_empty((count, config.ffn_size))


class InferenceTrunk:
    """A trunk's weights and arithmetic."""

    num_outputs = 0
    """Values that are kept of every position: those of a reward model."""

    @torch.inference_mode()
    def __init__(
        self, trunk: Trunk, *, dtype: torch.dtype, device: str, kernels: Kernels | None = None
    ) -> None:
        self.config: Final = trunk.config
        self.kernels: Final = kernels
        """Used in place of torch's operations; for fp32 on a CPU."""
        self.dtype: Final = dtype
        self.device: Final = device
        wide = torch.promote_types(dtype, torch.float32)
        self._wide: Final = wide
        width = self.config.hidden_size
        self.embedding = functional.pad(trunk.embed_tokens.weight.to(wide), (0, MARGIN))
        self.embedding[:, width] = (width * self.config.norm_eps) ** 0.5
        self.embedding = self.embedding.to(device, dtype)
        self.blocks = [FusedBlock.of(cast(Block, block), self._ready) for block in trunk.layers]
        positions = torch.arange(self.config.max_positions)[None]
        cosines, sines = rotary_table(positions, self.config, wide)
        half = self.config.head_dim // 2
        turns = torch.complex(cosines[0, 0, :, :half], sines[0, 0, :, :half])
        self.turns = turns[:, None].to(device)  # (positions, 1, D/2)
        self._scratch: Scratch | None = None

    @property
    def bytes_per_token(self) -> int:
        """What is kept of one position takes."""
        config = self.config
        per_layer = 2 * config.num_kv_heads * config.head_dim * self.dtype.itemsize
        return config.num_layers * per_layer + self.num_outputs * self._wide.itemsize

    def forward(
        self, tokens: Tensor, positions: Tensor, attend: Attend, *, early: Tensor | None = None
    ) -> Tensor:
        """Normed hidden states (N, C) of `tokens` (N,) at `positions` (N,), one row a token.

        They are good until the next pass, and so is what `attend` is given until the next layer.
        `early` (N, C) is filled with the hidden states after the first block.
        """
        room = self._room(tokens.shape[0])
        turns = self.turns.index_select(0, positions)  # (N, 1, D/2)
        torch.index_select(self.embedding, 0, tokens, out=room.x)
        for layer, block in enumerate(self.blocks):
            self._norm(room)
            self._multiply(room.normed, block.attend, room.attend)
            self._rotate(room, turns)
            mixed = attend(layer, room.queries, room.keys, room.values)
            self._add(mixed, block.mix, room)
            self._norm(room)
            self._multiply(room.normed, block.widen, room.wide)
            self._add(self._gated(room), block.narrow, room)
            if early is not None and layer == 0:
                early.copy_(room.stream)
        self._norm(room)
        return room.normed

    def _room(self, count: int) -> Scratch:
        """The last pass's, if it had as many tokens: rows that draw do so many times."""
        if self._scratch is None or len(self._scratch.x) != count:
            self._scratch = Scratch(count, self.config, self.embedding)
        return self._scratch

    def _head_of(self, weight: Tensor, trunk: Trunk) -> Tensor:
        """A head's weight (outputs, C), ready for normed hidden states: wide, (C, outputs)."""
        scale = trunk.norm.weight * self.config.hidden_size**0.5
        return (weight * scale).t().contiguous().to(self.device, self._wide)

    def _ready(self, weight: Tensor) -> Tensor:
        """A weight (width, depth) as products with it take it."""
        weight = weight.t().contiguous().to(self.device, self.dtype)
        return weight if self.kernels is None else packed(weight)

    def _multiply(self, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        """Rows (N, depth) times a weight, into `out` (N, width)."""
        if self.kernels is None:
            return torch.mm(x, weight, out=out)
        self._packed(x, weight, out)
        return out

    def _add(self, x: Tensor, weight: Tensor, room: Scratch) -> None:
        """The same, added to the residual stream."""
        if self.kernels is None:
            room.stream.addmm_(x, weight)
        else:
            self._packed(x.contiguous(), weight, room.stream, adds=True)

    def _packed(self, x: Tensor, weight: Tensor, out: Tensor, *, adds: bool = False) -> None:
        assert self.kernels is not None
        (rows, depth), width = x.shape, out.shape[1]
        at = x.data_ptr(), weight.data_ptr(), out.data_ptr()
        self.kernels.multiply(rows, depth, width, *at, out.stride(0), int(adds))

    def _gated(self, room: Scratch) -> Tensor:
        if self.kernels is None:
            return functional.silu(room.gate).mul_(room.up)
        rows, width = room.gated.shape
        self.kernels.gate(room.wide.data_ptr(), room.gated.data_ptr(), rows, width)
        return room.gated

    def _norm(self, room: Scratch) -> None:
        """Each row over its length with the margin's column: a root mean square with epsilon."""
        if self.kernels is not None:
            rows, width = room.normed.shape
            at = room.x.data_ptr(), room.normed.data_ptr()
            self.kernels.norm(*at, rows, width)
            return
        # Torch leaves the types of `linalg` open.
        norm = cast("Callable[..., Tensor]", torch.linalg.vector_norm)  # pyright: ignore[reportUnknownMemberType]
        norm(room.x, dim=1, keepdim=True, dtype=self._wide, out=room.length)
        torch.div(room.stream, room.length, out=room.normed)

    def _rotate(self, room: Scratch, turns: Tensor) -> None:
        """Turn each pair of coordinates of queries and keys by its position's angle, in place."""
        if room.pairs is not None:
            room.pairs.mul_(turns)
            return
        heads = room.turning
        pairs = (*heads.shape[:2], -1, 2)
        turned = torch.view_as_complex(heads.to(self._wide).view(pairs)).mul_(turns)
        heads.copy_(torch.view_as_real(turned).view(heads.shape))


class InferenceDecoder(InferenceTrunk):
    """A language model. Logits are fp32 or wider whatever the dtype."""

    @torch.inference_mode()
    def __init__(
        self,
        decoder: Decoder,
        *,
        dtype: torch.dtype,
        device: str,
        kernels: Kernels | None = None,
    ) -> None:
        super().__init__(decoder.model, dtype=dtype, device=device, kernels=kernels)
        head = self._head_of(decoder.lm_head.weight, decoder.model)
        self.head: Final = head if kernels is None else packed(head)

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, V) of normed hidden states (N, C)."""
        out = hidden.new_empty((len(hidden), self.config.vocab_size), dtype=self._wide)
        return self._multiply(hidden.to(self._wide), self.head, out)


class InferenceJudge(InferenceTrunk):
    """A reward model: what its head says of every token, and how familiar that is."""

    @torch.inference_mode()
    def __init__(
        self,
        model: RewardModel,
        familiarity: Familiarity | None,
        *,
        dtype: torch.dtype,
        device: str,
        kernels: Kernels | None = None,
    ) -> None:
        super().__init__(model.model, dtype=dtype, device=device, kernels=kernels)
        self._head: Final = self._head_of(model.score.weight, model.model)
        bias = cast("Tensor | None", model.score.bias)
        self._bias: Final = None if bias is None else bias.to(device, self._wide)
        self._familiarity: Final = familiarity
        self.num_outputs = model.card.head.num_outputs + 1

    def judge(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """The head's outputs of every token, and its distance from training (0 if unknown)."""
        early = torch.empty((len(tokens), self.config.hidden_size), device=tokens.device)
        late = self.forward(tokens, positions, attend, early=early)
        outputs = torch.zeros(
            (len(tokens), self.num_outputs), dtype=self._wide, device=tokens.device
        )
        torch.mm(late.to(self._wide), self._head, out=outputs[:, :-1])
        if self._bias is not None:
            outputs[:, :-1] += self._bias
        if self._familiarity is not None:
            outputs[:, -1] = self._familiarity(early)
        return outputs


def packed(weight: Tensor) -> Tensor:
    """A weight (depth, width) in panels of columns (panels, depth, 64), the last filled up."""
    depth, width = weight.shape
    weight = functional.pad(weight, (0, -width % PANEL))
    return weight.view(depth, -1, PANEL).transpose(0, 1).contiguous()


def _paired(weight: Tensor, width: int) -> Tensor:
    """Rows reordered within each head so that what is rotated together lies together."""
    heads = weight.view(-1, 2, width // 2, weight.shape[1])
    return heads.transpose(1, 2).reshape(weight.shape)
