"""Gemini's `generateContent` API: how a call is asked for, and how its stream reads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mull.core.codec import Json
from mull.core.errors import BadInputError
from mull.core.expansion import Call, NodeId, Thinking
from mull.core.problem import Role
from mull.policies.remote.fields import Fields, count_of, fields_of, items_of, text_of
from mull.policies.remote.growth import Blocks
from mull.policies.remote.hosted import conversation, given
from mull.policies.remote.pieces import Broken, Ended, Ending, Item, Kept, Piece, Reported
from mull.policies.remote.wires import Request

LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh")
_ENDINGS: Final = {"STOP": Ending.TURN, "MAX_TOKENS": Ending.LENGTH}


@dataclass(frozen=True, slots=True)
class GeminiThinking:
    """Whether and how much the model reasons. By default as it does by itself."""

    tokens: int | None = None
    """A budget, for the 2.5 models: 0 is none at all, -1 as many as it likes. It is no promise."""
    level: str | None = None
    """For the models since 3."""

    def __post_init__(self) -> None:
        if self.tokens is not None and self.level is not None:
            raise BadInputError(
                "a model thinks either with a budget of tokens or at a level",
                hint="give one of them: tokens for Gemini 2.5, a level since Gemini 3",
            )
        if self.tokens is not None and self.tokens < -1:
            raise BadInputError(f"a thinking budget is {self.tokens} tokens; it must be -1 or more")
        if self.level is not None and self.level not in LEVELS:
            raise BadInputError(f"thinking level `{self.level}` is none of {', '.join(LEVELS)}")

    @property
    def name(self) -> str:
        """Part of the model's name, since it changes its samples."""
        said = self.level if self.tokens is None else self.tokens
        return "" if said is None else f"+thinking={said}"

    def config(self, wanted: Thinking) -> dict[str, Json] | None:
        """The `thinkingConfig`; None where nothing is said."""
        if wanted is Thinking.OFF:
            return {"thinkingLevel": "MINIMAL"} if self.level else {"thinkingBudget": 0}
        if self.level is not None:
            return {"thinkingLevel": self.level.upper(), "includeThoughts": True}
        if self.tokens is not None:
            return {"thinkingBudget": self.tokens, "includeThoughts": self.tokens != 0}
        return None


def refusal(call: Call) -> str | None:
    """Why the API would not do what is asked; None if it would."""
    sampling = call.branch.expansion.sampling
    if sampling.min_p:
        return "knows no `min_p`"
    if sampling.temperature > 2:
        return f"takes no temperature above 2, and {sampling.temperature} is asked for"
    return None


@dataclass(frozen=True, slots=True)
class GeminiWire:
    """`:streamGenerateContent`. Without a `top_k` the model's own holds, which cannot be lifted."""

    model: str
    thinking: GeminiThinking
    memory: Mapping[NodeId, Blocks] = field(repr=False)
    """Signatures of turns that may be revised."""
    needs_prompt: bool = False

    @property
    def path(self) -> str:
        """The model is part of it."""
        return f"/v1beta/models/{self.model}:streamGenerateContent?alt=sse"

    def body(self, request: Request) -> dict[str, Json]:
        """The conversation, and how to go on with it."""
        call = request.call
        expansion, sampling = call.branch.expansion, call.branch.expansion.sampling
        system, turns = conversation(call)
        contents: list[Json] = [
            _content("model" if turn.role is Role.ASSISTANT else "user", {"text": turn.content})
            for turn in turns
        ]
        for block in self.memory.get(call.branch.parents[0], ()):
            contents[-2] = _content("model", {"text": turns[-2].content, **block})
        return {
            "contents": contents,
            "generationConfig": {
                "maxOutputTokens": call.max_tokens,
                "temperature": sampling.temperature,
                "topP": sampling.top_p,
                "seed": request.seed,
                **given(
                    topK=sampling.top_k, thinkingConfig=self.thinking.config(expansion.thinking)
                ),
            },
            **given(systemInstruction={"parts": [{"text": system}]} if system else None),
        }

    def read(self, event: Fields) -> Iterator[Item]:
        """A chunk, or the whole answer of a server that does not stream."""
        if blocked := text_of(fields_of(event.get("promptFeedback")).get("blockReason")):
            yield Broken(0, f"the prompt is blocked: `{blocked}`")
        usage = fields_of(event.get("usageMetadata"))
        if usage:
            thoughts = count_of(usage.get("thoughtsTokenCount"))
            yield Reported(
                count_of(usage.get("promptTokenCount")),
                count_of(usage.get("cachedContentTokenCount")),
                count_of(usage.get("candidatesTokenCount")) + thoughts,
                thoughts,
            )
        for each in items_of(event.get("candidates")):
            candidate = fields_of(each)
            for part in items_of(fields_of(candidate.get("content")).get("parts")):
                yield from _part(fields_of(part))
            reason = text_of(candidate.get("finishReason"))
            if reason in _ENDINGS:
                yield Ended(0, _ENDINGS[reason])
            elif reason and reason != "FINISH_REASON_UNSPECIFIED":
                yield Broken(0, f"it ended with `{reason}`")


def _content(role: str, part: Mapping[str, Json]) -> Json:
    return {"role": role, "parts": [part]}


def _part(part: Fields) -> Iterator[Item]:
    text = text_of(part.get("text"))
    if text and part.get("thought") is True:
        yield Piece(reasoning=text)
    elif text:
        yield Piece(text=text)
    if signature := text_of(part.get("thoughtSignature")):
        yield Kept(0, {"thoughtSignature": signature})
