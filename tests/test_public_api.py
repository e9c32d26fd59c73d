import re
import types
from pathlib import Path
from typing import cast

import pytest

import mull
import mull.build

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("module", [mull, mull.build], ids=["mull", "build"])
def test_the_exported_names_are_sorted_and_are_what_there_is(module: types.ModuleType) -> None:
    exported = cast("list[str]", module.__all__)
    there = {
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and not isinstance(thing, types.ModuleType)
    }
    # Constants first, then classes, then functions: ruff's order.
    assert exported == sorted(exported, key=lambda name: (not name.isupper(), name))
    assert set(exported) - {"__version__"} == there


@pytest.mark.parametrize("name", [name for name in mull.__all__ if name != "__version__"])
def test_every_exported_name_is_documented(name: str) -> None:
    assert getattr(mull, name).__doc__


def test_the_newest_release_of_the_changelog_is_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, flags=re.MULTILINE)
    assert releases[0] == mull.__version__
