"""`/v1/chat/completions`: the answer, whole or as it comes."""

import time

import msgspec

from mull.server.answers import answers_of, outcome_of, usage_of
from mull.server.chat_answer import Completion, Pieces
from mull.server.chat_request import ChatRequest, StreamOptions
from mull.server.fields import mull_fields
from mull.server.gateway import Gateway, check_paid
from mull.server.http import DONE, PING, PING_SECONDS, Exchange
from mull.server.names import read_name
from mull.server.orders import order_of
from mull.server.solves import Live, Watcher
from mull.server.wire import decoded


async def complete(gateway: Gateway, exchange: Exchange) -> None:
    """Answer one request."""
    request = decoded(ChatRequest, await exchange.body())
    wishes = mull_fields(request.mull, exchange.headers)
    if wishes.tier is None and request.tier is not None:
        wishes = msgspec.structs.replace(wishes, tier=request.tier)
    named = read_name(request.model, gateway.names)
    order = order_of(
        named, gateway.models[named.model], request.conversation(), request.sampled(), wishes
    )
    async with gateway.solving(order, exchange) as (live, watcher):
        completion = Completion(request.model, order, live.solve_id, int(time.time()))
        if request.stream:
            await exchange.unless_left(
                _stream(exchange, completion, live, watcher, request.stream_options)
            )
        else:
            solution = await exchange.unless_left(live.solution())
            check_paid(solution, exchange.caller)
            await exchange.send_json(completion.whole(solution))


async def _stream(
    exchange: Exchange,
    completion: Completion,
    live: Live,
    watcher: Watcher,
    options: StreamOptions | None,
) -> None:
    """The answer as it comes; what breaks leaves an error in the stream and no `[DONE]`."""
    pieces = Pieces(completion)
    async with exchange.event_stream():
        while not watcher.has_all:
            news = await watcher.take(PING_SECONDS)
            data = b"".join(pieces.of(each) for each in news) if watcher.sees_all else b""
            if data or not news:
                await exchange.send_events(data or PING)
        solution = await live.solution()
        check_paid(solution, exchange.caller)
        last = [*pieces.rest(answers_of(solution, is_plain=completion.order.is_plain))]
        if options is not None and options.include_usage:
            last.append(completion.aside(usage=usage_of(solution.usage)))
        last.append(completion.aside(mull=outcome_of(solution)))
        await exchange.send_events(b"".join((*last, DONE)))
