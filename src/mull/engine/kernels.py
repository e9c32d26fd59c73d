"""What a pass over rows does, compiled: products with packed weights, and all that is between them.

For fp32 on a CPU. A weight (depth, width) is packed in panels of 64 columns, (panels, depth, 64),
so that a product reads it in one run. Sums over the depth have one order whatever the number of
rows. Axes: N rows of w tokens each, H key-value heads, G query heads that share one, Q = w*G, D
width of a head.
"""

from __future__ import annotations

from typing import Final

from mull.engine import frames as at
from mull.engine.blocks import BLOCK
from mull.engine.lanes import (
    Floats,
    Ints,
    Lanes,
    every,
    first_of,
    floats,
    has_wide_registers,
    highest,
    ints,
    lanes_at,
    larger,
    multiply,
    number,
    plus_times,
    put,
    root,
    times_two_to,
    total,
    transpose,
    unless_below,
)
from mull.models.inference import MARGIN, PANEL

LOWEST: Final = -1e30
"""The score of what is not read."""
IS_WIDE: Final = has_wide_registers()

multiply_1, multiply_2, multiply_4 = multiply(1), multiply(2), multiply(4)


def product(
    rows: int,
    depth: int,
    width: int,
    x: Floats,
    x_step: int,
    w: Floats,
    w_step: int,
    panel_step: int,
    out: Floats,
    out_step: int,
    adds: int,
) -> None:
    """X (rows, depth) times w (depth, width), whose panels of 64 columns lie a step apart."""
    for start in range(0, width, PANEL):
        panel = w + (start >> 6) * panel_step
        end, column = min(PANEL, width - start), 0
        while column < end:
            source, to = panel + column, out + (start + column)
            if IS_WIDE * (end - column) >= 64:
                multiply_4(rows, depth, x, x_step, source, w_step, to, out_step, adds)
                column += 64
            elif IS_WIDE * (end - column) >= 32:
                multiply_2(rows, depth, x, x_step, source, w_step, to, out_step, adds)
                column += 32
            else:
                multiply_1(rows, depth, x, x_step, source, w_step, to, out_step, adds)
                column += 16


def exp(x: Lanes) -> Lanes:
    """Within 2 units in the last place, of numbers not above 88; 0 below -87."""
    near = larger(x, every(-87.0))
    whole = near * 1.44269504 + 12582912.0  # to the next whole number, in the low bits
    n = whole - 12582912.0
    rest = near - n * 0.693359375 - n * -2.12194440e-4
    y = rest * 1.9875691500e-4 + 1.3981999507e-3
    y = y * rest + 8.3334519073e-3
    y = y * rest + 4.1665795894e-2
    y = y * rest + 1.6666665459e-1
    y = y * rest + 5.0000001201e-1
    y = y * rest * rest + rest + 1.0
    return unless_below(x, -87.0, times_two_to(y, whole))


def clear(out: Floats, count: int) -> None:
    for place in range(0, count, 16):
        put(out + place, every(0.0))


def copy(source: Floats, out: Floats, count: int) -> None:
    for place in range(0, count, 16):
        put(out + place, lanes_at(source + place))


def norm(x: Floats, out: Floats, rows: int, width: int) -> None:
    """Each row over its length; the columns of the margin belong to the length alone."""
    for row in range(rows):
        source, to = x + row * (width + MARGIN), out + row * width
        squares = every(0.0)
        for column in range(0, width + MARGIN, 16):
            value = lanes_at(source + column)
            squares = squares + value * value
        scale = every(1.0 / root(total(squares)))
        for column in range(0, width, 16):
            put(to + column, lanes_at(source + column) * scale)


def gate(wide: Floats, out: Floats, rows: int, width: int) -> None:
    """Silu of the first half of each row, times the second."""
    for row in range(rows):
        source, to = wide + row * 2 * width, out + row * width
        for column in range(0, width, 16):
            x = lanes_at(source + column)
            below = every(1.0) + exp(every(0.0) - larger(x, every(-80.0)))
            put(to + column, x / below * lanes_at(source + width + column))


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
    highest are logarithms of.
    """
    for row in range(rows):
        mine, chance, told = logits + row * vocab, chances + row * 2, out + row * 3
        top, sums = every(LOWEST), every(0.0)
        top = every(highest(most(mine, vocab, top)))
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
    while room[chosen] <= 0.0:  # rounding has lifted the target to the total
        chosen += -1
    return chosen


def turn_pairs(heads: Floats, turns: Floats, count: int, depth: int) -> None:
    """Turn each pair of coordinates of so many heads by its angle."""
    for head in range(count):
        pair = heads + head * depth
        for i in range(0, depth, 2):
            a, b, cosine, sine = pair[i], pair[i + 1], turns[i], turns[i + 1]
            pair[i], pair[i + 1] = a * cosine - b * sine, a * sine + b * cosine


def enter(model: Ints, frame: Ints, keys: Floats, values: Floats) -> None:
    """Keys and values to their blocks, queries side by side; both turned."""
    heads, each, depth = model[at.HEADS], model[at.EACH], model[at.DEPTH]
    rows, width = frame[at.ROWS], frame[at.WIDTH]
    turns, positions = floats(model[at.TURNS]), ints(frame[at.POSITIONS])
    table, lengths = ints(frame[at.TABLE]), ints(frame[at.LENGTHS])
    asked, new = floats(frame[at.ASKED]), floats(frame[at.NEW])
    step = (each + 2) * heads * depth
    for row in range(rows):
        for token in range(width):
            index = row * width + token
            mine = new + index * step
            turn_pairs(mine, turns + positions[index] * depth, (each + 1) * heads, depth)
            place = lengths[index] - 1
            block = table[row * frame[at.MOST] + (place >> 4)]
            column = place & 15
            for head in range(heads):
                key = mine + (heads * each + head) * depth
                to = keys + (block * heads + head) * depth * BLOCK + column
                for i in range(depth):
                    to[i * BLOCK] = key[i]
                to = values + ((block * heads + head) * BLOCK + column) * depth
                copy(key + heads * depth, to, depth)
                to = asked + ((head * rows + row) * width + token) * each * depth
                copy(mine + head * each * depth, to, each * depth)


def score_segments(model: Ints, frame: Ints, keys: Floats, head: int) -> None:
    """What rows make of runs that they share: keys are laid as columns, for all of them at once."""
    heads, depth, columns = model[at.HEADS], model[at.DEPTH], frame[at.COLUMNS]
    queries, step = frame[at.WIDTH] * model[at.EACH], heads * depth
    asked = floats(frame[at.ASKED]) + head * frame[at.ROWS] * queries * depth
    scores, panel = floats(frame[at.SCORES]), floats(frame[at.COLUMN_KEYS])
    for index in range(frame[at.SEGMENTS]):
        run = ints(frame[at.RUNS]) + index * at.RUN
        first, length = run[at.FIRST] * queries, run[at.LENGTH]
        count = run[at.END] * queries - first
        source = keys + (run[at.START] * heads + head) * depth
        out = scores + (first * columns + run[at.COLUMN])
        for column in range(0, length, PANEL):
            num = min(PANEL, (length - column + 15) & -16)
            for key in range(0, num, 16):
                for i in range(0, depth, 16):
                    transpose(
                        source + ((column + key) * step + i), step, panel + (i * PANEL + key), PANEL
                    )
            x = asked + first * depth
            product(count, depth, num, x, depth, panel, PANEL, 0, out + column, columns, 0)
        last = (length - 1) & -16
        for row in range(count):
            place = out + (row * columns + last)
            put(place, first_of(length - last, lanes_at(place), LOWEST))


def mix_segments(model: Ints, frame: Ints, values: Floats, head: int) -> None:
    heads, depth, columns = model[at.HEADS], model[at.DEPTH], frame[at.COLUMNS]
    queries = frame[at.WIDTH] * model[at.EACH]
    scores, mixed = floats(frame[at.SCORES]), floats(frame[at.MIXED])
    for index in range(frame[at.SEGMENTS]):
        run = ints(frame[at.RUNS]) + index * at.RUN
        first = run[at.FIRST] * queries
        count = run[at.END] * queries - first
        x = scores + first * columns + run[at.COLUMN]
        w = values + (run[at.START] * heads + head) * depth
        out, step = mixed + first * depth, heads * depth
        product(count, run[at.LENGTH], depth, x, columns, w, step, PANEL, out, depth, 1)


def score_block(query: Floats, keys: Floats, depth: int) -> Lanes:
    """One query and the sixteen keys of a block, which lie as columns."""
    a, b, c, d = every(0.0), every(0.0), every(0.0), every(0.0)
    for i in range(0, depth, 4):
        a = plus_times(query[i], keys + i * BLOCK, a)
        b = plus_times(query[i + 1], keys + (i + 1) * BLOCK, b)
        c = plus_times(query[i + 2], keys + (i + 2) * BLOCK, c)
        d = plus_times(query[i + 3], keys + (i + 3) * BLOCK, d)
    return (a + b) + (c + d)


def mix_block(weights: Floats, values: Floats, depth: int, out: Floats) -> None:
    """Add sixteen values by weight."""
    for i in range(0, depth, 16):
        a, b, c, d = lanes_at(out + i), every(0.0), every(0.0), every(0.0)
        for j in range(0, BLOCK, 4):
            value = values + (j * depth + i)
            a = plus_times(weights[j], value, a)
            b = plus_times(weights[j + 1], value + depth, b)
            c = plus_times(weights[j + 2], value + 2 * depth, c)
            d = plus_times(weights[j + 3], value + 3 * depth, d)
        put(out + i, (a + b) + (c + d))


def most(scores: Floats, count: int, top: Lanes) -> Lanes:
    for column in range(0, count, 16):
        top = larger(top, lanes_at(scores + column))
    return top


def weigh(scores: Floats, count: int, top: Lanes, sums: Lanes) -> Lanes:
    """Scores become exp(score - top); returns `sums` plus those."""
    for column in range(0, count, 16):
        weight = exp(lanes_at(scores + column) - top)
        put(scores + column, weight)
        sums = sums + weight
    return sums


def score_row(model: Ints, frame: Ints, keys: Floats, head: int, row: int, out: Floats) -> None:
    """What a row makes of its own blocks."""
    heads, each, depth = model[at.HEADS], model[at.EACH], model[at.DEPTH]
    width, columns = frame[at.WIDTH], frame[at.COLUMNS]
    table = ints(frame[at.TABLE]) + row * frame[at.MOST]
    lengths = ints(frame[at.LENGTHS]) + row * width
    asked = floats(frame[at.ASKED]) + (head * frame[at.ROWS] + row) * width * each * depth
    for start in range(0, lengths[width - 1], BLOCK):
        source = keys + (table[start >> 4] * heads + head) * depth * BLOCK
        for token in range(width):
            for query in range(token * each, (token + 1) * each):
                score = score_block(asked + query * depth, source, depth)
                place = out + (query * columns + start)
                put(place, first_of(lengths[token] - start, score, LOWEST))


def attend_row(model: Ints, frame: Ints, keys: Floats, values: Floats, head: int, row: int) -> None:
    """Weights of all that a row reads, not yet over their sum; and the mix of its own blocks."""
    heads, depth, columns = model[at.HEADS], model[at.DEPTH], frame[at.COLUMNS]
    queries, shared = frame[at.WIDTH] * model[at.EACH], ints(frame[at.SHARED])[row]
    longest = ints(frame[at.LENGTHS])[(row + 1) * frame[at.WIDTH] - 1]
    table = ints(frame[at.TABLE]) + row * frame[at.MOST]
    scores = floats(frame[at.SCORES]) + row * queries * columns
    score_row(model, frame, keys, head, row, scores + shared)
    count = shared + ((longest + BLOCK - 1) & -BLOCK)
    for query in range(queries):
        mine, index = scores + query * columns, row * queries + query
        top = every(highest(most(mine, count, every(LOWEST))))
        floats(frame[at.SUMS])[index] = total(weigh(mine, count, top, every(0.0)))
        mixed = floats(frame[at.MIXED]) + index * depth
        clear(mixed, depth)
        for start in range(0, longest, BLOCK):
            source = values + (table[start >> 4] * heads + head) * BLOCK * depth
            mix_block(mine + (shared + start), source, depth, mixed)


def leave(model: Ints, frame: Ints, head: int) -> None:
    """What a head has mixed, over the sums of its weights, as it is multiplied next."""
    heads, each, depth = model[at.HEADS], model[at.EACH], model[at.DEPTH]
    mixed, sums, result = floats(frame[at.MIXED]), floats(frame[at.SUMS]), floats(frame[at.RESULT])
    for token in range(frame[at.ROWS] * frame[at.WIDTH]):
        for query in range(each):
            index = token * each + query
            to, share = (
                result + ((token * heads + head) * each + query) * depth,
                every(1.0 / sums[index]),
            )
            for i in range(0, depth, 16):
                put(to + i, lanes_at(mixed + (index * depth + i)) * share)


def attend(model: Ints, frame: Ints, keys: Floats, values: Floats) -> None:
    for head in range(model[at.HEADS]):
        score_segments(model, frame, keys, head)
        for row in range(frame[at.ROWS]):
            attend_row(model, frame, keys, values, head, row)
        mix_segments(model, frame, values, head)
        leave(model, frame, head)


def packed(
    rows: int, depth: int, width: int, x: Floats, w: Floats, out: Floats, step: int, adds: int
) -> None:
    """X (rows, depth) times a packed weight, into rows of `step` numbers or added to them."""
    product(rows, depth, width, x, depth, w, PANEL, PANEL * depth, out, step, adds)


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
