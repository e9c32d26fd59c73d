"""`/v1/solves/{id}`: a solve that is running, was interrupted, or has ended."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import msgspec

from mull.build import price_version, readable_answer
from mull.core.events import BranchFailed, Event, SolveEnded, SolveStarted, event_to_json
from mull.core.expansion import Delta
from mull.core.spec import Spec
from mull.core.state import SolveState
from mull.core.steps import Step
from mull.core.tree import Node, SearchTree
from mull.core.usage import Budget
from mull.server.answers import quality_of, spending_of
from mull.server.errors import ApiError, without_places
from mull.server.fields import BudgetFields
from mull.server.gateway import Gateway
from mull.server.http import PING, PING_SECONDS, Exchange, event
from mull.server.wire import decoded
from mull.solver.solver import solution_of

_NUMBER: Final = "last-event-id"
_MAX_DIGITS: Final = 18


class ExtendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a solve may spend on top of its budget."""

    budget: BudgetFields


async def show(gateway: Gateway, exchange: Exchange) -> None:
    """Where a solve stands."""
    await _show(gateway, exchange)


async def _show(gateway: Gateway, exchange: Exchange) -> None:
    solve_id, state = exchange.path_params["solve_id"], await gateway.state(exchange)
    is_live = solve_id in gateway.solves.live
    await exchange.send_json(solve_as_json(solve_id, state, is_live=is_live))


def solve_as_json(solve_id: str, state: SolveState, *, is_live: bool) -> dict[str, object]:
    """A solve, without its tree."""
    ended, started, tree = state.ended, state.started, state.tree
    answer = ended.answer if ended else None
    return {
        "id": solve_id,
        "object": "mull.solve",
        "status": "ended" if ended else "running" if is_live else "interrupted",
        "model": started.spec.model,
        "strategy": {"name": started.spec.strategy.name, **started.spec.strategy.options},
        "problem": tree.problem.statement,
        "seed": started.seed,
        "budget": _budget_as_json(state.budget),
        "usage": spending_of(state.usage),
        "price_version": price_version(started.spec.policy),
        "waves": state.num_waves,
        "nodes": len(tree),
        "branches": len(tree.branches()),
        "stop": ended.stop.value if ended else None,
        "answer": readable_answer(tree.problem, answer) if answer is not None else None,
        "confidence": ended.confidence if ended else None,
        "quality": quality_of(solution_of(solve_id, state)) if ended else None,
        "notes": [without_places(note) for note in ended.notes] if ended else [],
    }


def _budget_as_json(budget: Budget) -> dict[str, object]:
    return {
        "tokens": budget.max_tokens,
        "seconds": budget.max_seconds,
        "money": budget.max_money_usd,
    }


async def tree(gateway: Gateway, exchange: Exchange) -> None:
    """Every node of a solve's tree, in canonical order, parents first."""
    solve_id = exchange.path_params["solve_id"]
    state = await gateway.state(exchange)
    nodes = [_node_as_json(state.tree, node) for node in state.tree.nodes()]
    await exchange.send_json({"id": solve_id, "object": "mull.tree", "nodes": nodes})


def _node_as_json(tree: SearchTree, node: Node) -> dict[str, object]:
    step = node.step or Step("")
    return {
        "id": node.id,
        "inputs": list(node.inputs),
        "branch": node.branch_id,
        "text": step.text,
        "kind": step.kind.value if node.step else None,
        "finish": node.finish.value if node.finish else None,
        "tokens": node.usage.generated_tokens,
        "is_dropped": tree.is_dropped(node.id),
        "scores": [
            {"source": str(each.source), "value": each.value, "verdict": each.verdict.value}
            for each in tree.scores(node.id)
        ],
    }


async def events(gateway: Gateway, exchange: Exchange) -> None:
    """The trace as server-sent events: what happened, then what happens, until the end.

    Each has its place in the trace as its id, so that a client that comes back goes on where it
    was (`Last-Event-ID`).
    """
    solve_id = exchange.path_params["solve_id"]
    skipped = _last_seen(exchange) + 1
    await gateway.state(exchange)
    await exchange.body()
    async with exchange.event_stream():
        await exchange.unless_left(_send_trace(gateway, exchange, solve_id, skipped))


async def _send_trace(gateway: Gateway, exchange: Exchange, solve_id: str, skipped: int) -> None:
    position = 0
    async with aclosing(_trace(gateway, solve_id)) as trace:
        async for news in trace:
            lines = list[bytes]()
            for each in news:
                if position >= skipped:
                    body = event_to_json(_shown(each))
                    lines.append(event(body, name=str(body["event"]), number=position))
                position += 1
            await exchange.send_events(b"".join(lines) or PING)


def _shown(happened: Event) -> Event:
    """The event without what it says of the owner's network."""
    match happened:
        case SolveStarted(spec=spec):
            return replace(happened, spec=replace(spec, policy=Spec(spec.policy.name)))
        case BranchFailed(failed):
            return BranchFailed(replace(failed, message=without_places(failed.message)))
        case SolveEnded(notes=notes):
            return replace(happened, notes=tuple(map(without_places, notes)))
        case _:
            return happened


async def _trace(gateway: Gateway, solve_id: str) -> AsyncGenerator[list[Event], None]:
    """A solve's events from the first on; an empty list where nothing happens for a while."""
    live = gateway.solves.live.get(solve_id)
    if live is None:
        yield list(await gateway.solves.journal.load(solve_id))
        return
    async with live.watched() as watcher:
        num_before = live.num_events
        yield list(await gateway.solves.journal.load(solve_id))[:num_before]
        while not watcher.has_all:
            news = await watcher.take(PING_SECONDS)
            yield [each for each in news if not isinstance(each, Delta)]


def _last_seen(exchange: Exchange) -> int:
    given = exchange.headers.get(_NUMBER)
    if given is None:
        return -1
    if not given.isdecimal() or len(given) > _MAX_DIGITS:
        raise ApiError(400, f"`{_NUMBER}` is no event's id", param=_NUMBER)
    return int(given)


async def cancel(gateway: Gateway, exchange: Exchange) -> None:
    """Stop a solve at once; it ends with the best answer it has, and may be extended later."""
    await gateway.state(exchange)
    live = gateway.solves.live.get(exchange.path_params["solve_id"])
    if live is not None:
        await gateway.solves.cancel(live)
    await _show(gateway, exchange)


async def extend(gateway: Gateway, exchange: Exchange) -> None:
    """Let a solve go on, with more on top of its budget; it runs whether anybody watches or not."""
    solve_id = exchange.path_params["solve_id"]
    extra = decoded(ExtendRequest, await exchange.body()).budget.budget(field="budget")
    state = await gateway.state(exchange)
    gateway.check_open(exchange.caller)
    for name, more, limit in (
        ("tokens", extra.max_tokens, state.budget.max_tokens),
        ("seconds", extra.max_seconds, state.budget.max_seconds),
        ("money", extra.max_money_usd, state.budget.max_money_usd),
    ):
        if more is not None and limit is None:
            param = f"budget.{name}"
            raise ApiError(400, f"`{param}`: the solve has no such limit to raise", param=param)
    live = await gateway.solves.go_on(solve_id, extra=extra)
    async with live.watched() as watcher:
        await watcher.take(PING_SECONDS)  # the larger budget is on record
    await _show(gateway, exchange)
