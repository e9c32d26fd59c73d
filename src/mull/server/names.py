"""What a model's name in a request asks for: the model, and how to search with it.

NAME              one answer, as any server gives it
bon-16-NAME       best of 16 (sc-16: majority vote, es-16: until the first that is accepted)
greedy-NAME       the likeliest answer
q90-NAME          answers until one is right with probability 0.9, as far as can be told
auto-NAME         as much as the problem is worth; deep-NAME: more of it
mull/auto         the same with the first model that is served; mull/deep likewise
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mull.core.errors import UnknownNameError

AUTO: Final = "auto"
"""As many answers as it takes: checked ones where there is a checker, else votes."""
SHORT: Final = MappingProxyType({"bon": "best_of_n", "sc": "self_consistency", "es": "early_stop"})
_COUNTED: Final = re.compile(r"(?P<short>bon|sc|es)-(?P<n>[1-9]\d{0,3})-(?P<model>.+)")
_QUALITY: Final = re.compile(r"q(?P<percent>[1-9]\d?(\.\d+)?)-(?P<model>.+)")
_NAMED: Final = re.compile(r"(?P<how>auto|deep|greedy)-(?P<model>.+)")
_OWN: Final = re.compile(r"mull/(?P<how>auto|deep)")


@dataclass(frozen=True, slots=True)
class Named:
    """A name, taken apart."""

    model: str
    """One that is served."""
    strategy: str | None = None
    """None: one plain answer."""
    n: int | None = None
    is_deep: bool = False
    quality: float | None = None
    """The chance of being right that is wanted."""


def read_name(name: str, served: Sequence[str]) -> Named:
    """Take a name apart; `UnknownNameError` if it leads to no served model."""
    if name in served:
        return Named(name)
    if own := _OWN.fullmatch(name):
        return Named(served[0], AUTO, is_deep=own["how"] == "deep")
    if (counted := _COUNTED.fullmatch(name)) and counted["model"] in served:
        return Named(counted["model"], SHORT[counted["short"]], int(counted["n"]))
    if (named := _NAMED.fullmatch(name)) and named["model"] in served:
        how = named["how"]
        strategy = "greedy" if how == "greedy" else AUTO
        return Named(named["model"], strategy, is_deep=how == "deep")
    if (wanted := _QUALITY.fullmatch(name)) and wanted["model"] in served:
        return Named(wanted["model"], AUTO, quality=float(wanted["percent"]) / 100)
    raise UnknownNameError("model", name, (*served, "mull/auto", "mull/deep"))


def offered_names(served: Sequence[str]) -> list[str]:
    """The names to list: every model, and the searches with the first."""
    return [*served, "mull/auto", "mull/deep"]
