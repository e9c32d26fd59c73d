"""Published samples through our replay policy and strategies, beside the numbers stated of them.

    .venv/bin/python benchmarks/recorded.py [NAME...] [--data DIR]

NAME is a data set (all by default), DIR the folder that holds them (or $MULL_DATA). A `=` marks a
number that its data folder states, and that we get; `!` one that differs. The column `whole` is
what was published of the whole set, of which the folder holds a part. Intervals are 95 %, over
problems (over runs for `epoch_frontier_samples`).
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from mull.evaluation.recorded import TABLES, Line, table_of


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TABLES))
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("MULL_DATA", "../shared/data"))
    )
    arguments = parser.parse_args()
    for name in arguments.names or TABLES:
        lines, bad = asyncio.run(table_of(arguments.data, name))
        title = f"\n{name}" + (f" ({len(bad)} bad rows left out)" if bad else "")
        named = (f"  {row.file}, line {row.line}: {row.reason}" for row in bad[:5])
        sys.stdout.writelines(f"{each}\n" for each in (title, *named, *map(shown, lines)))


def shown(line: Line) -> str:
    """The line for a terminal."""
    found = line.found
    mark = "" if not line.stated else "=" if line.agrees else "!"
    interval = (
        "" if found.low == found.high == found.value else f"({found.low:.1f}-{found.high:.1f})"
    )
    return (
        f"  {line.part[:34]:34} {line.measure[:46]:46} {found.value:8.2f} {interval:13}"
        f" {line.stated:>6} {mark:1} {line.whole:>6}"
    ).rstrip()


if __name__ == "__main__":
    main()
