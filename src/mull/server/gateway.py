"""The server's parts, and how a request becomes a solve."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex

from mull.build import OpenModel
from mull.core.digest import content_digest
from mull.core.errors import UnknownSolveError
from mull.server.errors import ApiError, ClientLeftError
from mull.server.http import Exchange
from mull.server.orders import Order
from mull.server.solves import Live, Solves, Watcher

SOLVE_HEADER = "x-mull-solve"


@dataclass(slots=True)
class Gateway:
    """Models, solves and whoever asks for them. Owned by the process that serves."""

    models: Mapping[str, OpenModel]
    """By the name they are served under; the first is the default."""
    solves: Solves

    @property
    def names(self) -> list[str]:
        """The models that are served."""
        return list(self.models)

    @asynccontextmanager
    async def solving(
        self, order: Order, exchange: Exchange
    ) -> AsyncGenerator[tuple[Live, Watcher], None]:
        """A solve for a request that waits for it, watched from its beginning where it is new.

        With an `Idempotency-Key` a request that is repeated finds the solve of the first. A client
        that leaves takes the solve with it, unless somebody else waits too.
        """
        live = await self._begin(order, exchange)
        exchange.extra_headers[SOLVE_HEADER] = live.solve_id
        has_left = False
        async with live.watched() as watcher:
            try:
                yield live, watcher
            except ClientLeftError:
                has_left = True
        if has_left:
            await self.solves.abandon(live)
            raise ClientLeftError

    async def _begin(self, order: Order, exchange: Exchange) -> Live:
        if self.solves.is_draining:
            raise ApiError(503, "the server is shutting down", kind="server_error", retry_after=5)
        labels = {"tier": order.tier, "order": order.digest}
        key = exchange.headers.get("idempotency-key")
        if key is None:
            return self.solves.start(order, token_hex(8), labels)
        solve_id, running = content_digest("idempotent", key), self.solves.live
        live = running.get(solve_id) or await self._stored(solve_id)
        # Another request with the same key may have begun it meanwhile.
        live = live or running.get(solve_id) or self.solves.start(order, solve_id, labels)
        if live.labels.get("order") != order.digest:
            raise ApiError(
                422, "the `Idempotency-Key` was used for another request", code="key_reused"
            )
        return live

    async def _stored(self, solve_id: str) -> Live | None:
        try:
            return await self.solves.go_on(solve_id, keeps_going=False)
        except UnknownSolveError:
            return None
