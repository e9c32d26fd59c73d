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


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _bare(path: Path, rows: Callable[[], Sequence[Row]]) -> None:
    """A loop of inserts in one transaction, on a table and settings like the journal's."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE events (a TEXT, b INT, c TEXT, d INT, PRIMARY KEY (a, b))")
        connection.execute("BEGIN")
        for row in rows():
            connection.execute("INSERT INTO events VALUES (?, ?, ?, ?)", row)
        connection.execute("COMMIT")


def _rows(events: Sequence[tuple[str, Event]]) -> list[Row]:
    heads = dict[str, int]()
    rows = list[Row]()
    for solve_id, event in events:
        heads[solve_id] = heads.get(solve_id, -1) + 1
        rows.append(to_row(solve_id, heads[solve_id], event))
    return rows


async def _append(path: Path, events: Sequence[tuple[str, Event]]) -> None:
    """Event by event, as a solver does, one durable end."""
    async with SqliteJournal(path) as journal:
        for solve_id, event in events:
            await journal.append(solve_id, (event,))
        await journal.flush()


async def _append_and_flush(path: Path, events: Sequence[tuple[str, Event]]) -> None:
    async with SqliteJournal(path) as journal:
        for solve_id, event in events:
            await journal.append(solve_id, (event,))
            await journal.flush()


async def _load(path: Path, solve_ids: Sequence[str]) -> None:
    async with SqliteJournal(path) as journal:
        for solve_id in solve_ids:
            await journal.load(solve_id)


async def _list(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await journal.solves()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--solves", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="where the disk to measure is")
    options = parser.parse_args()
    events = Load(options.events, options.solves).events()
    few = events[: options.solves + 200]
    made = _rows(events)
    ids = sorted({solve_id for solve_id, _ in events})
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        journal = folder / "journal.db"
        bare = _seconds(lambda: _bare(folder / "bare.db", lambda: made))
        bare_rate = len(events) / bare
        measurements = {
            "bare loop of inserts": (len(events), bare),
            "bare loop, JSON made in it": (
                len(events),
                _seconds(lambda: _bare(folder / "made.db", lambda: _rows(events))),
            ),
            "journal, one flush": (
                len(events),
                _seconds(lambda: asyncio.run(_append(journal, events))),
            ),
            "journal, a flush an event": (
                len(few),
                _seconds(lambda: asyncio.run(_append_and_flush(folder / "few.db", few))),
            ),
            "load": (len(events), _seconds(lambda: asyncio.run(_load(journal, ids)))),
            "solves() (solves per second)": (
                len(ids),
                _seconds(lambda: asyncio.run(_list(journal))),
            ),
        }
    for what, (count, seconds) in measurements.items():
        rate = count / seconds
        sys.stdout.write(
            f"{what:30} {rate:10,.0f} a second   {bare_rate / rate:7.2f} x the bare loop's time\n"
        )


if __name__ == "__main__":
    main()
