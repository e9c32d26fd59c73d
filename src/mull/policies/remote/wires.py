"""What an API is here: how a call is asked for, and how its answer reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from mull.core.codec import Json
from mull.core.expansion import Call, Thinking
from mull.core.seeds import derive_seed
from mull.core.steps import Trajectory
from mull.policies.remote.fields import Fields
from mull.policies.remote.pieces import Item

BYTES_A_TOKEN: Final = 2
"""Text of most languages has more of them in a token."""
_MARKS: Final = 32
"""Tokens that a chat template adds around a message, about."""


def guessed_tokens(trajectory: Trajectory) -> int:
    """Tokens of a prompt that only its server can count; mostly more than they are."""
    texts = [turn.content for turn in trajectory.problem.messages]
    texts += [step.text for step in trajectory.steps]
    return sum(len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN + _MARKS for text in texts)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A completion is to follow this."""

    text: str = ""
    """Empty where it exists as ids alone."""
    token_ids: tuple[int, ...] = ()
    """Empty where it exists as text alone."""
    thinks: bool = False
    """It leaves a thought open."""


class Renderer(Protocol):
    """Knows the prompts of a server, for wires that want one."""

    async def prompt(self, trajectory: Trajectory, thinking: Thinking) -> Prompt:
        """The prompt that continues a trajectory."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request for `count` samples of one call."""

    call: Call
    """What is asked, with the seed of the first sample."""
    prompt: Prompt
    """On the completions wires."""
    count: int = 1
    stop: str = ""
    """Ends a sample before its turn ends; empty: nothing does."""

    @property
    def seed(self) -> int:
        """Of the sampler: 31 bits, which every server takes, fresh where a call continues."""
        return derive_seed(self.call.branch.seed, "request", self.call.drawn) >> 32


class Wire(Protocol):
    """One request shape."""

    @property
    def path(self) -> str:
        """Where its requests go."""
        ...

    @property
    def needs_prompt(self) -> bool:
        """Whether `Request.prompt` must be rendered."""
        ...

    def body(self, request: Request) -> dict[str, Json]:
        """The request as JSON."""
        ...

    def read(self, event: Fields) -> Iterator[Item]:
        """What one event of the answer says."""
        ...
