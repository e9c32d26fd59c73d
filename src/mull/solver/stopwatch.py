"""The time a solve takes, charged as it passes."""

from dataclasses import dataclass, field

from mull.core.clock import Clock
from mull.core.events import Charged, ChargeReason
from mull.core.ledger import Ledger
from mull.core.usage import Usage
from mull.solver.recorder import Recorder


@dataclass(slots=True)
class Stopwatch:
    """Charges elapsed seconds to the ledger and the trace. Owned by one solve."""

    clock: Clock
    ledger: Ledger
    recorder: Recorder
    mark: float = field(init=False)

    def __post_init__(self) -> None:
        self.mark = self.clock.now()

    async def charge(self) -> None:
        """Charge the time since the last charge, if any has passed."""
        now = self.clock.now()
        elapsed, self.mark = now - self.mark, now
        if elapsed > 0:
            usage = Usage(seconds=elapsed)
            await self.ledger.charge(usage)
            await self.recorder.record(Charged(usage, ChargeReason.ELAPSED))

    async def seconds_left(self) -> float | None:
        """Time until the tightest deadline; None without one."""
        await self.charge()
        return (await self.ledger.headroom()).seconds
