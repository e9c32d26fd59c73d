"""A policy that says what it is told: the test double that ships with mull.

It keeps the whole contract of `Policy`: token by token accounting, steps as they stream, limits,
cuts and continuations, failures, time that passes, any order of arrival. Only the words are yours.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from re import compile as compile_pattern
from typing import Final
from zlib import crc32

from mull.core.clock import Clock, SystemClock
from mull.core.expansion import (
    Call,
    Delta,
    ExpansionKind,
    Failed,
    Finish,
    Grown,
    NodeId,
    Outcome,
)
from mull.core.protocols import Capabilities
from mull.core.seeds import derive_seed
from mull.core.steps import Step, StepKind
from mull.core.usage import Usage

OPEN_THINK: Final = "<think>"
CLOSE_THINK: Final = "</think>"
END_OF_TURN: Final = "<end>"
"""The control token that ends every reply; it is drawn, counted and never shown."""
_TOKENS: Final = compile_pattern(r"</?think>|\n|[^\S\n]*(?:(?!</?think>)\S)+|[^\S\n]+")
_CONTROL: Final = frozenset({OPEN_THINK, CLOSE_THINK, END_OF_TURN})


@dataclass(frozen=True, slots=True)
class Reply:
    """All a branch will ever say: steps are its lines, `<think>…</think>` its thoughts."""

    text: str
    fails_after: int | None = None
    """The branch fails once it has this many steps; None: it does not fail."""
    failure: str = "scripted failure"
    thinks: bool = False
    """The reply begins in the middle of the thoughts."""


Script = Callable[[Call], Reply | str]
"""The whole reply of a branch, as a function of its problem, bases, sample index and seed (not of
what is already grown, so that a continued branch says the rest of the same reply)."""


def by_sample(replies: Mapping[str, Sequence[Reply | str]]) -> Script:
    """Sample number i of a problem gives its reply number i, around and around.

    Greedy calls always give the first. A revision gives the reply that follows, by one for each
    turn before it, from its beginning. Grown from a node with k lines, the reply's first k lines
    are taken as said.
    """
    return _picking(replies, lambda call: call.branch.sample + _turns(call))


def by_seed(replies: Mapping[str, Sequence[Reply | str]]) -> Script:
    """As `by_sample`, but every branch draws its reply with its seed."""
    return _picking(replies, lambda call: derive_seed(call.branch.seed, "reply"))


def _picking(replies: Mapping[str, Sequence[Reply | str]], number: Callable[[Call], int]) -> Script:
    def reply_to(call: Call) -> Reply:
        choices = replies[call.bases[0].problem.statement]
        greedy = call.branch.expansion.sampling.is_greedy
        chosen = choices[0 if greedy else number(call) % len(choices)]
        reply = Reply(chosen) if isinstance(chosen, str) else chosen
        lines = reply.text.split("\n")
        said, rest = "\n".join(lines[: _said(call)]), "\n".join(lines[_said(call) :])
        return replace(reply, text=rest, thinks=_is_thinking(tokenize(said), thinks=reply.thinks))

    return reply_to


def _said(call: Call) -> int:
    return 0 if _turns(call) else call.bases[0].text.count("\n")


def _turns(call: Call) -> int:
    return sum(step.is_final for step in call.bases[0].steps)


def tokenize(text: str) -> list[str]:
    """Words with the space before them, newlines and think marks; joined they are the text."""
    return _TOKENS.findall(text)


@dataclass(frozen=True, slots=True)
class ScriptedPolicy:
    """Streams scripted replies.

    Outcomes of all calls are merged by the time at which `delay` says they come; what comes at the
    same time comes in an order drawn with `arrival_seed`, or in the order of the calls without one.
    """

    script: Script
    clock: Clock = SystemClock()
    delay: Callable[[Call, int], float] | None = None
    """Seconds that step number `index` of a call takes."""
    arrival_seed: int | None = None
    model: str = "scripted@1"
    flops_per_token: float = 0.0
    usd_per_token: float = 0.0
    released: set[NodeId] = field(default_factory=set[NodeId])
    """Every node released so far: what a test may look at."""

    @property
    def capabilities(self) -> Capabilities:
        """It can do everything it has words for."""
        return Capabilities(self.model, frozenset(ExpansionKind))

    def quote(self, call: Call) -> Usage:
        """The worst case: every token the call may draw."""
        return self._usage(call.max_tokens)

    def _usage(self, num_tokens: int, *, prompt_tokens: int = 0) -> Usage:
        return Usage(
            prompt_tokens=prompt_tokens,
            visible_tokens=num_tokens,
            flops=num_tokens * self.flops_per_token,
            money_usd=num_tokens * self.usd_per_token,
        )

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """Stream the replies; see `Policy.expand`."""
        start = self.clock.now()
        for offset, outcome in self._timetable(calls):
            wait = start + offset - self.clock.now()
            if wait > 0:
                await self.clock.sleep(wait)
            yield outcome

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """Remember what was released; there is nothing to free."""
        self.released.update(node_ids)

    def _timetable(self, calls: Sequence[Call]) -> list[tuple[float, Outcome]]:
        """Every outcome with the second it comes in, in the order of arrival."""
        arrivals = list[tuple[float, int, int, Outcome]]()
        for position, call in enumerate(calls):
            time, chance = 0.0, position
            for number, outcome in enumerate(self._outcomes(call)):
                if not isinstance(outcome, Delta):
                    index = outcome.index if isinstance(outcome, Grown) else number
                    time += self.delay(call, index) if self.delay else 0.0
                if self.arrival_seed is not None:
                    # Never falling within a call, so that its steps stay in order.
                    luck = derive_seed(self.arrival_seed, outcome.branch_id, number) >> 48
                    chance = luck + (chance if number else 0)
                arrivals.append((time, chance, number, outcome))
        arrivals.sort(key=lambda each: each[:3])
        return [(time, outcome) for time, _, _, outcome in arrivals]

    def _outcomes(self, call: Call) -> Iterator[Outcome]:
        said = self.script(call)
        reply = Reply(said) if isinstance(said, str) else said
        index = len(call.grown)
        prompt_tokens = sum(
            len(tokenize(message.content)) for message in call.bases[0].problem.messages
        )
        tokens = [*tokenize(reply.text), END_OF_TURN]
        for step, finish in _steps(call, tokens, thinks=reply.thinks):
            if reply.fails_after is not None and index >= reply.fails_after:
                yield Failed(call.branch.id, reply.failure)
                return
            num_tokens = len(step.token_ids)
            if step.text:
                yield Delta(call.branch.id, step.text, num_tokens, step.kind)
            usage = self._usage(num_tokens, prompt_tokens=prompt_tokens)
            yield Grown(call.branch.id, index, step, usage, finish)
            index, prompt_tokens = index + 1, 0


def _steps(
    call: Call, tokens: Sequence[str], *, thinks: bool
) -> Iterator[tuple[Step, Finish | None]]:
    """The steps this call adds to its branch, and why the last of them is the last."""
    end = call.drawn + call.max_tokens
    allowed = tokens[call.drawn : end]
    thinks = _is_thinking(tokens[: call.drawn], thinks=thinks)
    held = list[str]()
    for position, token in enumerate(allowed, start=call.drawn + 1):
        held.append(token)
        if token in {OPEN_THINK, CLOSE_THINK}:
            thinks = token == OPEN_THINK
        is_final = token == END_OF_TURN
        if not (is_final or token == "\n" or position == end):  # noqa: S105  (a line's end)
            continue
        finish = _finish(call, is_final=is_final, is_cut=position == end)
        yield _step(held, thinks=thinks, is_final=is_final), finish
        if finish is not None:
            return
        held = []
    if not allowed:
        yield Step(""), Finish.LENGTH


def _finish(call: Call, *, is_final: bool, is_cut: bool) -> Finish | None:
    if is_final:
        return Finish.STOP
    if is_cut:
        return Finish.LENGTH
    is_one_step = call.branch.expansion.kind in {ExpansionKind.STEP, ExpansionKind.PROPOSE}
    return Finish.STEP if is_one_step else None


def _step(tokens: Sequence[str], *, thinks: bool, is_final: bool) -> Step:
    return Step(
        "".join(token for token in tokens if token not in _CONTROL),
        tuple(crc32(token.encode()) for token in tokens),
        kind=StepKind.THOUGHT if thinks else StepKind.ANSWER,
        is_final=is_final,
    )


def _is_thinking(tokens: Sequence[str], *, thinks: bool) -> bool:
    """Whether thoughts are open after these tokens, if they were (or not) before them."""
    marks = [token for token in tokens if token in {OPEN_THINK, CLOSE_THINK}]
    return marks[-1] == OPEN_THINK if marks else thinks
