"""A small library in C for what a pass does between its products, where there is a compiler.

Optional: without it the engine does the same with torch's operations. It is built once and kept
by what it was built from. For fp32 on a CPU.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.core.errors import EngineError
from mull.engine.blocks import BLOCK
from mull.engine.layout import Layout, Segment
from mull.engine.memory import Memory
from mull.models.config import ModelConfig

FLAGS: Final = (
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffinite-math-only",
    "-fno-signed-zeros",
    "-shared",
    "-fPIC",
)
BUILD_SECONDS: Final = 60.0
LANES: Final = 16
"""Numbers that are computed at once. Other widths of a model are multiples of it anyway."""

Ints = NDArray[np.int32]


class Native:
    """The library, built for one width of heads."""

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, number = ctypes.c_void_p, ctypes.c_int32
        self.norm = library.norm
        self.norm.argtypes = (pointer, pointer, number, number, number)
        self.gate = library.gate
        self.gate.argtypes = (pointer, pointer, number, number)
        self.enter = library.enter
        self.enter.argtypes = (pointer, pointer, pointer, pointer, number)
        self.attend = library.attend
        self.attend.argtypes = (pointer, pointer, pointer)
        self.leave = library.leave
        self.leave.argtypes = (pointer, pointer)
        for function in (self.norm, self.gate, self.enter, self.attend, self.leave):
            function.restype = None


def native(config: ModelConfig) -> Native:
    """The library for a model of this shape; `EngineError` says why there is none."""
    width = config.head_dim
    if width % LANES:
        raise EngineError(f"heads of {width} numbers are not compiled, only multiples of {LANES}")
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise EngineError("there is no C compiler", hint="install gcc or clang, or set CC")
    source = (files("mull.engine") / "native.c").read_text(encoding="utf-8")
    command = [compiler, *FLAGS, f"-DD={width}"]
    # -march=native: what was built on one machine may not run on another.
    made_of = "\n".join((source, *command, platform.processor(), _cpu()))
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    path = _cache() / f"native-{digest}.so"
    if not path.exists():
        _build(source, command, path)
    return Native(ctypes.CDLL(str(path)))


def _build(source: str, command: Sequence[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        code, result = Path(folder) / "native.c", Path(folder) / "native.so"
        code.write_text(source, encoding="utf-8")
        try:
            ran = subprocess.run(  # noqa: S603  (the user's own compiler, on our own source)
                [*command, "-o", str(result), str(code)],
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"the C compiler `{command[0]}` cannot be run: {error}") from error
        if ran.returncode:
            first = next(iter(ran.stderr.splitlines()), "it does not say why")
            raise EngineError(f"the C compiler `{command[0]}` fails: {first}")
        result.replace(path)  # at once: another process may be building the same


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mull"


def _cpu() -> str:
    """What this machine's processor can do, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line for line in lines if line.startswith("flags")), platform.machine())


class RowsInC(ctypes.Structure):
    """`Rows` of native.c."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("rows", "tokens", "heads", "queries", "most")),
        ("columns", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("table", "lengths", "shared", "blocks", "filled")),
        *((name, ctypes.c_void_p) for name in ("segments", "starts", "counts")),
        *((name, ctypes.c_void_p) for name in ("asked", "scores", "mixed", "room")),
    )


class Run(NamedTuple):
    """A segment's operands, all of them views; see `attention.View`."""

    queries: Tensor
    scores: Tensor
    """Its weights, once they are normalised."""
    mixed: Tensor
    keys: list[Tensor]
    values: list[Tensor]


class NativeRowAttention:
    """`RowAttention` with one pass over memory in place of many operations.

    Segments are still products of matrices; everything else is the library's.
    """

    def __init__(
        self, library: Native, layout: Layout, memory: Memory, groups: int, *, width: int = 1
    ) -> None:
        self._library, self._layout = library, layout
        self._version = memory.version
        heads, rows, queries = memory.heads, layout.num_rows, groups * width
        columns = layout.num_chunks * BLOCK
        new = memory.keys.new_empty
        self._asked = new((heads, rows * queries, memory.width))
        self._mixed = torch.empty_like(self._asked)
        self._scores = new((heads, rows * queries, columns))
        self._room = new((queries, columns))
        self._result = new((rows * width, heads * groups * memory.width))
        self._segments = [self._view(each, memory, queries) for each in layout.segments]
        self._lengths = np.zeros((rows, width), np.int32)
        runs = [(each.first, each.end, each.chunk, each.length) for each in layout.segments]
        self._arrays = (
            layout.private.blocks[layout.units].astype(np.int32),
            self._lengths,
            *_shared(layout),
            *_by_row(rows, *np.array(runs, np.int64).reshape(-1, 4).T),
        )
        tensors = (self._asked, self._scores, self._mixed, self._room)
        self._rows = RowsInC(
            rows,
            width,
            heads,
            queries,
            layout.units.shape[1],
            columns,
            *(each.ctypes.data for each in self._arrays),
            *(each.data_ptr() for each in tensors),
        )
        self._at = ctypes.addressof(self._rows)
        pairs = zip(memory.keys, memory.values, strict=True)
        self._layers = [(keys.data_ptr(), values.data_ptr()) for keys, values in pairs]

    def holds(self, layout: Layout, memory: Memory) -> bool:
        """Whether it is still good."""
        return self._layout is layout and self._version == memory.version

    def begin(self, offsets: NDArray[np.int64]) -> None:
        """Let each row's tokens stand at these places (N, w) among those the row has to itself."""
        np.add(offsets, 1, out=self._lengths, casting="unsafe")

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`. The result is good until the next layer.

        The three lie side by side in one matrix, as `Scratch` has them, so one address is enough.
        """
        del keys, values
        all_keys, all_values = self._layers[layer]
        library, rows = self._library, self._at
        library.enter(rows, all_keys, all_values, queries.data_ptr(), queries.stride(0))
        for each in self._segments:
            torch.bmm(each.queries, each.keys[layer], out=each.scores)
        library.attend(rows, all_keys, all_values)
        for each in self._segments:
            each.mixed.baddbmm_(each.scores, each.values[layer])
        library.leave(rows, self._result.data_ptr())
        return self._result

    def _view(self, segment: Segment, memory: Memory, queries: int) -> Run:
        rows = slice(segment.first * queries, segment.end * queries)
        columns = slice(segment.chunk * BLOCK, segment.chunk * BLOCK + segment.length)
        where = (segment.start, segment.length)
        return Run(
            self._asked[:, rows],
            self._scores[:, rows, columns],
            self._mixed[:, rows],
            [each.narrow(2, *where) for each in memory.shared_keys],
            [each.narrow(1, *where) for each in memory.shared_values],
        )


def _shared(layout: Layout) -> tuple[Ints, Ints, Ints]:
    """Shared blocks that are read one by one: where each row begins, blocks, how much of each."""
    units = layout.shared
    if units is None:
        return _empty(layout.num_rows)
    rows = units.rows.ravel()
    of_unit = np.repeat(np.arange(len(units.blocks)), units.rows.shape[1])
    order = np.argsort(rows, kind="stable")[: int((rows < layout.num_rows).sum())]
    starts = np.searchsorted(rows[order], np.arange(layout.num_rows + 1)).astype(np.int32)
    chosen = of_unit[order]
    return starts, units.blocks[chosen].astype(np.int32), units.filled[chosen].astype(np.int32)


def _by_row(
    num_rows: int,
    first: NDArray[np.int64],
    end: NDArray[np.int64],
    chunks: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> tuple[Ints, Ints, Ints]:
    """Runs of columns that rows [first, end) have: where each row begins, starts, lengths."""
    rows = np.arange(num_rows)[:, None]
    row, run = np.nonzero((first <= rows) & (rows < end))
    starts = np.searchsorted(row, np.arange(num_rows + 1)).astype(np.int32)
    return starts, (chunks[run] * BLOCK).astype(np.int32), lengths[run].astype(np.int32)


def _empty(num_rows: int) -> tuple[Ints, Ints, Ints]:
    nothing = np.zeros(0, np.int32)
    return np.zeros(num_rows + 1, np.int32), nothing, nothing
