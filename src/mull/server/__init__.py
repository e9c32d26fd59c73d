"""The gateway: solves behind the APIs that everybody speaks. Knows neither tasks nor torch."""

from mull.server.app import app_of
from mull.server.gateway import Gateway
from mull.server.run import Place, listening, until_told_to_end
from mull.server.solves import Solves

__all__ = ["Gateway", "Place", "Solves", "app_of", "listening", "until_told_to_end"]
