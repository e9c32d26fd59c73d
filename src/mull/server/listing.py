"""`/v1/models`, `/health`, `/metrics` and `/openapi.json`."""

import asyncio
from typing import Final, Protocol, runtime_checkable

from mull.core.errors import EngineError
from mull.engine import EngineStats
from mull.server.gateway import Gateway
from mull.server.http import Exchange
from mull.server.names import offered_names, read_name
from mull.server.openapi import document

ENGINE_SECONDS: Final = 1.0
"""That an engine has to say how it is."""


@runtime_checkable
class HasEngine(Protocol):
    """A policy that runs its model itself."""

    async def stats(self) -> EngineStats:
        """What its engine holds now and what it has done."""
        ...


async def models(gateway: Gateway, exchange: Exchange) -> None:
    """Every name that a request may call its model, less the counted ones."""
    data = [_model(name) for name in offered_names(gateway.names)]
    await exchange.send_json({"object": "list", "data": data})


async def model(gateway: Gateway, exchange: Exchange) -> None:
    """One of them, or any other name that leads to a model."""
    name = exchange.path_params["model"]
    read_name(name, gateway.names)
    await exchange.send_json(_model(name))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "mull"}


async def health(gateway: Gateway, exchange: Exchange) -> None:
    """Whether requests are taken, and how many solves run."""
    is_draining = gateway.solves.is_draining
    status = "draining" if is_draining else "ok"
    body = {"status": status, "solves": len(gateway.solves.live), "models": gateway.names}
    await exchange.send_json(body, status=503 if is_draining else 200)


async def openapi(gateway: Gateway, exchange: Exchange) -> None:  # noqa: ARG001
    """What can be asked here, for tools that read OpenAPI."""
    await exchange.send_json(document())


async def metrics(gateway: Gateway, exchange: Exchange) -> None:
    """Everything Prometheus wants to know."""
    for name, scheduler in gateway.solves.schedulers.items():
        gateway.metrics.calls.labels(name, "running").set(scheduler.queue.num_running)
        gateway.metrics.calls.labels(name, "waiting").set(scheduler.queue.num_waiting)
    engines = {
        name: opened.policy
        for name, opened in gateway.solves.models.items()
        if isinstance(opened.policy, HasEngine)
    }
    await asyncio.gather(*(_observe(gateway, *each) for each in engines.items()))
    kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
    await exchange.send_bytes(gateway.metrics.text(), (kind,))


async def _observe(gateway: Gateway, name: str, policy: HasEngine) -> None:
    """Ask an engine how it is; one that has died, or is stuck, only has it said that it is."""
    try:
        async with asyncio.timeout(ENGINE_SECONDS):
            gateway.metrics.observe_engine(name, await policy.stats())
    except (EngineError, TimeoutError):
        gateway.metrics.miss_engine(name)
