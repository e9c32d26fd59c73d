"""Many solves on one model: whose call goes next."""

from mull.policies.scheduling.policy import Scheduled
from mull.policies.scheduling.programs import Program, Ticket, Tier
from mull.policies.scheduling.queue import CallQueue
from mull.policies.scheduling.scheduler import Scheduler

__all__ = ["CallQueue", "Program", "Scheduled", "Scheduler", "Ticket", "Tier"]
