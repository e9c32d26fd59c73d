"""A process that writes traces until it is killed: `python writing.py JOURNAL SEED SOLVE...`.

Prints `SOLVE NUMBER` when NUMBER events of SOLVE are flushed. Goes on where the journal ends.
"""

import asyncio
import sys
from pathlib import Path
from random import Random

from traces import trace

from mull.core.errors import UnknownSolveError
from mull.store import SqliteJournal

NUM_EVENTS = 20_000


async def main(path: Path, chance: Random, solve_ids: list[str]) -> None:
    heads = dict[str, int]()
    traces = {solve_id: trace(NUM_EVENTS, number) for number, solve_id in enumerate(solve_ids)}
    async with SqliteJournal(path) as journal:
        for solve_id in solve_ids:
            try:
                heads[solve_id] = len(await journal.load(solve_id))
            except UnknownSolveError:
                heads[solve_id] = 0
        while max(heads.values()) < NUM_EVENTS - 10:
            solve_id = chance.choice(solve_ids)
            head, count = heads[solve_id], chance.randint(1, 4)
            await journal.append(solve_id, traces[solve_id][head : head + count])
            heads[solve_id] += count
            if chance.random() < 0.1:
                await asyncio.sleep(chance.random() * 0.01)
            if chance.random() < 0.1:
                await journal.flush()
                report = "".join(f"{name} {number}\n" for name, number in heads.items())
                sys.stdout.write(report)
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Random(sys.argv[2]), sys.argv[3:]))
