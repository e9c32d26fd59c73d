"""How fast the engine draws tokens: rows by numerical format, in its own process on one thread.

    python benchmarks/engine.py CHECKPOINT [--rows 1 64] [--dtypes float32 bfloat16] [--device cuda]

Each line grows countdown completions at temperature 1 to their ends: so many rows at once, sixteen
rows a problem, six rows in all for each one that grows (twenty where it is alone), so that rows end
and others take their places. It prints tokens per second of wall time and, where the system tells
(Linux), per second of the engine's CPU time, which says more on a busy machine.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mull.core.expansion import Thinking
from mull.core.problem import Problem
from mull.engine import Dtype, Engine, EngineSettings, Request
from mull.models.tokenizer import TextTokenizer
from mull.policies.formats import ChatFormat
from mull.tasks import generate

ROWS_A_PROBLEM = 16
MAX_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Speed:
    """What one run came to."""

    num_tokens: int
    seconds: float
    cpu_seconds: float | None
    """Of the engine's process; None where the system does not tell."""

    def __str__(self) -> str:
        each = f"{self.num_tokens / self.seconds:10,.0f} tokens/s"
        if self.cpu_seconds:
            each += f" {self.num_tokens / self.cpu_seconds:10,.0f} tokens/CPU-s"
        return each


def _cpu_seconds(process_id: int) -> float | None:
    """User and system time so far."""
    with suppress(OSError):
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
        user, system = stat.rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return None


def _requests(chat: ChatFormat, rows: int) -> list[Request]:
    total = 20 if rows == 1 else 6 * rows
    problems = generate("countdown", 4, -(-total // ROWS_A_PROBLEM), seed=0)
    prompts = [
        chat.prompt(Problem.of(example.problem.statement), Thinking.AUTO) for example in problems
    ]
    return [
        Request(prompts[index // ROWS_A_PROBLEM], seed=index, max_tokens=MAX_TOKENS)
        for index in range(total)
    ]


async def _measure(folder: Path, dtype: Dtype, rows: int, device: str) -> Speed:
    chat = ChatFormat.load(folder, TextTokenizer.load(folder))
    engine = await Engine.start(
        EngineSettings(folder, chat.punctuation, dtype, device, max_rows=rows)
    )
    try:
        async for _ in engine.generate(_requests(chat, min(rows, 8))):
            pass  # the first products of a process are slow
        before, start, num_tokens = _cpu_seconds(engine.worker_id), time.perf_counter(), 0
        async for piece in engine.generate(_requests(chat, rows)):
            num_tokens += len(piece.token_ids)
        seconds, after = time.perf_counter() - start, _cpu_seconds(engine.worker_id)
        cpu = None if before is None or after is None else after - before
        return Speed(num_tokens, seconds, cpu)
    finally:
        await engine.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 64, 512])
    parser.add_argument("--dtypes", type=Dtype, nargs="+", default=[Dtype.FLOAT32, Dtype.BFLOAT16])
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    for dtype in chosen.dtypes:
        for rows in chosen.rows:
            speed = asyncio.run(_measure(chosen.checkpoint, dtype, rows, chosen.device))
            sys.stdout.write(f"{dtype:9} {rows:5} rows {speed}\n")


if __name__ == "__main__":
    main()
