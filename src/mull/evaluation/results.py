"""The results of a run on disk: one JSON line an arm, problem and seed, appended as they come.

A directory belongs to one set of problems and settings and to the weights it was begun with; more
strategies, budgets or models may be added to it. A run that was
killed is continued by the same command; a torn last line is dropped and its problem done again.
"""

import fcntl
import json
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO, cast

from mull.core.codec import DecodeError, Json, decode, encode
from mull.core.errors import BadInputError, StoreError, StoreFullError
from mull.core.usage import Usage
from mull.evaluation.config import EvalConfig, differences

RESULTS_VERSION: Final = 2
CONFIG: Final = "config.json"
RESULTS: Final = "results.jsonl"

Key = tuple[str, int, str, int]
"""Arm name, budget, problem id, seed."""


@dataclass(frozen=True, slots=True)
class Level:
    """The states of one depth of a search."""

    num_states: int
    """Unfinished nodes whose state can be read."""
    num_distinct: int


@dataclass(frozen=True, slots=True)
class Pruning:
    """What a search gave up, by labels that only graders have."""

    num_states: int
    """Unfinished legal nodes that were dropped."""
    num_solvable: int
    """Of them, those from which the target could still be reached."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line: an arm at one budget on one problem with one seed."""

    arm: str
    budget: int
    problem_id: str
    seed: int
    is_right: bool
    """By the grader, against the reference."""
    has_answer: bool
    num_answers: int
    """Finished paths."""
    num_right: int
    """Of them, by the grader: whether or not the strategy chose one."""
    spent: Usage
    """Everything: completions, verifiers, what was thrown away. Its seconds are the wall-clock time
    of the run since its previous result, so that their sum is the time it worked; a replayed arm
    has its share of the time in which its samples were drawn and judged."""
    stop: str
    """Why the solve ended."""
    value: float | None = None
    """What the arm's own judge thinks of the answer it gave."""
    levels: tuple[Level, ...] = ()
    """By depth from 1, where problems have readable states and the arm grows them."""
    pruning: Pruning | None = None
    ungraded: tuple[str, ...] = ()
    """Why, of every finished path that the grader could not judge. They count as not right, so that
    what is said of the arm is a lower bound."""

    @property
    def key(self) -> Key:
        """What the line is about."""
        return self.arm, self.budget, self.problem_id, self.seed


@dataclass(slots=True)
class RunDirectory:
    """The results of one configuration. Owned by the process that holds its lock."""

    path: Path
    config: EvalConfig
    results: dict[Key, Result]
    sources: dict[str, str]
    """What stands behind every name: a model's weights and number format, a verifier's version."""
    _lines: TextIO = field(repr=False)

    def has(self, key: Key) -> bool:
        """Whether this is done."""
        return key in self.results

    def claim(self, name: str, source: str) -> None:
        """Record what a name stands for; BadInputError if it stood for something else before."""
        before = self.sources.setdefault(name, source)
        if before != source:
            raise BadInputError(
                f"`{self.path}` holds results of `{before}`; `{name}` is now `{source}`",
                hint="choose another `--out`, or delete it",
            )
        with writable(self.path):
            _write_config(self.path, self.config, self.sources)

    def append(self, results: Iterable[Result]) -> None:
        """Add results that belong together; they are on disk when this returns."""
        new = tuple(results)
        try:
            self._lines.write("".join(_line(result) for result in new))
            self._lines.flush()
            os.fsync(self._lines.fileno())
        except OSError as error:
            raise StoreFullError(
                f"cannot write to `{self.path / RESULTS}`: {error.strerror}",
                hint="make room and run the same command again; finished problems are kept",
            ) from error
        self.results.update((result.key, result) for result in new)


@contextmanager
def run_directory(path: Path, config: EvalConfig) -> Generator[RunDirectory, None, None]:
    """Open or begin a run. The directory is locked while open.

    Raises BadInputError if it holds another configuration, other files, or is being written to.
    """
    sources = _begin_or_continue(path, config)
    with writable(path):
        lines = (path / RESULTS).open("a+", encoding="utf-8")
    with lines:
        with writable(path):
            _lock(lines, path)
            results = _read(lines)
        yield RunDirectory(path, config, results, sources, lines)


@contextmanager
def writable(path: Path) -> Generator[None, None, None]:
    """Whatever the file system raises in the block becomes a StoreError about this directory."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot use `{path}`: {error.strerror}",
            hint="make room, or check that you may write there, and run the same command again",
        ) from error


def _begin_or_continue(path: Path, config: EvalConfig) -> dict[str, str]:
    """Sources by name: those on record, or none for a new run."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not (path / CONFIG).exists():
            _refuse_foreign_files(path)
            _write_config(path, config, {})
        return _check_config(path, config)
    except OSError as error:
        raise BadInputError(
            f"cannot use `{path}` for results: {error.strerror}", hint="choose another `--out`"
        ) from error


def _refuse_foreign_files(path: Path) -> None:
    foreign = sorted(each.name for each in path.iterdir())
    if foreign:
        raise BadInputError(
            f"`{path}` is not a results directory: it holds `{foreign[0]}`",
            hint="choose an empty or new directory with `--out`",
        )


def _write_config(path: Path, config: EvalConfig, sources: dict[str, str]) -> None:
    content = {"v": RESULTS_VERSION, "config": config.identity, "sources": sources}
    draft = path / f".{CONFIG}"
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path / CONFIG)


def _check_config(path: Path, config: EvalConfig) -> dict[str, str]:
    foreign = BadInputError(
        f"`{path / CONFIG}` is not the configuration of an evaluation",
        hint="choose another `--out`",
    )
    try:
        content = cast("dict[str, Json]", json.loads((path / CONFIG).read_text(encoding="utf-8")))
        version = content["v"]
    except (ValueError, KeyError, TypeError) as error:
        raise foreign from error
    if version != RESULTS_VERSION:
        raise BadInputError(
            f"`{path}` was written in format {version}; this mull reads {RESULTS_VERSION}",
            hint="choose another `--out`",
        )
    try:
        there, sources = content["config"], dict(cast("dict[str, str]", content["sources"]))
    except (KeyError, TypeError, ValueError) as error:
        raise foreign from error
    if different := differences(there, config.identity):
        raise BadInputError(
            f"`{path}` holds another evaluation: {'; '.join(different)}",
            hint="choose another `--out`, or repeat the command it was begun with",
        )
    return sources


def _lock(lines: TextIO, path: Path) -> None:
    """Released by the kernel, however the process ends."""
    try:
        fcntl.flock(lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BadInputError(
            f"another process is writing to `{path}`", hint="wait for it, or choose another `--out`"
        ) from error


def _line(result: Result) -> str:
    return json.dumps(encode(result), separators=(",", ":")) + "\n"


def _read(lines: TextIO) -> dict[Key, Result]:
    """All whole lines; what a crash tore off the end is cut away."""
    lines.seek(0)
    text = lines.read()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        lines.truncate(len(whole.encode()))
    results = [_decoded(line, number) for number, line in enumerate(whole.splitlines(), start=1)]
    return {result.key: result for result in results}


def _decoded(line: str, number: int) -> Result:
    try:
        return decode(Result, cast(Json, json.loads(line)))
    except (ValueError, DecodeError) as error:
        raise StoreError(
            f"line {number} of `{RESULTS}` is not a result: {error}",
            hint="delete that line to have its problem done again",
        ) from error
