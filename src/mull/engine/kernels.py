"""Kernels that are called from outside: a pass over rows, draws, and what is copied in memory.

They are Python as far as translation.py knows it, and never run as that. For fp32 on a CPU.
"""

from __future__ import annotations

from mull.engine import frames as at
from mull.engine.blocks import BLOCK
from mull.engine.kernel_arithmetic import copy, exp, gate, most, norm, packed
from mull.engine.kernel_attention import attend, enter
from mull.engine.lanes import (
    Floats,
    Ints,
    Lanes,
    every,
    floats,
    highest,
    ints,
    lanes_at,
    number,
    put,
    total,
)
from mull.models.inference import MARGIN


def publish(
    layers: int,
    size: int,
    heads: int,
    depth: int,
    count: int,
    keys: Floats,
    values: Floats,
    places: Ints,
) -> None:
    """Copy positions of private blocks to shared ones, in a memory of `size` blocks a layer.

    `places` (3, count) are the blocks, the positions in them, and where in memory they go.
    """
    width, slots = heads * depth, places + 2 * count
    for layer in range(layers):
        start = layer * size * BLOCK * width
        for index in range(count):
            block, offset = start + places[index] * BLOCK * width, places[count + index]
            to = start + slots[index] * width
            for column in range(width):
                keys[to + column] = keys[block + column * BLOCK + offset]
            for head in range(heads):
                source = values + (block + (head * BLOCK + offset) * depth)
                copy(source, values + (to + head * depth), depth)


def draw(rows: int, vocab: int, logits: Floats, chances: Floats, out: Floats, room: Floats) -> None:
    """One token a row: the first at which the cumulated weight passes that share of all.

    `chances` (rows, 2) are the share and the temperature, of which 0 takes the likeliest. `out`
    (rows, 3) is told the token, its logit less the highest, and the sum of what all logits less the
    highest are logarithms of: NaN where a logit is, or all are infinitely low.
    """
    for row in range(rows):
        mine, chance, told = logits + row * vocab, chances + row * 2, out + row * 3
        top, sums = every(highest(most(mine, vocab, lanes_at(mine)))), every(0.0)
        for column in range(0, vocab, 16):
            sums = sums + exp(lanes_at(mine + column) - top)
        chosen = likeliest(mine, highest(top))
        if chance[1] > 0.0:
            chosen = pick(mine, vocab, top, chance, room)
        told[0] = number(chosen)
        told[1] = mine[chosen] - highest(top)
        told[2] = total(sums)


def likeliest(logits: Floats, top: float) -> int:
    chosen = 0
    while logits[chosen] < top:
        chosen += 1
    return chosen


def pick(logits: Floats, vocab: int, top: Lanes, chance: Floats, room: Floats) -> int:
    """By the weights of sixteen tokens each, then among the sixteen."""
    share, target = 1.0 / chance[1], 0.0
    for column in range(0, vocab, 16):
        weights = exp((lanes_at(logits + column) - top) * share)
        put(room + column, weights)
        target += total(weights)
    target, so_far, chosen, block = chance[0] * target, 0.0, 0, total(lanes_at(room))
    while so_far + block <= target and chosen + 16 < vocab:
        so_far += block
        chosen += 16
        block = total(lanes_at(room + chosen))
    end = chosen + 15
    while so_far + room[chosen] <= target and chosen < end:
        so_far += room[chosen]
        chosen += 1
    while room[chosen] <= 0.0 and chosen > 0:  # rounding has lifted the target to the total
        chosen += -1
    return chosen


def embed(model: Ints, frame: Ints, count: int) -> None:
    step = model[at.HIDDEN] + MARGIN
    tokens, stream = ints(frame[at.TOKENS]), floats(frame[at.STREAM])
    for row in range(count):
        copy(floats(model[at.EMBEDDING]) + tokens[row] * step, stream + row * step, step)


def forward(model: Ints, frame: Ints) -> None:
    """Logits after the last tokens of all rows."""
    hidden, ffn, heads, each = model[at.HIDDEN], model[at.FFN], model[at.HEADS], model[at.EACH]
    count, depth = frame[at.ROWS] * frame[at.WIDTH], model[at.DEPTH]
    stream, normed, new = floats(frame[at.STREAM]), floats(frame[at.NORMED]), floats(frame[at.NEW])
    result, wide = floats(frame[at.RESULT]), floats(frame[at.WIDE])
    gated, step = floats(frame[at.GATED]), hidden + MARGIN
    embed(model, frame, count)
    for layer in range(model[at.LAYERS]):
        of_layer = model + at.MODEL + layer * at.LAYER
        keys, values = floats(of_layer[at.KEYS]), floats(of_layer[at.VALUES])
        norm(stream, normed, count, hidden)
        columns = (each + 2) * heads * depth
        packed(count, hidden, columns, normed, floats(of_layer[at.ATTEND]), new, columns, 0)
        enter(model, frame, keys, values)
        attend(model, frame, keys, values)
        mixed = heads * each * depth
        packed(count, mixed, hidden, result, floats(of_layer[at.MIX]), stream, step, 1)
        norm(stream, normed, count, hidden)
        packed(count, hidden, 2 * ffn, normed, floats(of_layer[at.WIDEN]), wide, 2 * ffn, 0)
        gate(wide, gated, count, ffn)
        packed(count, ffn, hidden, gated, floats(of_layer[at.NARROW]), stream, step, 1)
    norm(stream, normed, count, hidden)
    vocab, logits = model[at.VOCAB], floats(frame[at.LOGITS])
    packed(count, hidden, vocab, normed, floats(model[at.HEAD]), logits, vocab, 0)
