"""The gateway: solves behind the APIs that everybody speaks. Knows neither tasks nor torch."""

from mull.policies.scheduling import CallQueue, Scheduler
from mull.server.accounts import Accounts, new_key
from mull.server.app import app_of
from mull.server.gateway import Gateway, Load
from mull.server.run import Place, listening, until_told_to_end
from mull.server.solves import Solves

__all__ = [
    "Accounts",
    "CallQueue",
    "Gateway",
    "Load",
    "Place",
    "Scheduler",
    "Solves",
    "app_of",
    "listening",
    "new_key",
    "until_told_to_end",
]
