"""Sixteen numbers at once: the words, beside Python's own, that kernels are written in.

Each word emits its instructions. A machine with shorter registers gets several for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol, cast

ir: Any = import_module("llvmlite.ir")  # it has no types
binding: Any = import_module("llvmlite.binding")

NUM_LANES: Final = 16
TILES: Final = (6, 4, 3, 2, 1)
"""Rows of a product at once. Sums of six rows and what they are made of just fit into registers."""
WHOLE: Final = ir.IntType(64)
REAL: Final = ir.FloatType()
LANES: Final = ir.VectorType(REAL, NUM_LANES)
FLOATS: Final = REAL.as_pointer()
INTS: Final = WHOLE.as_pointer()
_BITS: Final = ir.VectorType(ir.IntType(32), NUM_LANES)


def has_wide_registers() -> bool:
    """Whether this machine has thirty-two registers that hold all lanes each."""
    return bool(binding.get_host_cpu_features().get("avx512f"))


class Lanes(Protocol):
    """Sixteen numbers of 32 bits."""

    def __add__(self, other: Lanes | float, /) -> Lanes: ...
    def __sub__(self, other: Lanes | float, /) -> Lanes: ...
    def __mul__(self, other: Lanes | float, /) -> Lanes: ...
    def __truediv__(self, other: Lanes | float, /) -> Lanes: ...


class Floats(Protocol):
    """Where such numbers stand one after the other."""

    def __getitem__(self, index: int, /) -> float: ...
    def __setitem__(self, index: int, value: float, /) -> None: ...
    def __add__(self, count: int, /) -> Floats: ...


class Ints(Protocol):
    """The same of whole numbers of 64 bits."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...
    def __add__(self, count: int, /) -> Ints: ...


@dataclass(frozen=True, slots=True)
class Word:
    """A call that is compiled to instructions of its own."""

    emit: Callable[..., Any]
    """Takes the builder and the values; returns a value or None."""

    def __call__(self, *_: object) -> Any:
        """Words are for compiled functions alone."""
        raise TypeError("this is compiled, not called")


def spread(builder: Any, number: Any) -> Any:
    """One number in every lane."""
    nothing = ir.Constant(LANES, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_BITS, None))


def _zero() -> Any:
    return ir.Constant(LANES, None)


def _at(builder: Any, pointer: Any) -> Any:
    return builder.bitcast(pointer, LANES.as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    return builder.load(_at(builder, pointer), align=4)


def _store(builder: Any, pointer: Any, value: Any) -> None:
    builder.store(value, _at(builder, pointer), align=4)


def _call(builder: Any, name: str, result: Any, *values: Any, flags: tuple[str, ...] = ()) -> Any:
    """One of LLVM's own functions."""
    kind = ir.FunctionType(result, [each.type for each in values])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, values, fastmath=flags)


def _fma(builder: Any, one: Any, other: Any, total: Any) -> Any:
    return _call(builder, "llvm.fmuladd.v16f32", LANES, one, other, total)


def _total(builder: Any, value: Any) -> Any:
    name = "llvm.vector.reduce.fadd.v16f32"
    return _call(builder, name, REAL, REAL(0.0), value, flags=("reassoc",))


def _highest(builder: Any, value: Any) -> Any:
    return _call(builder, "llvm.vector.reduce.fmax.v16f32", REAL, value, flags=("nnan",))


def _larger(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", one, other), one, other)


def _unless_below(builder: Any, value: Any, low: Any, chosen: Any) -> Any:
    is_below = builder.fcmp_ordered("<", value, spread(builder, low))
    return builder.select(is_below, _zero(), chosen)


def _times_two_to(builder: Any, value: Any, power: Any) -> Any:
    by = ir.Constant(_BITS, [ir.IntType(32)(23)] * NUM_LANES)
    exponent = builder.shl(builder.bitcast(power, _BITS), by)
    return builder.bitcast(builder.add(builder.bitcast(value, _BITS), exponent), LANES)


def _plus_times(builder: Any, number: Any, pointer: Any, total: Any) -> Any:
    return _fma(builder, spread(builder, number), _load(builder, pointer), total)


def _root(builder: Any, number: Any) -> Any:
    return _call(builder, "llvm.sqrt.f32", REAL, number)


def _floats(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, FLOATS)


def _ints(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, INTS)


def _first_of(builder: Any, count: Any, value: Any, other: Any) -> Any:
    numbers = ir.Constant(_BITS, [ir.IntType(32)(lane) for lane in range(NUM_LANES)])
    nothing = ir.Constant(_BITS, ir.Undefined)
    narrow = builder.trunc(count, ir.IntType(32))
    counts = builder.insert_element(nothing, narrow, ir.IntType(32)(0))
    counts = builder.shuffle_vector(counts, nothing, ir.Constant(_BITS, None))
    is_first = builder.icmp_signed("<", numbers, counts)
    return builder.select(is_first, value, spread(builder, other))


def _transpose(builder: Any, source: Any, step: Any, out: Any, out_step: Any) -> None:
    """In four rounds: blocks of 1, 2, 4 and 8 change places with those across the diagonal."""

    def row(pointer: Any, by: Any, count: int) -> Any:
        return builder.gep(pointer, [builder.mul(by, WHOLE(count))])

    rows = [_load(builder, row(source, step, lane)) for lane in range(NUM_LANES)]
    for size in (1, 2, 4, 8):
        lanes = range(NUM_LANES)
        upper = [lane if not lane & size else NUM_LANES + lane - size for lane in lanes]
        lower = [lane + size if not lane & size else NUM_LANES + lane for lane in lanes]
        for one in (lane for lane in lanes if not lane & size):
            pair = rows[one], rows[one + size]
            for place, chosen in ((one, upper), (one + size, lower)):
                mask = ir.Constant(_BITS, [ir.IntType(32)(lane) for lane in chosen])
                rows[place] = builder.shuffle_vector(*pair, mask)
    for lane, value in enumerate(rows):
        _store(builder, row(out, out_step, lane), value)


def _number(builder: Any, whole: Any) -> Any:
    return builder.sitofp(whole, REAL)


floats = cast("Callable[[int], Floats]", Word(_floats))
"""What stands at an address."""
ints = cast("Callable[[int], Ints]", Word(_ints))
lanes_at = cast("Callable[[Floats], Lanes]", Word(_load))
put = cast("Callable[[Floats, Lanes], None]", Word(_store))
every = cast("Callable[[float], Lanes]", Word(spread))
"""One number in every lane."""
plus_times = cast("Callable[[float, Floats, Lanes], Lanes]", Word(_plus_times))
"""The third, plus a number times what stands at a place."""
total = cast("Callable[[Lanes], float]", Word(_total))
highest = cast("Callable[[Lanes], float]", Word(_highest))
larger = cast("Callable[[Lanes, Lanes], Lanes]", Word(_larger))
unless_below = cast("Callable[[Lanes, float, Lanes], Lanes]", Word(_unless_below))
"""The last, or 0 where the first is below the number."""
times_two_to = cast("Callable[[Lanes, Lanes], Lanes]", Word(_times_two_to))
"""Times two to a whole number, which stands in the low bits of the second."""
first_of = cast("Callable[[int, Lanes, float], Lanes]", Word(_first_of))
"""So many lanes of the second, and the number in the others."""
transpose = cast("Callable[[Floats, int, Floats, int], None]", Word(_transpose))
"""Sixteen rows of sixteen, and their step, to sixteen columns, and the step of those."""
number = cast("Callable[[int], float]", Word(_number))
root = cast("Callable[[float], float]", Word(_root))

Multiply = Callable[[int, int, Floats, int, Floats, int, Floats, int, int], None]
"""Rows, depth; x and its step; w and its step; out and its step; 1 if what is there is added to."""


def multiply(wide: int) -> Multiply:
    """Rows of x times so many lanes of w's columns, a few rows at once: sums stay in registers."""

    def emit(builder: Any, *values: Any) -> None:
        rows, depth, x, x_step, w, w_step, out, out_step, adds = values
        for count in TILES:  # as often as there are so many rows left
            before, head, inside, after = builder.block, *_blocks(builder, 3)
            builder.branch(head)
            builder.position_at_end(head)
            starts, phis = (rows, x, out), [builder.phi(each.type) for each in (rows, x, out)]
            rows, x, out = phis
            builder.cbranch(builder.icmp_signed(">=", rows, WHOLE(count)), inside, after)
            builder.position_at_end(inside)
            operands = (x, x_step), (w, w_step), (out, out_step)
            _tile(builder, (count, wide), depth, operands, adds)
            ends = (
                builder.sub(rows, WHOLE(count)),
                builder.gep(x, [builder.mul(x_step, WHOLE(count))]),
                builder.gep(out, [builder.mul(out_step, WHOLE(count))]),
            )
            _join(phis, (before, starts), (builder.block, ends))
            builder.branch(head)
            builder.position_at_end(after)

    return cast("Multiply", Word(emit))


def _tile(
    builder: Any, shape: tuple[int, int], depth: Any, operands: Sequence[Any], adds: Any
) -> None:
    """So many rows times so many lanes. An operand is a place and the step from row to row."""
    (rows, wide), (x, w, out) = shape, operands

    def row_of(operand: Any, count: Any) -> Any:
        return builder.gep(operand[0], [builder.mul(operand[1], count)])

    def lanes_of(pointer: Any) -> list[Any]:
        return [builder.gep(pointer, [WHOLE(NUM_LANES * each)]) for each in range(wide)]

    xs = [row_of(x, WHOLE(row)) for row in range(rows)]
    outs = [each for row in range(rows) for each in lanes_of(row_of(out, WHOLE(row)))]
    is_added = builder.icmp_signed("!=", adds, WHOLE(0))
    first = [builder.select(is_added, _load(builder, each), _zero()) for each in outs]
    before, (loop, after) = builder.block, _blocks(builder, 2)
    builder.branch(loop)
    builder.position_at_end(loop)
    place, *sums = phis = [builder.phi(WHOLE), *(builder.phi(LANES) for _ in outs)]
    columns = [_load(builder, each) for each in lanes_of(row_of(w, place))]
    more = list[Any]()
    for row in range(rows):
        number = spread(builder, builder.load(builder.gep(xs[row], [place])))
        mine = zip(columns, sums[row * wide :], strict=False)
        more += [_fma(builder, number, column, so_far) for column, so_far in mine]
    following = builder.add(place, WHOLE(1))
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
    _join(phis, (before, (WHOLE(0), *first)), (loop, (following, *more)))
    builder.position_at_end(after)
    for pointer, value in zip(outs, more, strict=True):
        _store(builder, pointer, value)


def _blocks(builder: Any, count: int) -> list[Any]:
    return [builder.append_basic_block() for _ in range(count)]


def _join(phis: Sequence[Any], *comings: tuple[Any, Sequence[Any]]) -> None:
    """What each has, by the block that it is come from."""
    for block, values in comings:
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, block)
