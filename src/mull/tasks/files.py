"""A task of one's own: problems with references, one JSON line each.

    {"prompt": "What is 6 * 7?", "reference": "42", "answer_kind": "integer"}

`docs/tasks.md` describes every field. A line that cannot be read costs only itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from mull.core.codec import DecodeError, Json, decode, parse_json
from mull.core.errors import BadInputError
from mull.core.problem import AnswerKind, Message, Problem, Role
from mull.tasks.example import Example

SUFFIX: Final = ".jsonl"
KINDS: Final = (AnswerKind.TEXT, AnswerKind.INTEGER, AnswerKind.MATHS, AnswerKind.CODE)
"""Kinds whose answers are told right from the reference alone."""


@dataclass(frozen=True, slots=True)
class Line:
    """One problem as the file states it."""

    reference: str | int | float
    """The right answer, of a program its tests; never shown to a model or a verifier."""
    prompt: str | None = None
    """The user's message."""
    messages: tuple[Message, ...] = ()
    """The whole conversation, in the place of `prompt`."""
    id: str = ""
    """Names the problem in results; unique in the file. Empty: derived from what is asked."""
    answer_kind: AnswerKind = AnswerKind.TEXT
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    """Handed to verifiers with the problem."""

    def __post_init__(self) -> None:
        if (self.prompt is None) == (not self.messages):
            raise ValueError("it needs either `prompt` or `messages`")
        if self.messages and self.messages[-1].role is not Role.USER:
            raise ValueError("the last of its `messages` must be the user's")
        if not self.statement.strip():
            raise ValueError("its question is empty")
        if not str(self.reference).strip():
            raise ValueError("its `reference` is empty")
        if self.answer_kind not in KINDS:
            raise ValueError(f"`answer_kind` is none of {', '.join(KINDS)}")

    @property
    def statement(self) -> str:
        """What the user asks last."""
        return self.messages[-1].content if self.prompt is None else self.prompt

    def example(self, task: str) -> Example:
        """The problem with its reference, apart."""
        turns = self.messages or (Message(Role.USER, self.statement),)
        problem = Problem(turns, self.answer_kind, self.metadata, self.id)
        return Example(problem, str(self.reference), task, 0, "test", problem.id)


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is no problem."""

    line: int
    """From 1."""
    reason: str


def is_task_file(task: str) -> bool:
    """Whether a task's name is a file's."""
    return task.endswith(SUFFIX)


def read_examples(path: Path) -> tuple[list[Example], list[Fault]]:
    """The problems of a file, at least one, and what is wrong with its other lines.

    Raises `BadInputError` for a file that cannot be read or holds no problem at all.
    """
    try:
        with path.open("rb") as lines:
            examples, faults = parse_examples(lines, str(path))
    except OSError as error:
        raise BadInputError(f"cannot read the task `{path}`: {error.strerror}") from error
    if not examples:
        why = f": line {faults[0].line}: {faults[0].reason}" if faults else ""
        raise BadInputError(
            f"`{path}` holds no problem{why}",
            hint='write one a line, as in {"prompt": "What is 6 * 7?", "reference": "42"}',
        )
    return examples, faults


def parse_examples(lines: Iterable[bytes], task: str) -> tuple[list[Example], list[Fault]]:
    """The problems in the lines, and what is wrong with the other ones. Blank lines are neither."""
    examples, faults = dict[str, Example](), list[Fault]()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            example = _parse(line).example(task)
        except ValueError as error:  # DecodeError, JSON, UTF-8, and what a problem may not be
            faults.append(Fault(number, _told(error)))
            continue
        if example.id in examples:
            faults.append(Fault(number, f"`{example.id}` is the id of an earlier problem"))
        examples.setdefault(example.id, example)
    return list(examples.values()), faults


def _told(error: ValueError) -> str:
    """Why, in words about the line."""
    return str(error).removeprefix("no `Line`: ").replace("`Line`", "it")


def _parse(line: bytes) -> Line:
    data: object = parse_json(line)
    if not isinstance(data, dict):
        raise DecodeError("it is no JSON object")
    return decode(Line, cast("Mapping[str, Json]", data))
