"""How much a model behind a server is to reason: one setting, spelled as each server spells it."""

from dataclasses import dataclass
from typing import Final

from mull.core.codec import Json
from mull.core.errors import BadInputError
from mull.policies.openai.dialects import EFFORTS, Dialect, WireKind


@dataclass(frozen=True, slots=True)
class OpenAIThinking:
    """Whether and how much the model reasons. By default as it does by itself."""

    tokens: int | None = None
    """A budget of thoughts, within the tokens of an answer where the server counts them there."""
    effort: str | None = None

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < 1:
            raise BadInputError(f"a thinking budget is {self.tokens} tokens; it must be 1 or more")
        if self.effort is not None and self.effort not in EFFORTS:
            raise BadInputError(f"effort `{self.effort}` is none of {', '.join(EFFORTS)}")

    @property
    def is_asked_for(self) -> bool:
        """Whether requests say anything of it."""
        return self.tokens is not None or self.effort is not None

    @property
    def name(self) -> str:
        """Part of the model's name, since it changes its samples."""
        parts = (str(each) for each in (self.effort, self.tokens) if each is not None)
        return f"+thinking={'/'.join(parts)}" if self.is_asked_for else ""

    def wire(self, dialect: Dialect) -> WireKind:
        """The better wire for it: only the chat has fields for thinking."""
        return WireKind.CHAT if self.is_asked_for else dialect.wire

    def check(self, dialect: Dialect, wire: WireKind) -> None:
        """BadInputError for what the server would not know, or quietly ignore."""
        if self.is_asked_for and wire is not WireKind.CHAT:
            raise BadInputError(
                "completions have no fields for thinking",
                hint='leave `wire` out, or set it to "chat"',
            )
        if self.tokens is not None and not dialect.thinking_tokens:
            raise BadInputError(
                f"a server of dialect `{dialect.name}` takes no budget of thinking tokens",
                hint="leave `thinking_tokens` out, or name the `dialect` if it is another",
            )
        if self.effort is not None and self.effort not in dialect.efforts:
            known = ", ".join(dialect.efforts) or "none"
            raise BadInputError(
                f"a server of dialect `{dialect.name}` takes no effort `{self.effort}`; it takes: "
                f"{known}",
                hint="leave `effort` out, or name the `dialect` if it is another",
            )

    def fields(self, dialect: Dialect, max_tokens: int | None = None) -> dict[str, Json]:
        """The request's fields, for an answer of so many tokens."""
        body = dict[str, Json]()
        if self.effort is not None:
            body["reasoning_effort"] = self.effort
        if self.tokens is not None:
            most = self.tokens if max_tokens is None else max(1, max_tokens - 1)
            body |= {**dialect.thinking_on, dialect.thinking_tokens: min(self.tokens, most)}
        return body


AS_IT_DOES: Final = OpenAIThinking()
"""The model thinks as it does by itself."""
