"""Parts of other people, by name: `module:name`, `./file.py:name`, or an entry point.

Naming a part runs the code that defines it, as `python file.py` would. What a journal or a
configuration of somebody else names is therefore never loaded by itself.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol, cast, runtime_checkable

from mull.core.digest import content_digest
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.protocols import Strategy, Verifier
from mull.core.spec import Option
from mull.verifiers.function import Check, FunctionVerifier

VERIFIERS: Final = "mull.verifiers"
STRATEGIES: Final = "mull.strategies"
"""Groups of entry points. Their objects are what `module:name` may name."""


@runtime_checkable
class _LooksLikeVerifier(Protocol):
    async def score(self, trajectories: object) -> object: ...
    def quote(self, trajectories: object) -> object: ...


@runtime_checkable
class _LooksLikeStrategy(Protocol):
    def ask(self, tree: object, limit: object) -> object: ...
    def select(self, tree: object) -> object: ...


def is_own(group: str, name: str) -> bool:
    """Whether a name is of the kind that `load` takes."""
    return ":" in name or name in _entries(group)


def own_names(group: str) -> tuple[str, ...]:
    """What other packages bring."""
    return tuple(_entries(group))


def own_verifier(name: str) -> Verifier:
    """The verifier, or plain function, of that name; `BadInputError` where it cannot be had."""
    return as_verifier(_made(_load(VERIFIERS, name), name, {}), name)


def as_verifier(thing: object, name: str = "") -> Verifier:
    """A verifier as it is, and a plain function as a verifier that speaks by its name."""
    if isinstance(thing, _LooksLikeVerifier) and hasattr(thing, "source"):
        return cast("Verifier", thing)
    if callable(thing):
        known = name or getattr(thing, "__qualname__", type(thing).__name__)
        return FunctionVerifier(cast("Check", thing), known, _version(thing))
    raise BadInputError(
        f"`{name or type(thing).__name__}` is no verifier",
        hint="give a function `check(problem, answer) -> bool | float`, or an object with "
        "`source`, `quote` and `score`",
    )


def own_strategy(name: str, options: Mapping[str, Option]) -> Strategy:
    """The strategy of that name; a class is made with the options, by keyword."""
    thing = _made(_load(STRATEGIES, name), name, options)
    if not isinstance(thing, _LooksLikeStrategy):
        raise BadInputError(f"`{name}` is no strategy: it lacks `ask` or `select`")
    return cast("Strategy", thing)


def _load(group: str, name: str) -> object:
    entry = _entries(group).get(name)
    module, _, attribute = (entry or name).rpartition(":")
    if not module or not attribute:
        raise BadInputError(f"`{name}` names no part", hint="write `module:name` or `file.py:name`")
    found = _file(Path(module)) if module.endswith(".py") else _module(module)
    try:
        return getattr(found, attribute)
    except AttributeError:
        public = [each for each in vars(found) if not each.startswith("_")]
        raise UnknownNameError(f"part in `{module}`", attribute, public) from None


def _entries(group: str) -> Mapping[str, str]:
    return _installed(group, tuple(sys.path))


@cache
def _installed(group: str, path: tuple[str, ...]) -> Mapping[str, str]:  # noqa: ARG001
    """By name; a package that comes to a place already searched is seen by the next process."""
    return {each.name: each.value for each in entry_points(group=group)}


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(name, error) from error
        raise BadInputError(
            f"no module `{name}` is installed", hint=f"name a file by its path: `./{name}.py:…`"
        ) from None
    except Exception as error:  # whatever its author's code does
        raise _failed(name, error) from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInputError(f"there is no file `{path}`")
    name = f"mull_own_{content_digest(str(path.absolute()))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInputError(f"`{path}` cannot be imported")
    # Dataclasses look their module up.
    found = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(found)
    except Exception as error:  # whatever its author's code does
        raise _failed(str(path), error) from error
    return found


def _failed(what: str, error: Exception) -> BadInputError:
    return BadInputError(f"`{what}` cannot be imported: {type(error).__name__}: {error}")


def _made(thing: object, name: str, options: Mapping[str, Option]) -> object:
    """An object as it is; a class is called."""
    if not inspect.isclass(thing):
        if options:
            raise BadInputError(f"`{name}` is made already and takes no setting `{min(options)}`")
        return thing
    try:
        return thing(**options)
    except TypeError as error:
        raise BadInputError(f"`{name}` cannot be made: {error}") from error


def _version(thing: object) -> str:
    """A digest of the file that defines it: a function changes with what it calls."""
    try:
        file = inspect.getsourcefile(cast("type[object]", thing))
        return content_digest(Path(file or "").read_text(encoding="utf-8"))[:12]
    except (TypeError, OSError):
        return "1"
