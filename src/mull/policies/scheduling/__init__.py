"""Many solves on one model: whose call goes next."""

from mull.policies.scheduling.policy import Scheduled, Scheduler
from mull.policies.scheduling.queue import CallQueue, Program, Ticket, Tier

__all__ = ["CallQueue", "Program", "Scheduled", "Scheduler", "Ticket", "Tier"]
