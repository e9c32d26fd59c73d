"""All rows of a stage of `matched_compute.py` in one table, as it stands in the log.

    python benchmarks/matched_tables.py runs/matched/confirm-mull-base-*

Reads the Markdown that every row left in its folder. A row of the table is an arm at one budget,
with how many times cheaper it is than best-of-n and than best-of-n that stops early, at equal
accuracy, in tokens and with everything charged.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

AXES: Final = (
    "At matched compute: generated tokens",
    "At matched compute: FLOPs, everything charged",
)
AGAINST: Final = ("best of n", "early stop")
NAMES: Final = {
    "self consistency": "majority vote",
    "weighted best of n (verifier none)": "weighted vote, no checker",
    "weighted best of n (verifier none, combine max)": "best valued, no checker",
}
COLUMNS: Final = (
    "numbers", "problems", "n", "arm", "solved", "tokens", "MFLOPs",
    "best-of-n, tokens", "charged", "early stop, tokens", "charged",
)  # fmt: skip
Cells = tuple[str, ...]


def cells_of(page: str, title: str) -> Iterator[Cells]:
    """The rows of the table under a title, without its head."""
    _, _, rest = page.partition(f"### {title}\n")
    lines = [line for line in rest.partition("\n### ")[0].splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield tuple(cell.strip() for cell in line.strip("|").split("|"))


def rows_of(page: str) -> Iterator[Cells]:
    """Every arm and budget of a page."""
    title = page.splitlines()[0]
    level, count = title.partition("level ")[2].partition(":")[0], title.split()[-2]
    cheaper = {
        (axis, arm, n, other): f"{times} {short(interval)}"
        for axis in AXES
        for arm, n, other, _, _, _, times, interval in cells_of(page, axis)
    }
    for arm, n, solved, interval, _, _, tokens, _, flops in cells_of(page, "Results"):
        told = (cheaper.get((axis, arm, n, other), "") for other in AGAINST for axis in AXES)
        accuracy = f"{solved.removesuffix(' %')} {short(interval)}"
        yield level, count, n, named(arm), accuracy, tokens, flops, *told


def short(interval: str) -> str:
    """An interval in three digits, in round brackets."""
    ends = (f"{float(end):.3g}" for end in interval.strip("[]").split(","))
    return f"({' to '.join(ends)})"


def named(label: str) -> str:
    """An arm without its model and without what holds for all searches alike."""
    name = label.removeprefix("mull-base ").removeprefix("mull-mini ")
    for said in (" (early stop)", "early stop, ", ", early stop"):
        name = name.replace(said, "")
    return NAMES.get(name, name)


def main() -> None:
    parser = argparse.ArgumentParser(description="All rows of a stage in one table.")
    parser.add_argument("folders", nargs="+", type=Path)
    folders: list[Path] = parser.parse_args().folders
    pages = [
        path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted(folder.glob("*-n-*.md"), key=lambda each: int(each.name.split("-")[0]))
    ]
    rows = dict.fromkeys(row for page in pages for row in rows_of(page))
    rule = ("---:", "---:", "---:", "---", *["---:"] * (len(COLUMNS) - 4))
    for cells in (COLUMNS, rule, *rows):
        sys.stdout.write(f"| {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
