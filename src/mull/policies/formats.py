"""Between problems and steps and the token ids of one particular model.

Chat template, think marks, end of turn and step separator are read from the checkpoint. A problem's
text is data: whatever special tokens it spells, the model reads the spelling, never the token.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn, Self, cast

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mull.core.errors import BadInputError, CheckpointError
from mull.core.expansion import Thinking
from mull.core.problem import Message, Problem
from mull.core.steps import Step, StepKind
from mull.engine.requests import Punctuation
from mull.models.tokenizer import END_THINK, THINK, TextTokenizer

TEMPLATE_FILE: Final = "chat_template.jinja"
SETTINGS_FILE: Final = "tokenizer_config.json"
MAX_PROMPTS: Final = 4_096
"""Prompts kept encoded; the oldest are forgotten first."""
PLACE: Final = "\uf8ffcontent {}\uf8ff"
"""Stands for a message's text while the template is rendered. It holds no space at its ends, which
templates like to trim."""


@dataclass(slots=True)
class ChatFormat:
    """One model's way to be asked and to answer. Its policy owns it; it only caches."""

    tokenizer: TextTokenizer
    template: Template
    specials: Mapping[str, str]
    """The template's names for special tokens (`bos_token`, `eos_token`)."""
    punctuation: Punctuation
    think: int | None
    end_think: int | None
    _prompts: dict[tuple[tuple[Message, ...], Thinking], tuple[int, ...]] = field(
        default_factory=dict[tuple[tuple[Message, ...], Thinking], tuple[int, ...]]
    )

    @classmethod
    def load(cls, folder: Path, tokenizer: TextTokenizer) -> Self:
        """Read a checkpoint folder's chat metadata; `CheckpointError` where it has none."""
        settings = _read_json(folder / SETTINGS_FILE)
        specials = {
            name: _content(settings[name])
            for name in ("bos_token", "eos_token")
            if settings.get(name) is not None
        }
        think, end_think = tokenizer.find(THINK), tokenizer.find(END_THINK)
        punctuation = Punctuation(
            stops=_stops(folder, specials, tokenizer),
            steps=frozenset(tokenizer.ids_ending_in("\n")),
            late_steps=frozenset() if end_think is None else frozenset({end_think}),
        )
        template = _template(folder, settings)
        return cls(tokenizer, template, specials, punctuation, think, end_think)

    def prompt(self, problem: Problem, thinking: Thinking) -> tuple[int, ...]:
        """The ids after which the model begins its turn. Equal problems share one tuple."""
        key = problem.messages, thinking
        known = self._prompts.get(key)
        if known is None:
            if len(self._prompts) >= MAX_PROMPTS:
                del self._prompts[next(iter(self._prompts))]
            known = self._prompts[key] = tuple(self._encode(problem.messages, thinking))
        return known

    def _encode(self, messages: Sequence[Message], thinking: Thinking) -> Iterable[int]:
        """The rendered template with its special tokens, and the messages without any."""
        rest = self._render(messages, thinking)
        for number, message in enumerate(messages):
            before, place, after = rest.partition(PLACE.format(number))
            if place:
                yield from self.tokenizer.encode(before)
                yield from self.tokenizer.encode_untrusted(message.content)
                rest = after
        yield from self.tokenizer.encode(rest)

    def _render(self, messages: Sequence[Message], thinking: Thinking) -> str:
        turns = [
            {"role": message.role.value, "content": PLACE.format(number)}
            for number, message in enumerate(messages)
        ]
        wish = {"enable_thinking": False} if thinking is Thinking.OFF else {}
        try:
            return self.template.render(
                messages=turns,
                add_generation_prompt=True,
                raise_exception=_refuse,
                **self.specials,
                **wish,
            )
        except TemplateError as error:
            raise BadInputError(
                f"the model's chat template refuses this conversation: {error}"
            ) from error

    def thinks_after(self, token_ids: Sequence[int], *, before: bool = False) -> bool:
        """Whether a reader of these tokens is inside a think block, given where he was before."""
        for token in reversed(token_ids):
            if token in {self.think, self.end_think}:
                return token == self.think
        return before

    def step(
        self, token_ids: tuple[int, ...], logprobs: tuple[float, ...], *, thinks: bool
    ) -> Step:
        """The step these tokens are; `thinks` says whether it begins inside a think block.

        It is a thought if any of its text is.
        """
        return Step(
            self.text(token_ids),
            token_ids,
            logprobs,
            self.kind(token_ids, thinks=thinks),
            is_final=bool(token_ids) and token_ids[-1] in self.punctuation.stops,
        )

    def kind(self, token_ids: Sequence[int], *, thinks: bool) -> StepKind:
        """What a step of these tokens is; `thinks` as in `step`."""
        if not thinks and self.think not in token_ids:
            return StepKind.ANSWER
        is_over = bool(token_ids) and token_ids[0] == self.end_think
        return StepKind.ANSWER if is_over else StepKind.THOUGHT

    def text(self, token_ids: Sequence[int]) -> str:
        """What a person reads: no special tokens."""
        return self.tokenizer.decode_plain(token_ids)


@dataclass(slots=True)
class TextStream:
    """Turns tokens into text as they come, holding back bytes that are no character yet."""

    format: ChatFormat
    _held: list[int] = field(default_factory=list[int])

    def take(self, token_ids: Sequence[int], *, flush: bool) -> str:
        """The text that is complete by now; with `flush` all of it."""
        self._held += token_ids
        text = self.format.text(self._held)
        if text.endswith("\N{REPLACEMENT CHARACTER}") and not flush:
            return ""
        self._held.clear()
        return text


def _read_json(path: Path) -> Mapping[str, object]:
    try:
        raw: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read `{path}`: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"`{path}` is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"`{path}` is not a JSON object")
    return cast("dict[str, object]", raw)


def _content(token: object) -> str:
    """A special token as `transformers` writes it: its text, or an object that holds it."""
    return (
        str(cast("dict[str, object]", token)["content"]) if isinstance(token, dict) else str(token)
    )


def _template(folder: Path, settings: Mapping[str, object]) -> Template:
    path = folder / TEMPLATE_FILE
    source = path.read_text(encoding="utf-8") if path.exists() else settings.get("chat_template")
    if not isinstance(source, str):
        raise CheckpointError(
            f"`{folder}` has no chat template, so there is no way to ask its model",
            hint=f"add `chat_template` to its {SETTINGS_FILE}, or a {TEMPLATE_FILE}",
        )
    # A checkpoint is somebody else's: its template may read what it is given and nothing more.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise CheckpointError(f"the chat template of `{folder}` is broken: {error}") from error


def _stops(folder: Path, specials: Mapping[str, str], tokenizer: TextTokenizer) -> frozenset[int]:
    """Every id that ends a turn: config.json and generation_config.json may each name several."""
    stops = set[int]()
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        named = _read_json(path).get("eos_token_id") if path.exists() else None
        stops.update(token for token in _listed(named) if isinstance(token, int))
    if "eos_token" in specials:
        stop = tokenizer.find(specials["eos_token"])
        if stop is None:
            raise CheckpointError(
                f"`{folder}` ends turns with `{specials['eos_token']}`, which is no token of its"
            )
        stops.add(stop)
    if not stops:
        raise CheckpointError(f"`{folder}` names no end of turn: `eos_token_id` is nowhere set")
    return frozenset(stops)


def _listed(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _refuse(message: str) -> NoReturn:
    """What a template calls when a conversation is not to its taste."""
    raise TemplateError(message)
