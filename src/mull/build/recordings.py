"""Recorded samples on disk: read to be replayed, and written from what was solved."""

import gzip
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from logging import getLogger
from pathlib import Path
from typing import IO, Final, cast

from mull.core.errors import BadInputError
from mull.core.events import Event
from mull.core.expansion import Branch, ExpansionKind, Finish
from mull.core.problem import Message, Problem, Role
from mull.core.recording import (
    CLOSE,
    OPEN,
    Record,
    Recording,
    header_line,
    parse_recording,
    record_line,
)
from mull.core.state import replay
from mull.core.steps import Step, StepKind
from mull.core.tree import Node, SearchTree
from mull.core.usage import Usage

_LOG: Final = getLogger(__name__)
MAX_LINE_BYTES: Final = 64 << 20
MAX_BYTES: Final = 2 << 30
"""Of a whole recording, unpacked; all of it is held in memory."""
_SHOWN: Final = 5
"""Bad lines that are named one by one; the rest are counted."""


def read_recording(path: Path) -> Recording:
    """The recording in a file, plain or `.gz`; lines that cannot be read are logged and left out.

    Raises `BadInputError` for a file that cannot be read or holds no recording.
    """
    with _lines(path) as lines:
        recording = parse_recording(lines, str(path))
    for fault in recording.faults[:_SHOWN]:
        _LOG.warning("`%s`, line %d is left out: %s", path, fault.line, fault.reason)
    if (num_more := len(recording.faults) - _SHOWN) > 0:
        _LOG.warning("`%s`: %d further lines are left out", path, num_more)
    return recording


@contextmanager
def _lines(path: Path) -> Generator[Iterator[bytes], None, None]:
    try:
        with cast(
            "IO[bytes]", gzip.open(path) if path.suffix == ".gz" else path.open("rb")
        ) as file:
            yield _until_cut(file, path)
    except OSError as error:
        raise BadInputError(
            f"cannot read the recording `{path}`: {error.strerror or error}",
            hint="name a file of JSON lines, such as `mull export samples` writes",
        ) from error


def _until_cut(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """The lines; of an archive that is cut short or damaged those before the damage.

    `BadInputError` for what is too large to be read: a small archive may hold any amount.
    """
    size = 0
    try:
        while line := file.readline(MAX_LINE_BYTES + 1):
            size += len(line)
            if len(line) > MAX_LINE_BYTES or size > MAX_BYTES:
                what = "a line" if len(line) > MAX_LINE_BYTES else "it"
                limit = MAX_LINE_BYTES if len(line) > MAX_LINE_BYTES else MAX_BYTES
                raise BadInputError(
                    f"the recording `{path}` is too large: {what} has more than {limit >> 20} MiB",
                    hint="name a part of it, with the same first line",
                )
            yield line
    except (EOFError, zlib.error) as error:
        _LOG.warning("`%s` ends in the middle, its rest is left out: %s", path, error)


def write_recording(path: Path, solves: Sequence[Sequence[Event]], *, source: str = "") -> int:
    """Write the samples of solves, given as traces; returns how many there are.

    Raises `BadInputError` for solves of several models, for solves without whole samples, and for a
    file that cannot be written.
    """
    states = [replay(events) for events in solves]
    models = {state.started.spec.model for state in states}
    if len(models) != 1:
        raise BadInputError(
            f"a recording is of one model, and these solves are of {len(models)}: "
            f"{', '.join(sorted(models))}"
        )
    records = [record for state in states for record in _records_of(state.tree)]
    if not records:
        raise BadInputError(
            "these solves hold no whole samples: nothing was drawn from the problem to its answer",
            hint="searches that go step by step cannot be recorded as samples",
        )
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(
                f"{line}\n"
                for line in (header_line(models.pop(), source), *map(record_line, records))
            )
    except OSError as error:
        raise BadInputError(f"cannot write `{path}`: {error.strerror}") from error
    return len(records)


def _records_of(tree: SearchTree) -> Iterator[Record]:
    """Every ended sample of whole answers, in the order in which they were asked for.

    One that failed, or ran into its limit, is a record of that failure. The trace does not know how
    long each of them took.
    """
    unfinished = {branch.id for branch in tree.pending()} | set(tree.cancelled)
    for branch in tree.branches():
        is_whole = branch.expansion.kind is ExpansionKind.FINISH and branch.parents == (tree.root,)
        if is_whole and branch.id not in unfinished:
            yield _record(tree, branch)


def _record(tree: SearchTree, branch: Branch) -> Record:
    chain = tree.chain(branch.id)
    failed = tree.failures.get(branch.id)
    spent = sum((node.usage for node in chain), failed.usage if failed else Usage())
    error = failed.message if failed else ""
    if not failed and chain[-1].finish is not Finish.STOP:
        error = f"it was cut off at its limit of {branch.expansion.limits.max_tokens} tokens"
    facts = Record(
        _stated(tree.problem),
        "" if error else _marked(node.step for node in chain if node.step),
        error=error,
        tokens=spent.visible_tokens + spent.discarded_tokens,
        hidden_tokens=spent.hidden_tokens,
        prompt_tokens=spent.prompt_tokens,
        cached_tokens=spent.cached_tokens,
        money_usd=spent.money_usd,
    )
    return _scored(facts, tree, chain[-1]) if chain and not error else facts


def _stated(problem: Problem) -> str | tuple[Message, ...]:
    alone = len(problem.messages) == 1 and problem.messages[0].role is Role.USER
    return problem.statement if alone else problem.messages


def _marked(steps: Iterable[Step]) -> str:
    """The text of a sample with its thoughts between marks."""
    parts = list[str]()
    for kind, group in groupby(steps, key=lambda step: step.kind):
        text = "".join(step.text for step in group)
        parts.append(f"{OPEN}{text}{CLOSE}" if kind is StepKind.THOUGHT else text)
    return "".join(parts)


def _scored(record: Record, tree: SearchTree, last: Node) -> Record:
    """The record with the opinion of the verifier that spoke first, where one had any."""
    opinion = next((score for score in tree.scores(last.id) if score.is_opinion), None)
    if opinion is None:
        return record
    return replace(record, score=opinion.value, verdict=opinion.verdict)
