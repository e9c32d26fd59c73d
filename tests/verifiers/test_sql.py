"""Queries: rows decide, and a query can read the database and nothing else."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from mull.core.score import Verdict
from mull.verifiers.sql import SqlChecker, asks_for_order

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = """
CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT, people INTEGER);
INSERT INTO city VALUES (1, 'Aa', 10), (2, 'Bb', 30), (3, 'Cc', 20), (4, 'Dd', 20);
"""
NAMES = "SELECT name, people FROM city"
FOREVER = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def checker() -> AsyncGenerator[SqlChecker, None]:
    async with SqlChecker(SCRIPT) as shared:
        yield shared


@pytest.mark.parametrize(
    ("query", "reference", "verdict"),
    [
        ("SELECT c.name AS n, c.people FROM city AS c ORDER BY 1 DESC", NAMES, Verdict.ACCEPT),
        (f"{NAMES} ORDER BY name", f"{NAMES} ORDER BY id", Verdict.ACCEPT),
        (f"{NAMES} ORDER BY id DESC", f"{NAMES} ORDER BY id", Verdict.REJECT),
        ("SELECT name FROM city", NAMES, Verdict.REJECT),
        (f"{NAMES} WHERE people > 10", NAMES, Verdict.REJECT),
        ("SELECT DISTINCT people FROM city", "SELECT people FROM city", Verdict.REJECT),
        ("SELECT count(*) * 1.0 FROM city", "SELECT count(*) FROM city", Verdict.ACCEPT),
        ("SELECT 'a' WHERE 0", "SELECT 1 WHERE 0", Verdict.ACCEPT),
        ("SELEC name", NAMES, Verdict.REJECT),
        ("SELECT nothing FROM city", NAMES, Verdict.REJECT),
        ("", NAMES, Verdict.REJECT),
        (NAMES, "SELECT nothing FROM city", Verdict.UNKNOWN),
        ("x" * 10_001, NAMES, Verdict.UNKNOWN),
    ],
)
async def test_a_query_is_right_if_it_gives_the_rows_of_the_reference(
    checker: SqlChecker, query: str, reference: str, verdict: Verdict
) -> None:
    finding = await checker.check(query, reference)
    assert finding.verdict is verdict, finding


HOSTILE = {
    "drop": "DROP TABLE city",
    "delete": "DELETE FROM city",
    "insert": "INSERT INTO city VALUES (9, 'x', 1)",
    "replace": "REPLACE INTO city VALUES (1, 'x', 1)",
    "two statements": f"{NAMES}; DROP TABLE city",
    "attach": "ATTACH '{outside}' AS other",
    "vacuum": "VACUUM INTO '{outside}'",
    "pragma": "PRAGMA writable_schema = ON",
    "pragma function": "SELECT * FROM pragma_database_list",
    "temporary table": "CREATE TEMP TABLE t AS SELECT 1",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON city BEGIN SELECT 1; END",
    "transaction": "BEGIN EXCLUSIVE",
    "extension": "SELECT load_extension('{outside}')",
    "file": "SELECT readfile('/etc/passwd')",
    "write file": "SELECT writefile('{outside}', 'x')",
    "blob": "SELECT zeroblob(2000000000)",
    "endless": FOREVER,
    "product": "SELECT 1 FROM city a, city b, city c, city d, city e, city f, city g, city h",
    "long text": "SELECT replace(hex(zeroblob(10)), '0', printf('%.99999c', 'x'))",
    "doubling": "SELECT hex(hex(hex(hex(hex(printf('%.90000c', 'x'))))))",
    "sort spill": (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
        "SELECT printf('%.9000c', 'x') || x FROM c ORDER BY 1"
    ),
    "pattern": "SELECT printf('%.50000c', 'a') LIKE printf('%.20000c', '%') || 'b'",
    "deep": "SELECT " + "(" * 4_000 + "1" + ")" * 4_000,
    "surrogate": "SELECT '\ud800'",
    "nul": "SELECT 1\x00; DROP TABLE city",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_query_reads_writes_and_hangs_nothing(
    checker: SqlChecker, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside.db"
    finding = await checker.check(HOSTILE[name].replace("{outside}", str(outside)), NAMES)
    assert not finding.is_accepted
    assert not outside.exists()
    assert (await checker.check(NAMES, NAMES)).is_accepted


async def test_an_endless_query_is_unknown_and_says_why(checker: SqlChecker) -> None:
    finding = await checker.check(FOREVER, NAMES)
    assert finding.verdict is Verdict.UNKNOWN
    assert "took longer than 2.0 s" in finding.reason


async def test_a_database_file_is_only_read(tmp_path: Path) -> None:
    file = tmp_path / "cities.db"
    with sqlite3.connect(file) as database:
        database.executescript(SCRIPT)
    database.close()
    before = file.read_bytes()
    async with SqlChecker(file=file) as checker:
        assert (await checker.check(NAMES, NAMES)).is_accepted
        assert not (await checker.check("DELETE FROM city", NAMES)).is_accepted
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["cities.db"]


async def test_a_database_that_cannot_be_opened_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "no.db"
    file.write_text("this is no database, but a page of text that is long enough" * 20)
    async with SqlChecker(file=file) as checker:
        assert (await checker.check(NAMES, NAMES)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("select a from t order by a", True),
        ("SELECT a FROM t ORDER\n BY a LIMIT 3", True),
        ("select a from (select a from t order by a)", False),
        ("select 'order by' from t", False),
        ('select "order by" from t', False),
        ("select a from t", False),
        ("select order_by from t", False),
    ],
)
async def test_order_counts_only_where_the_reference_asks_for_it(
    query: str, *, ordered: bool
) -> None:
    assert asks_for_order(query) is ordered


def children() -> set[int]:
    """Processes below this one, the grandchildren included."""
    parents = dict[int, int]()
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parents[int(entry.name)] = int((entry / "stat").read_text().split(") ")[1].split()[1])
    found = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1])
async def test_who_leaves_while_a_worker_starts_leaves_none_behind(seconds: float) -> None:
    before = children()
    async with SqlChecker(SCRIPT) as checker:
        asking = asyncio.create_task(checker.check(NAMES, NAMES))
        await asyncio.sleep(seconds)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
    async with asyncio.timeout(10):
        while children() - before:
            await asyncio.sleep(0.01)


async def test_a_checker_whose_first_request_was_cancelled_answers_the_next() -> None:
    async with SqlChecker(SCRIPT) as checker:
        asking = asyncio.create_task(checker.check(NAMES, NAMES))
        await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.wait([asking])
        assert (await checker.check(NAMES, NAMES)).is_accepted
