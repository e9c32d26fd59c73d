"""Evaluation: how often a way of answering is right, and what it costs."""

from mull.evaluation.config import Arm, Draw, EvalConfig
from mull.evaluation.curves import Curve, Point, blind_curve
from mull.evaluation.evaluate import Bench, evaluate, write_report
from mull.evaluation.intervals import Interval, mean_intervals
from mull.evaluation.prefix import prefix_tree
from mull.evaluation.problems import ProblemSet
from mull.evaluation.report import Report
from mull.evaluation.results import ArmResult, Reading, RunDirectory, run_directory

__all__ = [
    "Arm",
    "ArmResult",
    "Bench",
    "Curve",
    "Draw",
    "EvalConfig",
    "Interval",
    "Point",
    "ProblemSet",
    "Reading",
    "Report",
    "RunDirectory",
    "blind_curve",
    "evaluate",
    "mean_intervals",
    "prefix_tree",
    "run_directory",
    "write_report",
]
