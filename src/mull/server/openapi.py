"""What the server offers, as an OpenAPI document made of the types that it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgspec

import mull
from mull.server.chat_request import ChatRequest
from mull.server.checking import VerifyRequest
from mull.server.fields import MullFields
from mull.server.messages import MessagesRequest
from mull.server.responses import ResponsesRequest
from mull.server.solve_routes import ExtendRequest

_REF: Final = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class _Operation:
    """One thing that can be asked."""

    path: str
    summary: str
    body: type[msgspec.Struct] | None = None
    """None: it is a GET."""
    streams: bool = False
    method: str = "post"
    media: str = "application/json"
    params: Sequence[str] = ()
    is_open: bool = False
    codes: Sequence[int] = (200,)


_OPERATIONS: Final = (
    _Operation(
        "/v1/chat/completions", "Answer a chat, plainly or by a search", ChatRequest, streams=True
    ),
    _Operation(
        "/v1/responses", "The same, as OpenAI's newer API asks", ResponsesRequest, streams=True
    ),
    _Operation("/v1/messages", "The same, as Anthropic's API asks", MessagesRequest, streams=True),
    _Operation("/v1/verify", "Judge answers that came from anywhere", VerifyRequest),
    _Operation("/v1/models", "What is served", method="get"),
    _Operation("/v1/models/{model}", "One of them", method="get", params=("model",)),
    _Operation("/v1/solves/{id}", "Where a solve stands", method="get", params=("id",)),
    _Operation(
        "/v1/solves/{id}/events",
        "What happened in it, and happens",
        method="get",
        media="text/event-stream",
        params=("id",),
    ),
    _Operation("/v1/solves/{id}/tree", "All that it thought", method="get", params=("id",)),
    _Operation("/v1/solves/{id}/cancel", "Stop it at once", params=("id",)),
    _Operation("/v1/solves/{id}/extend", "Let it spend more", ExtendRequest, params=("id",)),
    _Operation(
        "/health", "Whether requests are taken", method="get", is_open=True, codes=(200, 503)
    ),
    _Operation(
        "/metrics", "Counters for Prometheus", method="get", media="text/plain", is_open=True
    ),
)


@cache
def document() -> Mapping[str, object]:
    """The whole document."""
    bodies = [each.body for each in _OPERATIONS if each.body is not None]
    _, schemas = msgspec.json.schema_components([*bodies, MullFields], ref_template=_REF)
    for schema in schemas.values():
        if "mull" in schema.get("properties", {}):
            schema["properties"]["mull"] = {"$ref": _REF.format(name="MullFields")}
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "object"}}}
    paths = dict[str, dict[str, object]]()
    for each in _OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mull", "version": mull.__version__},
        "paths": paths,
        "security": [{"bearer": list[str]()}],
        "components": {
            "schemas": {**schemas, "Error": error},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(each: _Operation) -> dict[str, object]:
    media = [each.media, "text/event-stream"] if each.streams else [each.media]
    content: dict[str, Any] = {name: {} for name in media}
    refusal = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
    told: dict[str, object] = {
        "summary": each.summary,
        "responses": {
            **{str(code): {"description": "The answer", "content": content} for code in each.codes},
            "default": {"description": "Why there is none", "content": refusal},
        },
    }
    if each.is_open:
        told["security"] = []
    if each.params:
        told["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in each.params
        ]
    if each.body is not None:
        schema = {"$ref": _REF.format(name=each.body.__name__)}
        told["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return told
