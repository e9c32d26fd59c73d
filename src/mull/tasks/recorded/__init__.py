"""Readers of published samples: what models really answered, with references and grades.

For evaluation alone. What a policy may see of a set is `RecordedSet.recording()`.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mull.core.errors import BadInputError, UnknownNameError
from mull.tasks.recorded.code import read_codet, read_cruxeval
from mull.tasks.recorded.epoch import read_epoch
from mull.tasks.recorded.game24 import read_tot, read_xot
from mull.tasks.recorded.maths import read_gsm8k, read_qwen, read_routellm, read_zeroeval
from mull.tasks.recorded.rows import BadRow, Rows
from mull.tasks.recorded.sets import RecordedProblem, RecordedSet

Reader = Callable[[Rows], Iterator[RecordedSet]]

READERS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "codet_humaneval": read_codet,
        "cruxeval_codellama7b": read_cruxeval,
        "epoch_frontier_samples": read_epoch,
        "gsm8k": read_gsm8k,
        "qwen_math_rm8": read_qwen,
        "routellm": read_routellm,
        "tot_gpt4": read_tot,
        "xot_game24": read_xot,
        "zeroeval_multimodel": read_zeroeval,
    }
)
"""The reader of each data set, by the name of its folder."""


def rows_of(data: Path, name: str) -> Rows:
    """The rows of a data set in the folder of data sets; `BadInputError` if it is not there."""
    if name not in READERS:
        raise UnknownNameError("data set", name, READERS)
    if not (data / name).is_dir():
        raise BadInputError(
            f"no data set `{name}` in `{data}`", hint="set MULL_DATA to the folder that holds it"
        )
    return Rows(data / name)


__all__ = ["READERS", "BadRow", "Reader", "RecordedProblem", "RecordedSet", "Rows", "rows_of"]
