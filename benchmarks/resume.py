"""What a journal costs: a tree of many nodes written as it grows, and read back to go on with.

    python benchmarks/resume.py [--nodes 10000] [--rounds 5]

Scripted answers of 100 lines, a node each, in an SQLite file with everything on disk that may be
promised. Writing is the journal's own work, the solve with it less the solve without; reading is
from the open file to the tree, as a server does it before a solve goes on. Processor time; in
brackets the time on the wall.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from mull.control.fixed import Fixed
from mull.core.answers import text_key
from mull.core.journal import MemoryJournal
from mull.core.problem import Problem
from mull.core.protocols import Journal, Strategy
from mull.core.spec import SolveSpec, Spec
from mull.core.state import replay
from mull.policies.scripted import ScriptedPolicy, by_sample
from mull.search import strategy_of
from mull.solver import Solver
from mull.store import SqliteJournal

LINES = 100
ANSWER = "\n".join(f"line {number}" for number in range(LINES))
PROBLEM = Problem.of("Say it.")
Times = tuple[float, float]
"""On the processor and on the wall."""


def made(spec: Spec) -> Strategy:
    return strategy_of(spec, text_key)


def solver_on(journal: Journal, num_answers: int) -> Solver:
    """Draws so many scripted answers."""
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: [ANSWER]}))
    strategy = Spec("best_of_n", {"n": num_answers, "max_tokens": 4 * LINES})
    spec = SolveSpec(policy.capabilities.model, Spec("scripted"), strategy)
    return Solver(spec, policy, (), Fixed(strategy), made, journal)


async def solved(journal: Journal, num_answers: int) -> Times:
    start = now()
    await solver_on(journal, num_answers).solve(PROBLEM, solve_id="it")
    return since(start)


async def read(path: Path) -> tuple[Times, int]:
    async with SqliteJournal(path) as journal:
        start = now()
        tree = replay(await journal.load("it")).tree
        return since(start), len(tree)


def now() -> Times:
    return time.process_time(), time.perf_counter()


def since(start: Times) -> Times:
    processor, wall = now()
    return processor - start[0], wall - start[1]


async def measure(nodes: int, rounds: int) -> None:
    written, found = list[Times](), list[Times]()
    num_nodes = 0
    for _ in range(rounds):
        bare, _ = await solved(MemoryJournal(), nodes // LINES)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "kept.db"
            start = now()
            async with SqliteJournal(path) as journal:
                await solved(journal, nodes // LINES)
            processor, wall = since(start)
            written.append((processor - bare, wall))
            times, num_nodes = await read(path)
            found.append(times)
    processor, wall = (
        statistics.median(each) * 1e3 / num_nodes for each in zip(*written, strict=True)
    )
    say(f"{num_nodes} nodes; written: {processor:.3f} ms a node ({wall:.3f}, the solve included)")
    processor, wall = (statistics.median(each) for each in zip(*found, strict=True))
    say(f"read into a tree: {processor:.2f} s ({wall:.2f})")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def main() -> None:
    """Write and read, several times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    asyncio.run(measure(options.nodes, options.rounds))


if __name__ == "__main__":
    main()
