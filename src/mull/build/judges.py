"""A model as judge, by name: `judge:MODEL`, with MODEL as `--model` takes it."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from mull.build.models import ModelChoice, open_model
from mull.build.prices import PREFIX
from mull.core.digest import content_digest
from mull.core.errors import BadInputError, VerifierError
from mull.core.score import Score, Source
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.models.content import content_digest as weights_digest
from mull.verifiers import GenerativeJudge
from mull.verifiers.judge import DEFAULT_TOKENS, VERSION

SCHEME: Final = "judge:"
EXAMPLE: Final = "judge:MODEL"
MODEL: Final = "openai:http://HOST:PORT/v1#MODEL"
_HOW: Final = frozenset({"key", "in_flight", "silent_seconds", "attempts"})
"""Settings of a model that change nothing of what it says."""


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """How a judge is asked; see `GenerativeJudge`."""

    votes: int = 1
    max_tokens: int = DEFAULT_TOKENS
    may_judge_itself: bool = False

    def __post_init__(self) -> None:
        for name, value in (("votes", self.votes), ("max_tokens", self.max_tokens)):
            if value < 1:
                raise BadInputError(f"`{name}` is {value}; it must be at least 1")


@dataclass(slots=True)
class NamedJudge:
    """A `GenerativeJudge` over a model that it opens itself. Owned by whoever made it by name."""

    name: str
    """The name under which it speaks."""
    choice: ModelChoice
    settings: JudgeSettings = JudgeSettings()
    _judge: GenerativeJudge | None = None
    _opened: AsyncExitStack = field(default_factory=AsyncExitStack)

    def __post_init__(self) -> None:
        if self.choice.knows_only_puzzles:
            raise BadInputError(
                "a shipped model knows its puzzles alone and cannot judge",
                hint=f"judge with a model behind a server: `{SCHEME}{MODEL}`",
            )

    @property
    def source(self) -> Source:
        """Its name; as version the model as it was named, and what changes its opinions."""
        asked = f"{self.settings.votes}x{self.settings.max_tokens}"
        return Source(self.name, f"{VERSION}/{_identity(self.choice)}/{asked}")

    @property
    def judge(self) -> GenerativeJudge | None:
        """The judge itself; None before it is open."""
        return self._judge

    async def open(self) -> None:
        """Open the model. `BadInputError` where it cannot be had."""
        if self._judge is None:
            opened = await self._opened.enter_async_context(open_model(self.choice))
            self._judge = GenerativeJudge(
                opened.policy,
                self.settings.votes,
                self.settings.max_tokens,
                may_judge_itself=self.settings.may_judge_itself,
                known_as=self.source,
            )

    async def close(self) -> None:
        """Let go of the model."""
        self._judge = None
        await self._opened.aclose()

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        """The worst case: every token of every vote."""
        return self._open_judge().quote(trajectories)

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """See `GenerativeJudge`."""
        return await self._open_judge().score(trajectories)

    def _open_judge(self) -> GenerativeJudge:
        if self._judge is None:
            raise VerifierError(f"the judge `{self.name}` is not open")
        return self._judge


def _identity(choice: ModelChoice) -> str:
    """Which model it is, in a few letters: a checkpoint by its weights, any other by its place."""
    options = {
        name: value
        for name, value in choice.spec.options.items()
        if name not in _HOW and not name.startswith(PREFIX)
    }
    weights = "" if choice.checkpoint is None else weights_digest(choice.checkpoint.folder)
    return content_digest(choice.spec.name, repr(sorted(options.items())), weights)[:12]
