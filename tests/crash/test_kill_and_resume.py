"""`kill -9` in the middle of a solve, then resume: as if nothing had happened."""

import os
import sys
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from typing import Final

import pytest
import pytest_asyncio
from crash.driver import SOLVE_ID, Watched, node_id_of
from crash.setups import SETUPS, Setup

from mull.core.errors import StoreError
from mull.core.events import Event, NodeGrown, SolveEnded
from mull.core.expansion import Call, Finish, Grown, NodeId
from mull.core.journal import MemoryJournal
from mull.core.protocols import Policy
from mull.core.solution import Solution
from mull.core.state import replay
from mull.core.tree import SearchTree
from mull.core.usage import Budget
from mull.store import SqliteJournal

DRIVER: Final = Path(__file__).parent / "driver.py"
GROUP_SECONDS: Final = 0.5
"""How old a step can be and still not be committed: a group's delay and a slow disk."""
NUM_POINTS: Final = 50
NUM_QUICK: Final = 10
"""Points of every run; the others are for `make test-full`."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class World:
    """A setup, its open policy, and how its solve goes when nobody interferes."""

    name: str
    setup: Setup
    folder: Path
    policy: Policy
    events: list[Event]
    solution: Solution


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=sorted(SETUPS))
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[World, None]:
    name, folder = request.param, tmp_path_factory.mktemp("checkpoint")
    setup = SETUPS[name]
    setup.prepare(folder)
    async with setup.opened(folder) as policy:
        journal = MemoryJournal()
        solution = await setup.solver(policy, journal).solve(setup.problem, solve_id=SOLVE_ID)
        yield World(name, setup, folder, policy, journal.traces[SOLVE_ID], solution)


@dataclass(slots=True)
class Made:
    """What a policy made: nodes, and with how many steps already there each call began."""

    nodes: list[NodeId] = field(default_factory=list[NodeId])
    calls: dict[str, int] = field(default_factory=dict[str, int])

    def report(self, call: Call, grown: Grown) -> None:
        self.nodes.append(node_id_of(call, grown))
        self.calls[call.branch.id] = len(call.grown)


async def resumed(
    world: World, path: Path, extra: Budget | None = None
) -> tuple[Solution, list[Event], Made]:
    """The solve carried on to its end in this process."""
    made = Made()
    async with SqliteJournal(path) as journal:
        solver = world.setup.solver(Watched(world.policy, made.report), journal)
        solution = await solver.resume(SOLVE_ID, extra=extra)
        return solution, list(await journal.load(SOLVE_ID)), made


async def kept_in(path: Path) -> list[Event]:
    async with SqliteJournal(path) as journal:
        return list(await journal.load(SOLVE_ID))


def nodes_of(events: list[Event]) -> set[NodeId]:
    tree = replay(events).tree
    return {node.id for node in tree.nodes()} - {tree.root}


def story(tree: SearchTree) -> list[object]:
    """All that a solve found, but not what it cost: a call begun twice reads its prompt twice."""
    nodes = [
        (node.id, node.inputs, node.step, node.finish, tree.scores(node.id))
        for node in tree.nodes()
    ]
    return [*nodes, tree.branches(), tree.failures]


# The killing


@dataclass(frozen=True, slots=True)
class Killed:
    """What a process had done when it died."""

    made: dict[NodeId, float]
    """The steps its policy had made, and when."""
    died: float
    was_running: bool


def kill(world: World, path: Path, mode: str, num_events: int, delay: float) -> Killed:
    """Kill a process that drives the solve, `delay` seconds after so many events."""
    command = [sys.executable, str(DRIVER), world.name, str(world.folder), str(path), mode]
    environment = {**os.environ, "PYTHONPATH": str(DRIVER.parent.parent)}
    made = dict[NodeId, float]()
    with Popen(command, stdout=PIPE, text=True, env=environment) as process:  # noqa: S603
        assert process.stdout is not None
        left = num_events
        for line in process.stdout:
            left -= _note(line, made)
            if left <= 0:
                break
        time.sleep(delay)
        was_running = process.poll() is None
        process.kill()
        died = time.monotonic()
        for line in process.stdout:
            _note(line, made)
    return Killed(made, died, was_running)


def _note(line: str, made: dict[NodeId, float]) -> int:
    """Take in a line of the driver; 1 if it is an event."""
    words = line.split()
    if words[0] == "step" and len(words) == 3 and line.endswith("\n"):
        made[NodeId(words[1])] = float(words[2])
    return words[0] == "event"


@dataclass(frozen=True, slots=True)
class Point:
    """Where to kill. Drawn from its number, so that a failure can be had again."""

    number: int

    def place(self, world: World, num_before: int = 0) -> tuple[int, float]:
        """After how many of the events to come, and how much later."""
        chance = Random(f"{world.name} {self.number} {num_before}")
        first = next(
            index for index, event in enumerate(world.events) if isinstance(event, NodeGrown)
        )
        left = max(1, len(world.events) - num_before)  # none, where all was kept just before
        return chance.randint(1 if num_before else first + 1, left), chance.random() * 0.008


def interrupt(world: World, point: Point, folder: Path) -> tuple[Killed, Path]:
    """Kill a solve at this point, or a little earlier if it was too fast; where its journal is."""
    num_events, delay = point.place(world)
    for attempt in range(10):
        path = folder / f"journal{attempt}.db"
        killed = kill(world, path, "solve", max(1, num_events - attempt * 10), delay)
        if killed.was_running:
            return killed, path
    raise AssertionError("it always finished before it could be killed")


def check_loss(killed: Killed, kept: list[Event]) -> set[NodeId]:
    """Only the steps of the last moment are lost; which ones."""
    lost = killed.made.keys() - nodes_of(kept)
    for node_id in lost:
        age = killed.died - killed.made[node_id]
        assert age < GROUP_SECONDS, f"`{node_id}` was made {age:.3f} s before the end and is lost"
    return lost


def points() -> list[object]:
    return [
        pytest.param(Point(number), marks=[] if number < NUM_QUICK else [pytest.mark.full])
        for number in range(NUM_POINTS)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("point", points(), ids=lambda point: str(point.number))
async def test_a_killed_solve_is_resumed_to_the_same_answer(
    world: World, point: Point, tmp_path: Path
) -> None:
    killed, path = interrupt(world, point, tmp_path)
    kept = await kept_in(path)
    lost = check_loss(killed, kept)
    if point.number % 5 == 0:  # and once more, while it is being resumed
        before = kept
        killed = kill(world, path, "resume", *point.place(world, len(before)))
        kept = await kept_in(path)
        assert kept[: len(before)] == before
        assert not killed.made.keys() & nodes_of(before)
        lost |= check_loss(killed, kept)
    solution, final, made = await resumed(world, path)

    expected = world.solution
    assert (solution.answer, solution.stop) == (expected.answer, expected.stop)
    assert solution.trajectory == expected.trajectory
    assert story(solution.tree) == story(expected.tree)
    assert solution.usage.completion_tokens == expected.usage.completion_tokens
    assert final[: len(kept)] == kept, "a journalled event changed"
    assert not nodes_of(kept) & set(made.nodes), "a journalled step was made again"
    assert len(made.nodes) == len(set(made.nodes))
    assert lost <= nodes_of(final)


@pytest.mark.slow
async def test_a_long_completion_goes_on_in_its_middle(world: World, tmp_path: Path) -> None:
    """Killed when every open branch has steps; each goes on behind its last journalled one."""
    path = tmp_path / "journal.db"
    kill(world, path, "solve", num_events=25, delay=0.0)
    kept = await kept_in(path)
    pending = replay(kept).tree.pending()
    grown = {branch.id: len(replay(kept).tree.chain(branch.id)) for branch in pending}
    assert max(grown.values()) >= 3, "no branch was in its middle"
    _, _, made = await resumed(world, path)
    assert {branch_id: made.calls[branch_id] for branch_id in grown} == grown


async def test_a_solve_that_is_running_is_not_resumed_beside_it(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "journal.db"
    command = [sys.executable, str(DRIVER), world.name, str(world.folder), str(path), "solve"]
    environment = {**os.environ, "PYTHONPATH": str(DRIVER.parent.parent)}
    with Popen(command, stdout=PIPE, text=True, env=environment) as process:  # noqa: S603
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(5)]
        with pytest.raises(StoreError, match=f"`{SOLVE_ID}` is being run by process {process.pid}"):
            await resumed(world, path)
        process.kill()
    solution, _, _ = await resumed(world, path)
    assert solution.answer == world.solution.answer


# More budget: nothing is made twice


async def test_more_tokens_continue_and_recompute_nothing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    num_tokens = world.solution.usage.generated_tokens
    async with SqliteJournal(path) as journal:
        solver = world.setup.solver(world.policy, journal)
        short = await solver.solve(
            world.setup.problem, budget=Budget(max_tokens=num_tokens // 3), solve_id=SOLVE_ID
        )
    assert short.stop.is_budget
    before = await kept_in(path)
    extra = Budget(max_tokens=100 * num_tokens)
    solution, final, made = await resumed(world, path, extra)

    assert (solution.answer, solution.stop) == (world.solution.answer, world.solution.stop)
    assert final[: len(before)] == before
    assert not nodes_of(before) & set(made.nodes)
    assert drawn(solution.tree) == drawn(world.solution.tree)
    assert solution.usage.completion_tokens == num_tokens
    cut = replay(before).tree.pending()
    assert {branch.id: made.calls[branch.id] for branch in cut} == {
        branch.id: len(replay(before).tree.chain(branch.id)) for branch in cut
    }


def drawn(tree: SearchTree) -> dict[str, tuple[tuple[int, ...], Finish | None]]:
    """The tokens of every branch, however a budget cut them into steps."""
    return {
        branch.id: (
            tuple(
                token
                for node in tree.chain(branch.id)
                for token in (node.step.token_ids if node.step else ())
            ),
            tree.chain(branch.id)[-1].finish,
        )
        for branch in tree.branches()
    }


async def test_an_ended_solve_is_returned_without_asking_the_policy(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "journal.db"
    async with SqliteJournal(path) as journal:
        for event in world.events:
            await journal.append(SOLVE_ID, [event])
    assert isinstance(world.events[-1], SolveEnded)
    solution, final, made = await resumed(world, path)
    assert made.nodes == []
    assert final == world.events
    assert (solution.answer, solution.usage) == (world.solution.answer, world.solution.usage)
