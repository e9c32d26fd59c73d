"""What is asked. Nothing here knows an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from mull.core.digest import content_digest


class Role(StrEnum):
    """Who speaks in a conversation."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class AnswerKind(StrEnum):
    """What an answer is, and so when two answers are the same one."""

    COUNTDOWN = "countdown"
    """An expression over the statement's numbers, or a derivation of one."""
    PUZZLE = "puzzle"
    """An answer of another built-in family, ruled on by that family's rules."""
    INTEGER = "integer"
    MATHS = "maths"
    """A number, formula or list of them, as a solution in prose states it."""
    CODE = "code"
    """A Python program."""
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation that states a problem."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A question. It carries no reference answer: test-time code has none to leak."""

    messages: tuple[Message, ...]
    answer_kind: AnswerKind = AnswerKind.TEXT
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """What the problem's source says about it (family, level); no part of the id."""
    id: str = ""
    """Derived from messages and answer kind when not given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        if not self.id:
            turns = (part for turn in self.messages for part in (turn.role.value, turn.content))
            object.__setattr__(self, "id", content_digest(self.answer_kind.value, *turns))

    @classmethod
    def of(
        cls,
        statement: str,
        answer_kind: AnswerKind = AnswerKind.TEXT,
        metadata: Mapping[str, str] | None = None,
    ) -> Self:
        """The problem stated by one user message."""
        return cls((Message(Role.USER, statement),), answer_kind, metadata or {})

    @property
    def statement(self) -> str:
        """The last user message, which states a single-turn problem in full."""
        turns = [turn.content for turn in self.messages if turn.role is Role.USER]
        return turns[-1] if turns else ""
