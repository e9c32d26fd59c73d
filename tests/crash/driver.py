"""A process to be killed: `python driver.py SETUP FOLDER JOURNAL solve|resume`.

Says `event` for every event the solver has recorded, and `step NODE_ID SECONDS` for every step the
policy has made, as soon as there is one; SECONDS are those of the machine's monotonic clock.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from crash.setups import SETUPS

from mull.core.events import Event
from mull.core.expansion import Call, Delta, Grown, NodeId, Outcome
from mull.core.protocols import Capabilities, Policy
from mull.core.usage import Usage
from mull.store import SqliteJournal

SOLVE_ID = "it"


@dataclass(frozen=True, slots=True)
class Watched:
    """A policy whose steps are reported before anybody else sees them."""

    policy: Policy
    report: Callable[[Call, Grown], None]

    @property
    def capabilities(self) -> Capabilities:
        return self.policy.capabilities

    def quote(self, call: Call) -> Usage:
        return self.policy.quote(call)

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        by_branch = {call.branch.id: call for call in calls}
        async with aclosing(self.policy.expand(calls)) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, Grown):
                    self.report(by_branch[outcome.branch_id], outcome)
                yield outcome

    async def release(self, node_ids: Collection[NodeId]) -> None:
        await self.policy.release(node_ids)


def node_id_of(call: Call, grown: Grown) -> NodeId:
    """The node that a step becomes."""
    return call.branch.node_id(grown.index)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _say_step(call: Call, grown: Grown) -> None:
    _say(f"step {node_id_of(call, grown)} {time.monotonic()}")


def _say_event(event: Event | Delta) -> None:
    if not isinstance(event, Delta):
        _say("event")


async def main(setup: str, folder: Path, path: Path, mode: str) -> None:
    chosen = SETUPS[setup]
    async with chosen.opened(folder) as policy, SqliteJournal(path) as journal:
        solver = chosen.solver(Watched(policy, _say_step), journal)
        if mode == "solve":
            await solver.solve(chosen.problem, solve_id=SOLVE_ID, observer=_say_event)
        else:
            await solver.resume(SOLVE_ID, observer=_say_event)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
