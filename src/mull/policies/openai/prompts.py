"""From a problem to what is sent: rendered where the server can do it, and remembered."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from re import compile as compile_pattern
from typing import Final

from mull.core.codec import Json
from mull.core.expansion import Thinking
from mull.core.problem import Message, Role
from mull.core.steps import Trajectory
from mull.policies.openai.dialects import Dialect, Rendering
from mull.policies.remote.client import CallError, Client
from mull.policies.remote.fields import ids_of, text_of
from mull.policies.remote.marks import CLOSE, OPEN, marked
from mull.policies.remote.wires import Prompt

_REMEMBERED: Final = 256
"""Rendered prompts kept; a solve needs one or two."""
_PLACE: Final = "\uf8ff"
"""Around what stands for a message while its template is rendered."""

_SPELLED: Final = compile_pattern(r"<[^\s<>]{1,60}>|\[[^\s\[\]]{1,60}\]")
"""What special tokens are spelled like, as `<|end|>`, `</s>` or `[INST]`."""

Opening = tuple[tuple[Message, ...], Thinking]
"""What a rendered prompt depends on."""


@dataclass(frozen=True, slots=True)
class Renderer:
    """Asks the server for prompts and tokens. One policy owns it."""

    client: Client
    dialect: Dialect
    model: str
    _known: dict[Opening, "asyncio.Future[Prompt]"] = field(
        default_factory=dict[Opening, "asyncio.Future[Prompt]"]
    )

    async def close(self) -> None:
        """Give up what is being rendered; nobody waits for it any more."""
        for each in self._known.values():
            each.cancel()
        await asyncio.gather(*self._known.values(), return_exceptions=True)
        self._known.clear()

    async def prompt(self, trajectory: Trajectory, thinking: Thinking) -> Prompt:
        """The prompt that continues a trajectory, exact where its token ids are known."""
        start = await self._opening((trajectory.problem.messages, thinking))
        if not trajectory.steps:
            return start
        said = marked(trajectory.steps)
        thinks = said.rfind(OPEN) > said.rfind(CLOSE)
        if not start.token_ids:
            return Prompt(start.text + said, thinks=thinks)
        exact = all(step.token_ids or not step.text for step in trajectory.steps)
        ids = trajectory.token_ids if exact else await self.tokenize(said)
        return Prompt(token_ids=(*start.token_ids, *ids), thinks=thinks)

    async def tokenize(self, text: str, *, is_data: bool = False) -> tuple[int, ...]:
        """Token ids of a text; in data no spelling of a special token becomes one."""
        if not text:
            return ()
        if is_data and self.dialect.rendering is Rendering.TOKENIZE:
            return await self._tokenize_apart(text)
        body: dict[str, Json] = {"model": self.model, "prompt": text, "add_special_tokens": False}
        if self.dialect.rendering is Rendering.APPLY_TEMPLATE:
            body = {"content": text, "add_special": False, "parse_special": not is_data}
        return await self._ids(body)

    async def _opening(self, opening: Opening) -> Prompt:
        """Siblings that ask at once wait for one request."""
        known = self._known.get(opening)
        if known is None or (known.done() and (known.cancelled() or known.exception())):
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            known = asyncio.ensure_future(self._render(*opening))
            self._known[opening] = known
        return await asyncio.shield(known)

    async def _render(self, messages: Sequence[Message], thinking: Thinking) -> Prompt:
        rendering = self.dialect.rendering
        if rendering is Rendering.JOINED:
            return Prompt("\n\n".join(each.content for each in messages))
        body: dict[str, Json] = {"model": self.model, "messages": wire_messages(messages)}
        if thinking is Thinking.OFF:
            body |= self.dialect.thinking_off
        if rendering is Rendering.TOKENIZE and not await self._special([*messages]):
            ids = await self._ids({**body, "add_generation_prompt": True})
            return Prompt(token_ids=ids, thinks=await self._thinks(ids))
        return await self._rendered_around(messages, body)

    async def _rendered_around(self, messages: Sequence[Message], body: dict[str, Json]) -> Prompt:
        """The template's own tokens around the messages' plain ones.

        A problem is data: whatever special tokens it spells, the model reads the spelling.
        """
        places = [f"{_PLACE}{number}{_PLACE}" for number in range(len(messages))]
        body["messages"] = [
            {"role": message.role.value, "content": place}
            for message, place in zip(messages, places, strict=True)
        ]
        rest = await self._template_text(body)
        if places[-1] not in rest:
            raise CallError(
                f"the chat template of `{self.model}` hides where the problem stands, which spells "
                "control tokens",
                retryable=False,
            )
        ids, text = list[int](), ""
        for message, place in zip(messages, places, strict=True):
            before, found, after = rest.partition(place)
            if found:
                ids += await self.tokenize(before)
                ids += await self.tokenize(message.content, is_data=True)
                text, rest = text + before + message.content, after
        ids += await self.tokenize(rest)
        return Prompt(text + rest, tuple(ids), thinks=rest.rfind(OPEN) > rest.rfind(CLOSE))

    async def _template_text(self, body: dict[str, Json]) -> str:
        """A rendered conversation as text."""
        if self.dialect.rendering is Rendering.APPLY_TEMPLATE:
            return text_of((await self.client.post("/apply-template", body)).get("prompt"))
        ids = await self._ids({**body, "add_generation_prompt": True})
        asked: dict[str, Json] = {"model": self.model, "tokens": list(ids)}
        return text_of((await self.client.post("/detokenize", asked)).get("prompt"))

    async def _special(self, messages: Sequence[Message]) -> frozenset[str]:
        """What messages spell and the server reads as one token, special or not.

        vLLM has no way to be told that a text is data.
        """
        spelled = {found for each in messages for found in _SPELLED.findall(each.content)}
        return frozenset([each for each in spelled if len(await self.tokenize(each)) == 1])

    async def _tokenize_apart(self, text: str) -> tuple[int, ...]:
        """Ids of a text that is cut inside every spelling of a special token."""
        special = await self._special([Message(Role.USER, text)])
        cuts = [each.start() + 1 for each in _SPELLED.finditer(text) if each[0] in special]
        ids = list[int]()
        for start, end in pairwise([0, *cuts, len(text)]):
            ids += await self.tokenize(text[start:end])
        return tuple(ids)

    async def _thinks(self, ids: tuple[int, ...]) -> bool:
        """Whether the prompt leaves a thought open; only a mark that is one token is seen."""
        last = -1, False
        for mark, opens in ((OPEN, True), (CLOSE, False)):
            found = await self.tokenize(mark)
            if len(found) == 1 and found[0] in ids:
                last = max(last, (len(ids) - ids[::-1].index(found[0]), opens))
        return last[1]

    async def _ids(self, body: dict[str, Json]) -> tuple[int, ...]:
        found = await self.client.post("/tokenize", body)
        ids = ids_of(found.get("tokens"))
        if not ids:
            raise CallError(f"`{self.client.address.at('/tokenize')}` answered without tokens")
        return ids


def wire_messages(messages: Sequence[Message]) -> list[Json]:
    """Messages as the API spells them."""
    return [{"role": each.role.value, "content": each.content} for each in messages]
