"""Published samples through our policy and strategies, beside the numbers stated of them."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mull.evaluation.recorded.answers import gsm8k, qwen, routellm, zeroeval
from mull.evaluation.recorded.games import tot, xot
from mull.evaluation.recorded.lines import Line
from mull.evaluation.recorded.programs import codet, cruxeval
from mull.evaluation.recorded.runs import epoch
from mull.tasks.recorded import BadRow, Rows, rows_of

TABLES: Final[Mapping[str, Callable[[Rows], Awaitable[list[Line]]]]] = MappingProxyType(
    {
        "codet_humaneval": codet,
        "cruxeval_codellama7b": cruxeval,
        "epoch_frontier_samples": epoch,
        "gsm8k": gsm8k,
        "qwen_math_rm8": qwen,
        "routellm": routellm,
        "tot_gpt4": tot,
        "xot_game24": xot,
        "zeroeval_multimodel": zeroeval,
    }
)
"""What makes the numbers of a data set, by its name."""


async def table_of(data: Path, name: str) -> tuple[list[Line], list[BadRow]]:
    """The numbers of a data set in the folder of data sets, and the rows that were left out."""
    rows = rows_of(data, name)
    return await TABLES[name](rows), rows.bad


__all__ = ["TABLES", "Line", "table_of"]
