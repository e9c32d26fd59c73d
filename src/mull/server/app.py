"""The routes, and what holds for all of them: errors in the caller's shape."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from mull.server import chat, checking, listing, messages, responses, solve_routes
from mull.server.accounts import ANYBODY, Account, Caller
from mull.server.errors import ApiError, ClientLeftError, api_error_of
from mull.server.gateway import Gateway
from mull.server.http import Exchange, event

_log: Final = logging.getLogger(__name__)

NOBODY: Final = Caller(ANYBODY, Account("nobody"))

Handler = Callable[[Gateway, Exchange], Awaitable[None]]
Shape = Callable[[ApiError], object]
"""An error as the JSON of one API."""


def openai_error(error: ApiError) -> object:
    """As OpenAI's clients read it."""
    return {
        "error": {
            "message": error.text,
            "type": error.kind,
            "param": error.param,
            "code": error.code,
        }
    }


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A handler as an ASGI application. No exception leaves it but a cancellation."""

    gateway: Gateway
    handler: Handler
    shape: Shape
    name: str = "other"
    """Of the path, in the metrics."""
    is_open: bool = False
    """Whether it answers who has no key."""

    def _caller(self, exchange: Exchange) -> Caller:
        scheme, _, key = exchange.headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else exchange.headers.get("x-api-key")
        caller = self.gateway.solves.accounts.caller_of(key)
        if caller is None:
            raise ApiError(
                401,
                "the key is none of this server's" if key else "a key is needed",
                kind="authentication_error",
                code="invalid_api_key",
                hint="send it as `Authorization: Bearer KEY`",
            )
        return caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        seconds = self.gateway.load.body_seconds
        exchange = Exchange(scope, receive, send, NOBODY, body_seconds=seconds)
        started = time.perf_counter()
        try:
            if not self.is_open:
                exchange.caller = self._caller(exchange)
            if self.gateway.tracing is not None:
                self.gateway.tracing.join(exchange.headers)
            await self.handler(self.gateway, exchange)
        except ClientLeftError:
            return
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            await self._fail(exchange, _SHUT_DOWN)  # the solve was left, to be resumed
        except Exception as error:  # noqa: BLE001  (the outermost boundary of a request)
            failure = api_error_of(error)
            if failure.status == 500:
                _log.exception("%s %s failed", scope["method"], scope["path"])
            await self._fail(exchange, failure)
        finally:
            seconds = time.perf_counter() - started
            metrics = self.gateway.metrics
            metrics.observe_request(self.name, exchange.status, seconds)
            if exchange.first_text is not None:
                metrics.first_text.labels(self.name).observe(exchange.first_text - started)

    async def _fail(self, exchange: Exchange, error: ApiError) -> None:
        """An answer that has begun gets an error event and no mark of a good end."""
        if exchange.is_over:
            return
        if exchange.has_begun:
            await exchange.send_events(event(self.shape(error), name="error"))
            await exchange.end()
            return
        if error.retry_after is not None:
            exchange.extra_headers["retry-after"] = str(max(1, round(error.retry_after)))
        await exchange.send_json(self.shape(error), status=error.status)


_SHUT_DOWN: Final = ApiError(
    503,
    "the server shut down before the answer was there; what was thought is kept",
    kind="server_error",
    code="shutting_down",
    retry_after=5,
)


def app_of(gateway: Gateway) -> ASGIApp:
    """The whole server as one ASGI application."""

    def route(
        path: str,
        handler: Handler,
        method: str = "POST",
        *,
        shape: Shape = openai_error,
        is_open: bool = False,
    ) -> Route:
        endpoint = Endpoint(gateway, handler, shape, path, is_open=is_open)
        return Route(path, endpoint, methods=[method])

    return Router(
        [
            route("/v1/chat/completions", chat.complete),
            route("/v1/responses", responses.respond),
            route("/v1/messages", messages.reply, shape=messages.anthropic_error),
            route("/v1/verify", checking.verify),
            route("/v1/models", listing.models, "GET"),
            route("/v1/models/{model:path}", listing.model, "GET"),
            route("/v1/solves/{solve_id}", solve_routes.show, "GET"),
            route("/v1/solves/{solve_id}/events", solve_routes.events, "GET"),
            route("/v1/solves/{solve_id}/tree", solve_routes.tree, "GET"),
            route("/v1/solves/{solve_id}/cancel", solve_routes.cancel),
            route("/v1/solves/{solve_id}/extend", solve_routes.extend),
            route("/health", listing.health, "GET", is_open=True),
            route("/openapi.json", listing.openapi, "GET", is_open=True),
            route("/metrics", listing.metrics, "GET", is_open=True),
        ],
        default=Endpoint(gateway, _no_such_path, openai_error, is_open=True),
    )


async def _no_such_path(gateway: Gateway, exchange: Exchange) -> None:  # noqa: ARG001
    path = exchange.scope["path"]
    raise ApiError(404, f"there is nothing at `{path[:100]}`", code="not_found")
