"""The tables of `matched_compute.py` side by side, as they stand in the log.

    python benchmarks/matched_tables.py runs/matched/confirm-mull-base-*

Reads the Markdown that every row of a stage left in its folder, and prints one table of results and
one of comparisons over all levels and budgets.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

RESULTS: Final = "Results"
AXES: Final = {
    "tokens": "At matched compute: generated tokens",
    "FLOPs": "At matched compute: FLOPs, everything charged",
}
AGAINST: Final = ("best of n", "early stop")
NAMES: Final = {
    "self consistency": "majority vote",
    "weighted best of n (verifier none)": "vote weighted by `mull-prm`, no checker",
    "weighted best of n (verifier none, combine max)": "best by `mull-prm`, no checker",
}
Cells = tuple[str, ...]


def cells_of(page: str, title: str) -> Iterator[Cells]:
    """The rows of the table under a title, without its head."""
    _, _, rest = page.partition(f"### {title}\n")
    lines = [line for line in rest.partition("\n### ")[0].splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield tuple(cell.strip() for cell in line.strip("|").split("|"))


def named(label: str) -> str:
    """An arm without its model, and without what holds for all."""
    name = label.removeprefix("mull-base ").removeprefix("mull-mini ")
    name = NAMES.get(name, name)
    for said in (" (early stop)", "early stop, ", ", early stop"):
        name = name.replace(said, "") if name != "early stop" else name
    return name


def results(level: str, count: str, page: str) -> Iterator[Cells]:
    """Level, problems, budget, arm, solved, interval, tokens, FLOPs."""
    for arm, n, solved, interval, _, _, tokens, _, flops in cells_of(page, RESULTS):
        yield level, count, n, named(arm), solved, interval, tokens, flops


def comparisons(level: str, page: str) -> Iterator[Cells]:
    """Level, budget, arm, against, axis, points more, times cheaper."""
    for axis, title in AXES.items():
        for arm, n, other, _, *found in cells_of(page, title):
            if other in AGAINST and n != "1":
                yield level, n, named(arm), other, axis, *found


def table(columns: Sequence[str], rows: Sequence[Cells]) -> str:
    """As Markdown; the same row twice is written once."""
    lines = (columns, ["---"] * len(columns), *dict.fromkeys(rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="The tables of a stage, over all its rows.")
    parser.add_argument("folders", nargs="+", type=Path)
    folders: list[Path] = parser.parse_args().folders
    told, compared = list[Cells](), list[Cells]()
    for folder in folders:
        for path in sorted(folder.glob("*-n-*.md"), key=lambda each: int(each.name.split("-")[0])):
            page = path.read_text(encoding="utf-8")
            title = page.splitlines()[0]
            level = title.partition("level ")[2].partition(":")[0]
            told += results(level, title.split()[-2], page)
            compared += comparisons(level, page)
    columns = ("numbers", "problems", "n", "arm", "solved", "95 %", "tokens", "MFLOPs")
    sys.stdout.write(table(columns, told) + "\n")
    columns = (
        "numbers", "n", "arm", "against", "axis",
        "points more", "95 %", "times cheaper", "95 %",
    )  # fmt: skip
    sys.stdout.write(table(columns, compared))


if __name__ == "__main__":
    main()
