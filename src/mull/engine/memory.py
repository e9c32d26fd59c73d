"""The keys and values themselves: one pool of blocks, read in two layouts.

A block is 16 positions of all layers. A *private* block lies ready for a product of its own: keys
(H, D, 16) and values (H, 16, D). A *shared* one is 16 rows (H, D) a position, so that a run of
blocks is one long matrix. Axes: L layers, H key-value heads, D head width.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from mull.engine.blocks import BLOCK
from mull.models.inference import InferenceTrunk


class Memory:
    """Room for keys and values, and how to move them. The batch owns it."""

    def __init__(self, network: InferenceTrunk) -> None:
        config = network.config
        self.num_layers: Final = config.num_layers
        self.heads: Final = config.num_kv_heads
        self.width: Final = config.head_dim
        self._device = network.device
        self._kernels = network.kernels
        # Zeros, not empty: garbage may be anything but NaN, which no mask hides.
        shape = (self.num_layers, 0, self.heads * self.width * BLOCK)
        self.keys = torch.zeros(shape, dtype=network.dtype, device=network.device)
        self.values = torch.zeros_like(self.keys)
        wide = torch.promote_types(network.dtype, torch.float32)
        shape = (0, network.num_outputs)
        self.outputs = torch.zeros(shape, dtype=wide, device=network.device)
        """(blocks*16, outputs): what a reward model's head says at each shared position."""
        # Where a head's numbers begin in a private block: keys (H, D), values (H,) rows.
        self._key_places = torch.arange(self.heads * self.width, device=self._device) * BLOCK
        self._key_places = self._key_places.view(self.heads, self.width)
        self._value_places = torch.arange(self.heads, device=self._device) * BLOCK
        self.version = 0
        """Of where everything lies; what was made for another is no longer good."""
        self._views()

    @property
    def size(self) -> int:
        """Blocks there is room for."""
        return self.keys.shape[1]

    def resize(self, size: int) -> None:
        """Make room for so many blocks, keeping what is there."""
        self.keys = self._resized(self.keys, size)
        self.values = self._resized(self.values, size)
        outputs = self.outputs[: size * BLOCK]
        self.outputs = outputs.new_zeros((size * BLOCK, outputs.shape[1]))
        self.outputs[: len(outputs)] = outputs
        self._views()

    def rearrange(self, sources: Tensor) -> None:
        """Let each block hold what now stands in its source (size,), and be no more than those."""
        self.keys = self.keys.index_select(1, sources)
        self.values = self.values.index_select(1, sources)
        outputs = self.outputs.view(len(self.outputs) // BLOCK, BLOCK, self.outputs.shape[1])
        self.outputs = outputs.index_select(0, sources).flatten(0, 1)
        self._views()

    def _views(self) -> None:
        """Each layer of both, read in both layouts."""
        self.version += 1
        shape = (-1, self.heads, self.width)
        self.private_keys = [each.view(-1, self.width, BLOCK) for each in self.keys]
        """A layer: (blocks*H, D, 16), all blocks."""
        self.private_values = [each.view(-1, BLOCK, self.width) for each in self.values]
        """A layer: (blocks*H, 16, D), all blocks."""
        self._flat_keys = [each.view(-1) for each in self.keys]
        self._key_rows = [each.view(-1, self.width) for each in self.keys]
        self._value_rows = [each.view(-1, self.width) for each in self.values]
        pairs = zip(self.keys, self.values, strict=True)
        self._shared_rows = [(keys.view(shape), values.view(shape)) for keys, values in pairs]
        self.shared_keys = [keys.permute(1, 2, 0) for keys, _ in self._shared_rows]
        """A layer: (H, D, blocks*16), all positions."""
        self.shared_values = [values.transpose(0, 1) for _, values in self._shared_rows]
        """A layer: (H, blocks*16, D), all positions."""

    def private_slots(self, blocks: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Where `write_private` puts keys (N, H, D) and values (N, H), for positions (N,)."""
        keys = (blocks * (self.heads * self.width * BLOCK) + offsets)[:, None, None]
        values = (blocks * (self.heads * BLOCK) + offsets)[:, None]
        return keys + self._key_places, values + self._value_places

    def write_private(
        self, layer: int, slots: tuple[Tensor, Tensor], keys: Tensor, values: Tensor
    ) -> None:
        """Store keys and values (N, H, D) at `slots`."""
        at_keys, at_values = slots
        self._flat_keys[layer].put_(at_keys, keys)
        self._value_rows[layer].index_put_((at_values,), values)

    def write_shared(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store keys and values (N, H, D) at positions `slots` (N,) of shared blocks."""
        all_keys, all_values = self._shared_rows[layer]
        all_keys.index_copy_(0, slots, keys)
        all_values.index_copy_(0, slots, values)

    def read_shared(self, layer: int, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of keys (H, D, N) and values (H, N, D) at scattered positions `slots` (N,)."""
        keys, values = (rows.index_select(0, slots) for rows in self._shared_rows[layer])
        return keys.permute(1, 2, 0), values.transpose(0, 1)

    def read_heads(self, layer: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of keys and values (N, D) in shared blocks; `rows` (N,) are position*H + head."""
        keys, values = self._key_rows[layer], self._value_rows[layer]
        return keys.index_select(0, rows), values.index_select(0, rows)

    def publish(self, blocks: Tensor, offsets: Tensor, slots: Tensor) -> None:
        """Copy positions of private blocks to shared `slots`; all (N,)."""
        if self._kernels is not None:
            places = torch.stack((blocks, offsets, slots))
            sizes = self.num_layers, self.size, self.heads, self.width, len(slots)
            at = (each.data_ptr() for each in (self.keys, self.values, places))
            self._kernels.publish(*sizes, *at)
            return
        keys = self.keys.view(self.num_layers, -1, self.heads, self.width, BLOCK)
        values = self.values.view(self.num_layers, -1, self.heads, BLOCK, self.width)
        self._every_shared(self.keys)[:, slots] = keys[:, blocks, :, :, offsets].transpose(0, 1)
        self._every_shared(self.values)[:, slots] = values[:, blocks, :, offsets].transpose(0, 1)

    def copy_shared(self, sources: Tensor, slots: Tensor) -> None:
        """Copy positions of shared blocks to others; all (N,)."""
        for tensor in (self.keys, self.values):
            shared = self._every_shared(tensor)
            shared[:, slots] = shared[:, sources]
        self.outputs[slots] = self.outputs[sources]

    def gathered(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of shared blocks (n,), laid out as private: (L, n*H, D, 16), (L, n*H, 16, D)."""
        shape = (self.num_layers, len(blocks), BLOCK, self.heads, self.width)
        keys = self.keys.index_select(1, blocks).view(shape).permute(0, 1, 3, 4, 2)
        values = self.values.index_select(1, blocks).view(shape).permute(0, 1, 3, 2, 4)
        return keys.flatten(1, 2).contiguous(), values.flatten(1, 2).contiguous()

    def _every_shared(self, tensor: Tensor) -> Tensor:
        return tensor.view(self.num_layers, -1, self.heads, self.width)

    def _resized(self, old: Tensor, size: int) -> Tensor:
        new = old.new_zeros((old.shape[0], size, old.shape[2]))
        kept = min(size, old.shape[1])
        new[:, :kept] = old[:, :kept]
        return new
