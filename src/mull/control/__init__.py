"""Controllers: before each wave, which strategy goes on, or that it is enough."""

from mull.control.fixed import Fixed

__all__ = ["Fixed"]
