"""Kernels of numbers: products with packed weights, norms, gates and exponentials.

A weight (depth, width) is packed in panels of 64 columns, (panels, depth, 64), so that a product
reads it in one run. Sums over the depth have one order whatever the number of rows.
"""

from __future__ import annotations

from typing import Final

from mull.engine.lanes import (
    Floats,
    Lanes,
    every,
    has_wide_registers,
    lanes_at,
    larger,
    multiply,
    put,
    root,
    times_two_to,
    total,
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


def packed(
    rows: int, depth: int, width: int, x: Floats, w: Floats, out: Floats, step: int, adds: int
) -> None:
    """X (rows, depth) times a packed weight, into rows of `step` numbers or added to them."""
    product(rows, depth, width, x, depth, w, PANEL, PANEL * depth, out, step, adds)


def exp(x: Lanes) -> Lanes:
    """Within 2 units in the last place, of numbers not above 88; 0 below -87, NaN of NaN."""
    near = larger(every(-87.0), x)  # the second of two that cannot be compared
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
