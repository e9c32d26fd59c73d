"""The request shapes: how a call is asked for, and how its answer reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mull.core.codec import Json
from mull.core.expansion import Thinking
from mull.policies.openai.dialects import Dialect
from mull.policies.openai.prompts import wire_messages
from mull.policies.openai.thinking import AS_IT_DOES, OpenAIThinking
from mull.policies.remote.fields import (
    Fields,
    count_of,
    fields_of,
    ids_of,
    items_of,
    logprob_of,
    text_of,
)
from mull.policies.remote.marks import CLOSE, OPEN, marked
from mull.policies.remote.pieces import Broken, Ended, Ending, Item, Piece, Reported
from mull.policies.remote.wires import Request


def sampling_fields(dialect: Dialect, request: Request) -> dict[str, Json]:
    """The fields that every shape spells alike; all explicit, as servers' defaults differ."""
    sampling = request.call.branch.expansion.sampling
    body: dict[str, Json] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    if dialect.no_top_k is not None:
        body |= {"top_k": sampling.top_k or dialect.no_top_k, "min_p": sampling.min_p}
    if dialect.seeds:
        body["seed"] = request.seed
    if request.stop:
        body["stop"] = [request.stop]
    return body


@dataclass(frozen=True, slots=True)
class ChatWire:
    """`/v1/chat/completions`: the server renders, and parts thoughts from the answer."""

    dialect: Dialect
    model: str
    thinking: OpenAIThinking = AS_IT_DOES
    path: str = "/v1/chat/completions"
    needs_prompt: bool = False

    def body(self, request: Request) -> dict[str, Json]:
        """The conversation, with what is already said as its open last turn."""
        call, dialect = request.call, self.dialect
        messages = wire_messages(call.bases[0].problem.messages)
        body: dict[str, Json] = {
            "model": self.model,
            dialect.length_field: call.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **sampling_fields(dialect, request),
        }
        if request.count > 1:
            body["n"] = request.count
        if call.branch.expansion.thinking is Thinking.OFF:
            body |= dialect.thinking_off
        else:
            body |= self.thinking.fields(dialect, call.max_tokens)
        if call.trajectory.steps:
            messages.append({"role": "assistant", "content": marked(call.trajectory.steps)})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return {**body, "messages": messages}

    def read(self, event: Fields) -> Iterator[Item]:
        """A chunk, or the whole answer of a server that does not stream."""
        for each in items_of(event.get("choices")):
            choice = fields_of(each)
            said = fields_of(choice.get("delta")) or fields_of(choice.get("message"))
            text = text_of(said.get("content"))
            reasoning = text_of(said.get("reasoning_content")) or text_of(said.get("reasoning"))
            index = count_of(choice.get("index"))
            if text or reasoning:
                yield Piece(index, text, reasoning)
            elif refused := text_of(said.get("refusal")):
                yield Broken(index, f"the model refuses: {refused[:200]}")
            yield from _endings(self.dialect, index, choice)
        yield from _reported(event)


@dataclass(frozen=True, slots=True)
class CompletionsWire:
    """`/v1/completions`: a prompt is continued, as token ids where the server takes them."""

    dialect: Dialect
    model: str
    path: str = "/v1/completions"
    needs_prompt: bool = True

    def body(self, request: Request) -> dict[str, Json]:
        """The prompt and nothing that the server would add to it."""
        dialect, prompt = self.dialect, request.prompt
        body: dict[str, Json] = {
            "model": self.model,
            "prompt": list(prompt.token_ids) if prompt.token_ids else prompt.text,
            "max_tokens": request.call.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **sampling_fields(dialect, request),
        }
        if request.count > 1:
            body["n"] = request.count
        if dialect.token_ids:
            # Thought marks are special tokens; without them nobody could tell thoughts apart.
            body |= {"return_token_ids": True, "skip_special_tokens": False}
        if dialect.logprobs:
            body["logprobs"] = 0
        return body

    def read(self, event: Fields) -> Iterator[Item]:
        """A chunk, or the whole answer of a server that does not stream."""
        for each in items_of(event.get("choices")):
            choice = fields_of(each)
            index, text = count_of(choice.get("index")), text_of(choice.get("text"))
            ids = ids_of(choice.get("token_ids"))
            if text or ids:
                yield from _tokens(index, text, ids, fields_of(choice.get("logprobs")))
            yield from _endings(self.dialect, index, choice)
        yield from _reported(event)


@dataclass(frozen=True, slots=True)
class LlamaCppWire:
    """llama.cpp's own `/completion`, the one of its shapes that gives every token's id."""

    dialect: Dialect
    path: str = "/completion"  # its `/v1/completions` merges ids that are part of one character
    needs_prompt: bool = True

    def body(self, request: Request) -> dict[str, Json]:
        """The prompt; thought marks are to be spelled out."""
        prompt = request.prompt
        body: dict[str, Json] = {
            "prompt": list(prompt.token_ids) if prompt.token_ids else prompt.text,
            "n_predict": request.call.max_tokens,
            "stream": True,
            "return_tokens": True,
            "preserved_tokens": [OPEN, CLOSE],
            "cache_prompt": True,
            **sampling_fields(self.dialect, request),
        }
        if self.dialect.logprobs:
            body["n_probs"] = 1
        if request.count > 1:
            body["n_cmpl"] = request.count
        return body

    def read(self, event: Fields) -> Iterator[Item]:
        """One token, a few that make one character, or the end of a choice."""
        index, ids = count_of(event.get("index")), ids_of(event.get("tokens"))
        text = text_of(event.get("content"))
        if text or ids:
            drawn = [fields_of(each) for each in items_of(event.get("completion_probabilities"))]
            logprobs = tuple(logprob_of(each.get("logprob")) for each in drawn)
            known = tuple(each.get("id") for each in drawn) == ids
            yield Piece(
                index,
                text,
                token_ids=ids,
                logprobs=logprobs if known else (),
                num_tokens=len(ids) or 1,
                total=count_of(event.get("tokens_predicted")),
            )
        if event.get("stop") is not True:
            return
        kind = text_of(event.get("stop_type"))
        if kind in {"eos", "word", "limit"}:
            endings = {"eos": Ending.TURN, "word": Ending.LINE, "limit": Ending.LENGTH}
            yield Ended(index, endings[kind])
        else:
            yield Broken(index, f"it ended with stop type `{kind}`")
        cached = count_of(fields_of(event.get("timings")).get("cache_n"))
        prompt = count_of(event.get("tokens_evaluated"))
        generated = count_of(event.get("tokens_predicted"))
        yield Reported(prompt, cached, generated, choice=index)


def _tokens(index: int, text: str, ids: tuple[int, ...], logprobs: Fields) -> Iterator[Piece]:
    """A chunk token by token, where its parts are known: how many come at once is chance."""
    texts = [text_of(each) for each in items_of(logprobs.get("tokens"))]
    values = tuple(logprob_of(each) for each in items_of(logprobs.get("token_logprobs")))
    if len(ids) > 1 and len(texts) == len(values) == len(ids) and "".join(texts) == text:
        for token, part, value in zip(ids, texts, values, strict=True):
            yield Piece(index, part, token_ids=(token,), logprobs=(value,))
    else:
        known = values if len(values) == len(ids) else ()
        yield Piece(index, text, token_ids=ids, logprobs=known, num_tokens=len(ids) or 1)


def _endings(dialect: Dialect, index: int, choice: Fields) -> Sequence[Item]:
    reason = choice.get("finish_reason")
    if reason is None:
        return ()
    if reason == "length":
        return (Ended(index, Ending.LENGTH),)
    if reason == "stop":
        # A stop string, where the end of the turn leaves nothing or a token's number there.
        is_line = bool(dialect.stop_cause) and bool(text_of(choice.get(dialect.stop_cause)))
        return (Ended(index, Ending.LINE if is_line else Ending.TURN),)
    return (Broken(index, f"it ended with `{reason}`"),)


def _reported(event: Fields) -> Iterator[Reported]:
    usage = fields_of(event.get("usage"))
    if usage:
        prompt = fields_of(usage.get("prompt_tokens_details"))
        completion = fields_of(usage.get("completion_tokens_details"))
        yield Reported(
            count_of(usage.get("prompt_tokens")),
            # DeepSeek has a field of its own.
            count_of(prompt.get("cached_tokens")) or count_of(usage.get("prompt_cache_hit_tokens")),
            count_of(usage.get("completion_tokens")),
            count_of(completion.get("reasoning_tokens")),
            written_tokens=count_of(prompt.get("cache_write_tokens")),
        )
