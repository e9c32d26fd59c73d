"""Models behind an OpenAI-compatible API, as a policy."""

from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from mull.core.expansion import Call, Expansion, ExpansionKind, Failed, NodeId, Outcome, Thinking
from mull.core.protocols import Capabilities
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.policies.openai.dialects import Dialect, Siblings, WireKind
from mull.policies.openai.thinking import AS_IT_DOES, OpenAIThinking
from mull.policies.remote.growth import Grower, streamed


@dataclass(frozen=True, slots=True)
class Served:
    """The model at the other end, as connecting found it."""

    model: str
    """As the server calls it."""
    dialect: Dialect
    """What it can do: the table's row, less what was found to be untrue."""
    wire: WireKind
    version: str = ""
    window: int = 0
    """Tokens of prompt and answer, where the server says; else 0."""
    thinking: OpenAIThinking = AS_IT_DOES

    @property
    def name(self) -> str:
        """What changes the samples of a seed: server, shape, model, version and thinking."""
        version = f"@{self.version}" if self.version else ""
        return f"{self.dialect.name}/{self.wire.value}:{self.model}{version}{self.thinking.name}"

    @property
    def can_continue(self) -> bool:
        """Whether what is already said can be sent along, to be continued."""
        if self.wire is WireKind.COMPLETIONS:
            return True
        return self.dialect.continues_chat

    @property
    def kinds(self) -> frozenset[ExpansionKind]:
        """What can be asked. A step needs the server to tell its end from that of the turn."""
        kinds = {ExpansionKind.FINISH}
        if self.can_continue:
            kinds.add(ExpansionKind.TOKENS)
            if self.dialect.stop_cause:
                kinds.add(ExpansionKind.STEP)
        return frozenset(kinds)

    def refusal(self, call: Call) -> str | None:
        """Why the call cannot be made as it is asked; None if it can."""
        expansion = call.branch.expansion
        sampling = expansion.sampling
        if expansion.kind not in self.kinds:
            return f"offers no `{expansion.kind}` expansions"
        if not self.can_continue and (call.grown or call.bases[0].steps):
            return "cannot continue what is already said"
        if (sampling.top_k or sampling.min_p) and self.dialect.no_top_k is None:
            return "knows neither `top_k` nor `min_p`"
        if expansion.thinking is Thinking.OFF and not self.dialect.thinking_off:
            return "has no way to ask for an answer without reasoning"
        return None


@dataclass(frozen=True, slots=True)
class OpenAIPolicy:
    """Grows branches over one server. Made by `open_openai_policy`; may serve many solves."""

    served: Served
    grower: Grower = field(repr=False)

    @property
    def capabilities(self) -> Capabilities:
        """What the server was found to offer."""
        served = self.served
        return Capabilities(served.name, served.kinds, served.dialect.bound, served.window)

    @property
    def notices(self) -> tuple[str, ...]:
        """What the server was found to do otherwise than it claims."""
        return tuple(self.grower.notices.texts)

    def quote(self, call: Call) -> Usage:
        """Every token the call may draw; requests that are repeated draw from the same."""
        return Usage(visible_tokens=call.max_tokens)

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """Grow all calls at once; see `Policy.expand`. Closing it closes their connections.

        Where the server tells the size of the prompt only at the end, the last step is charged it.
        """
        able = list[Call]()
        for call in calls:
            refusal = self.served.refusal(call)
            if refusal is None:
                able.append(call)
            else:
                yield Failed(call.branch.id, f"`{self.served.name}` {refusal}")
        keeps_steps = self.served.can_continue
        growing = [
            partial(self.grower.grow, group, keeps_steps=keeps_steps)
            for group in self._groups(able)
        ]
        async with aclosing(streamed(growing)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """The server keeps no node; its cache looks after itself."""

    def _groups(self, calls: Sequence[Call]) -> Iterator[list[Call]]:
        """Calls that one request asks for together."""
        dialect = self.served.dialect
        if dialect.siblings is Siblings.FAN_OUT or dialect.max_siblings < 2:
            yield from ([call] for call in calls)
            return
        alike = dict[tuple[Expansion, tuple[Trajectory, ...], object, int], list[Call]]()
        for call in calls:
            group = alike.setdefault(
                (call.branch.expansion, call.bases, call.grown, call.max_tokens), []
            )
            # Greedy samples of one request would be one sample, or a refusal.
            if group and (
                len(group) == dialect.max_siblings or call.branch.expansion.sampling.is_greedy
            ):
                yield list(group)
                group.clear()
            group.append(call)
        yield from alike.values()
