"""Kernels of attention: over runs that rows share, and over each row's own blocks.

Scores of a row stand side by side, those of the runs first, and have one softmax. Axes: N rows of w
tokens each, H key-value heads, G query heads that share one, Q = w*G, D width of a head.
"""

from __future__ import annotations

from mull.engine import frames as at
from mull.engine.blocks import BLOCK
from mull.engine.kernel_arithmetic import LOWEST, clear, copy, most, product, weigh
from mull.engine.lanes import (
    Floats,
    Ints,
    Lanes,
    every,
    first_of,
    floats,
    highest,
    ints,
    lanes_at,
    plus_times,
    put,
    total,
    transpose,
)
from mull.models.inference import PANEL


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
