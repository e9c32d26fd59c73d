"""What every journal does, whatever it keeps its traces in."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from traces import ENDED, grown, start, trace

from mull.core.errors import BadInputError, UnknownSolveError
from mull.core.events import Extended
from mull.core.journal import MemoryJournal
from mull.core.protocols import Journal
from mull.core.usage import Budget
from mull.store import SqliteJournal


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Journal, None]:
    if request.param == "memory":
        yield MemoryJournal()
    else:
        async with SqliteJournal(tmp_path / "new" / "journal.db") as opened:
            yield opened


async def test_what_was_appended_is_loaded_in_order(journal: Journal) -> None:
    await journal.append("a", trace(1))
    for event in trace(5)[1:]:
        await journal.append("a", (event,))
    assert list(await journal.load("a")) == trace(5)


async def test_a_flush_changes_nothing_that_is_seen(journal: Journal) -> None:
    await journal.append("a", trace(3))
    await journal.flush()
    await journal.flush()
    assert list(await journal.load("a")) == trace(3)


async def test_solves_do_not_mix(journal: Journal) -> None:
    for number in range(3):
        await journal.append(f"solve{number}", [start(number)])
    for index in range(1, 4):
        for number in range(3):
            await journal.append(f"solve{number}", [trace(4, number)[index]])
    for number in range(3):
        assert list(await journal.load(f"solve{number}")) == trace(4, number)


async def test_an_unknown_solve_is_named(journal: Journal) -> None:
    with pytest.raises(UnknownSolveError, match="`nobody`"):
        await journal.load("nobody")


@pytest.mark.parametrize("event", [start(7), start(0)], ids=["another problem", "the same one"])
async def test_a_solve_is_started_once(journal: Journal, event: object) -> None:
    await journal.append("a", trace(2))
    with pytest.raises(BadInputError, match="`a` must be started once"):
        await journal.append("a", [event])  # pyright: ignore[reportArgumentType]
    assert list(await journal.load("a")) == trace(2)


async def test_a_solve_starts_with_its_start(journal: Journal) -> None:
    with pytest.raises(BadInputError, match="`a` must be started once, and first"):
        await journal.append("a", [grown(1)])
    with pytest.raises(UnknownSolveError):
        await journal.load("a")
    await journal.append("a", trace(2))
    assert list(await journal.load("a")) == trace(2)


async def test_no_events_are_no_solve(journal: Journal) -> None:
    await journal.append("a", [])
    with pytest.raises(UnknownSolveError):
        await journal.load("a")


async def test_summaries_are_newest_first_and_say_how_it_ended(journal: Journal) -> None:
    await journal.append("open", trace(3, 1))
    await journal.append("over", [start(2), ENDED])
    await journal.append("extended", [start(3), ENDED, Extended(Budget(max_tokens=9))])
    summaries = await journal.solves()
    assert [each.solve_id for each in summaries] == ["extended", "over", "open"]
    assert [each.stop for each in summaries] == [None, ENDED.stop, None]
    assert [each.answer for each in summaries] == [None, "42", None]
    assert [each.statement for each in summaries] == [
        f"What is six times {number}?" for number in (3, 2, 1)
    ]
    assert summaries[0].spec == start(3).spec


async def test_an_ended_solve_goes_on_when_it_is_extended(journal: Journal) -> None:
    first = [start(), grown(1), ENDED]
    await journal.append("a", first)
    await journal.append("a", [Extended(Budget(max_tokens=9))])
    await journal.append("a", [grown(2), ENDED])
    expected = [*first, Extended(Budget(max_tokens=9)), grown(2), ENDED]
    assert list(await journal.load("a")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "é 漢字 🙂",
        "\x00\x1b[31m\u2028",
        "lone \ud83d half",
        "'); DROP TABLE events; --",
        "x" * 100_000,
    ],
    ids=["unicode", "controls", "half a surrogate pair", "quotes", "long"],
)
async def test_any_text_a_model_may_write_comes_back(journal: Journal, text: str) -> None:
    await journal.append("a", [start(), grown(1, text)])
    assert list(await journal.load("a")) == [start(), grown(1, text)]
