"""What compiled functions are told, as numbers at known places of two arrays.

A *model* is good for as long as its memory lies where it does, a *frame* for as long as rows
neither come, go nor grow into another block. Numbers that name an array are its address.
"""

from __future__ import annotations

from typing import Final

(
    LAYERS,
    HIDDEN,
    HEADS,  # key-value heads
    EACH,  # query heads that share one
    DEPTH,  # width of a head
    FFN,
    VOCAB,
    EMBEDDING,  # (vocabulary, hidden + margin)
    TURNS,  # (positions, depth): cosine and sine of each pair
    HEAD,  # the matrix before the logits
) = range(10)
MODEL: Final = 10
"""Numbers of a model; those of its layers follow, `LAYER` each."""

(ATTEND, MIX, WIDEN, NARROW, KEYS, VALUES) = range(6)
LAYER: Final = 6
"""Numbers of a layer."""

(
    ROWS,
    WIDTH,  # tokens of a row
    MOST,  # private blocks of a row, at most
    COLUMNS,  # of scores
    SEGMENTS,
    TABLE,  # (rows, most): private blocks
    LENGTHS,  # (rows, width): private positions, as each token sees them
    RUNS,  # (segments, RUN)
    SHARED,  # (rows,): columns of its scores that segments fill; its own blocks follow
    TOKENS,  # (rows * width)
    POSITIONS,
    STREAM,  # (rows * width, hidden + margin)
    NORMED,
    NEW,  # queries, keys and values of a token
    ASKED,  # (heads, rows * width * each, depth): queries
    SCORES,  # (rows * width * each, columns): of one head
    MIXED,  # (rows * width * each, depth): of one head
    SUMS,  # (rows * width * each,): of the weights of one head
    COLUMN_KEYS,  # (depth, 64): keys of a segment, transposed
    RESULT,  # (rows * width, heads * each * depth)
    WIDE,  # (rows * width, 2 * ffn)
    GATED,
    LOGITS,  # (rows * width, vocabulary)
) = range(23)
FRAME: Final = 23
"""Numbers of a frame."""

(FIRST, END, START, LENGTH, COLUMN) = range(5)
RUN: Final = 5
"""Numbers of a segment: its rows [first, end), its positions in memory, its first column."""
