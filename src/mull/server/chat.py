"""`/v1/chat/completions`: plain answers, and searches for one."""

import time

import msgspec

from mull.server.chat_answer import Completion
from mull.server.chat_request import ChatRequest
from mull.server.fields import MullFields, mull_fields
from mull.server.gateway import Gateway, check_paid
from mull.server.http import Exchange
from mull.server.names import Named, read_name
from mull.server.orders import order_of
from mull.server.passage import Head, pass_through
from mull.server.streaming import stream
from mull.server.wire import decoded


async def complete(gateway: Gateway, exchange: Exchange) -> None:
    """Answer one request."""
    data = await exchange.body()
    head = decoded(Head, data)
    wishes = mull_fields(head.mull, exchange.headers)
    named = read_name(head.model, gateway.names)
    passage = gateway.passages.get(named.model)
    if passage is not None and _is_plain(named, wishes, exchange):
        await pass_through(gateway, exchange, passage, data, wishes)
    else:
        await _solve(gateway, exchange, data, wishes, named)


def _is_plain(named: Named, wishes: MullFields, exchange: Exchange) -> bool:
    """Whether nothing is asked for that the server behind the model could not do itself."""
    searches = (
        named.strategy,
        wishes.strategy,
        wishes.n,
        wishes.width,
        wishes.verifier,
        wishes.quality,
        wishes.abstain,
        wishes.effort,
    )
    is_kept = "idempotency-key" in exchange.headers
    return not is_kept and all(each is None for each in searches)


async def _solve(
    gateway: Gateway, exchange: Exchange, data: bytes, wishes: MullFields, named: Named
) -> None:
    request = decoded(ChatRequest, data)
    if wishes.tier is None and request.tier is not None:
        wishes = msgspec.structs.replace(wishes, tier=request.tier)
    order = order_of(
        named, gateway.models[named.model], request.conversation(), request.sampled(), wishes
    )
    async with gateway.solving(order, exchange) as (live, watcher):
        options = request.stream_options
        shows_usage = options is not None and options.include_usage
        completion = Completion(request.model, order, live.solve_id, int(time.time()), shows_usage)
        if request.stream:
            await exchange.unless_left(stream(exchange, completion, live, watcher))
        else:
            solution = await exchange.unless_left(live.solution())
            check_paid(solution, exchange.caller)
            await exchange.send_json(completion.whole(solution))
