"""The one driver of solves."""

from mull.solver.recorder import Observer
from mull.solver.solver import Solver

__all__ = ["Observer", "Solver"]
