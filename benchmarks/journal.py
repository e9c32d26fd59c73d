"""How fast the journal takes events, beside a bare loop of SQLite inserts in one transaction.

    python benchmarks/journal.py [--events 20000] [--solves 50] [--folder DIR]

Prints one line a measurement: events per second and the time relative to the bare loop. The bare
loop inserts JSON that was made before, so it also has none of the cost of making it; the second
line is the same loop with that cost.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mull.core.events import Event, NodeGrown, SolveStarted
from mull.core.expansion import BranchId, Grown
from mull.core.problem import Problem
from mull.core.spec import SolveSpec, Spec
from mull.core.steps import Step
from mull.core.usage import Budget, Usage
from mull.store import SqliteJournal
from mull.store.rows import Row, to_row


@dataclass(frozen=True, slots=True)
class Load:
    """What is written: the same steps to each of several solves in turn."""

    num_events: int
    num_solves: int

    def events(self) -> list[tuple[str, Event]]:
        """Solve ids and events, the solves interleaved as when they run together."""
        started = SolveStarted(
            Problem.of("Use 4, 9, 10 and 13 once each with + - * / to make 24."),
            SolveSpec("bench@1", Spec("bench"), Spec("best_of_n")),
            0,
            Budget(max_tokens=1000),
        )
        ids = [f"{number:010x}" for number in range(self.num_solves)]
        steps = [
            (ids[number % self.num_solves], _step(number)) for number in range(self.num_events)
        ]
        return [*((solve_id, started) for solve_id in ids), *steps]


def _step(number: int) -> Event:
    """A step of 11 tokens with their log-probabilities, as the shipped models write them."""
    tokens = tuple(range(number % 700, number % 700 + 11))
    logprobs = tuple(-0.0123456789 * token for token in tokens)
    step = Step(" 13 - 9 = 4 left 4 4 10\n", tokens, logprobs)
    usage = Usage(visible_tokens=11, flops=5.9e7)
    return NodeGrown(Grown(BranchId(f"{number // 3:020x}"), number % 3, step, usage))


def _bare(path: Path, rows: Callable[[], Sequence[Row]]) -> float:
    """Seconds of a loop of inserts in one transaction, with a table and settings as ours."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE events (a TEXT, b INT, c TEXT, d INT, PRIMARY KEY (a, b))")
        start = time.perf_counter()
        connection.execute("BEGIN")
        for row in rows():
            connection.execute("INSERT INTO events VALUES (?, ?, ?, ?)", row)
        connection.execute("COMMIT")
        return time.perf_counter() - start


def _rows(events: Sequence[tuple[str, Event]]) -> list[Row]:
    heads = dict[str, int]()
    rows = list[Row]()
    for solve_id, event in events:
        heads[solve_id] = heads.get(solve_id, -1) + 1
        rows.append(to_row(solve_id, heads[solve_id], event))
    return rows


async def _append(path: Path, events: Sequence[tuple[str, Event]], *, every: int) -> float:
    """Seconds to append event by event, as a solver does, with a flush after so many."""
    async with SqliteJournal(path) as journal:
        start = time.perf_counter()
        for number, (solve_id, event) in enumerate(events, start=1):
            await journal.append(solve_id, (event,))
            if number % every == 0:
                await journal.flush()
        return time.perf_counter() - start


async def _load(path: Path, solve_ids: Sequence[str]) -> float:
    """Seconds to load every trace."""
    async with SqliteJournal(path) as journal:
        start = time.perf_counter()
        for solve_id in solve_ids:
            await journal.load(solve_id)
        return time.perf_counter() - start


async def _list(path: Path) -> float:
    """Seconds to list the solves."""
    async with SqliteJournal(path) as journal:
        start = time.perf_counter()
        await journal.solves()
        return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--solves", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the disk to measure is")
    options = parser.parse_args()
    events = Load(options.events, options.solves).events()
    few = events[: options.solves + 200]
    made = _rows(events)
    ids = sorted({solve_id for solve_id, _ in events})
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        journal = folder / "journal.db"
        measurements = {
            "bare loop of inserts": (len(events), _bare(folder / "bare.db", lambda: made)),
            "bare loop, JSON made in it": (
                len(events),
                _bare(folder / "made.db", lambda: _rows(events)),
            ),
            "journal, one flush": (
                len(events),
                asyncio.run(_append(journal, events, every=len(events))),
            ),
            "journal, a flush an event": (
                len(few),
                asyncio.run(_append(folder / "few.db", few, every=1)),
            ),
            "load": (len(events), asyncio.run(_load(journal, ids))),
            "solves() (solves a second)": (len(ids), asyncio.run(_list(journal))),
        }
    bare_rate = len(events) / measurements["bare loop of inserts"][1]
    for what, (count, seconds) in measurements.items():
        rate = count / seconds
        sys.stdout.write(
            f"{what:30} {rate:10,.0f} a second   {bare_rate / rate:7.2f} x the bare loop's time\n"
        )


if __name__ == "__main__":
    main()
