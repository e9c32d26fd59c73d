"""Controllers: before each wave, which strategy goes on, or that it is enough."""

from mull.control.beliefs import Agreement
from mull.control.fixed import Fixed
from mull.control.quality import Quality, Terms

__all__ = ["Agreement", "Fixed", "Quality", "Terms"]
