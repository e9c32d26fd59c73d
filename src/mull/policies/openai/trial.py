"""Trying what a server claims, where tokens are free: unknown fields are ignored in silence.

Two requests for the same few tokens show whether token ids and log-probabilities come, whether the
length is kept and whether a seed repeats; a third, stopped at a character of theirs, whether the
server says that it was. What does not hold is taken out of the dialect and noted.
"""

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from mull.core.expansion import Branch, BranchId, Call, Expansion, ExpansionKind, Limits, NodeId
from mull.core.ledger import Bound
from mull.core.problem import Problem
from mull.core.steps import Trajectory
from mull.policies.openai.dialects import Dialect
from mull.policies.openai.wires import CompletionsWire, LlamaCppWire
from mull.policies.remote.client import CallError, Client
from mull.policies.remote.growth import Notices
from mull.policies.remote.pieces import Ended, Ending, Item, Piece
from mull.policies.remote.wires import Prompt, Request, Wire

NUM_TOKENS: Final = 8
_TEXT: Final = "Multiply 12 by 34"


@dataclass(frozen=True, slots=True)
class Trial:
    """What one answer consisted of."""

    text: str
    token_ids: tuple[int, ...]
    num_logprobs: int
    ending: Ending | None


async def tried(client: Client, dialect: Dialect, wire: Wire, notices: Notices) -> Dialect:
    """The dialect without the claims that do not hold; a server that fails the trial keeps them."""
    request = _request()
    try:
        first, second = await _try(client, wire, request), await _try(client, wire, request)
        stop = _stop_within(first.text)
        third = await _try(client, wire, replace(request, stop=stop)) if stop else None
    except CallError as error:
        notices.add(f"a first try failed, so that nothing is verified: {error.message}")
        return dialect
    untrue = dict[str, object]()
    if dialect.seeds and (first.text, first.token_ids) != (second.text, second.token_ids):
        untrue["seeds"] = False
    elif dialect.stop_cause and third is not None and third.ending is not Ending.LINE:
        untrue["stop_cause"] = ""
    if isinstance(wire, CompletionsWire | LlamaCppWire):
        if dialect.token_ids and not first.token_ids:
            untrue["token_ids"] = False
        if dialect.logprobs and not first.num_logprobs:
            untrue["logprobs"] = False
    if len(first.token_ids) > NUM_TOKENS:
        untrue["bound"] = Bound.SOFT
    for claim in untrue:
        notices.add(f"`{client.address.url}` does not keep what `{dialect.name}` says of `{claim}`")
    return replace(dialect, **untrue)


def _request() -> Request:
    problem = Problem.of(_TEXT)
    expansion = Expansion((NodeId("trial"),), ExpansionKind.FINISH, limits=Limits(NUM_TOKENS))
    branch = Branch(BranchId("trial"), expansion, 0, seed=7)
    return Request(Call(branch, (Trajectory(problem),), max_tokens=NUM_TOKENS), Prompt(_TEXT))


def _stop_within(text: str) -> str:
    """A character that the text reaches, but not at once; empty if there is none."""
    return next((each for each in text[1:] if each not in text[0] and each.isalnum()), "")


async def _try(client: Client, wire: Wire, request: Request) -> Trial:
    items = list[Item]()
    async with aclosing(client.events(wire.path, wire.body(request))) as events:
        async for event in events:
            items += wire.read(event)
    pieces = [each for each in items if isinstance(each, Piece)]
    return Trial(
        "".join(each.reasoning + each.text for each in pieces),
        tuple(token for each in pieces for token in each.token_ids),
        sum(len(each.logprobs) for each in pieces),
        next((each.ending for each in items if isinstance(each, Ended)), None),
    )
