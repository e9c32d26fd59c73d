"""Evaluation: how often a way of answering is right, and what it costs."""

from mull.evaluation.arms import Arm
from mull.evaluation.bank import Bank
from mull.evaluation.config import EvalConfig
from mull.evaluation.curves import Curve, Point, blind_curve
from mull.evaluation.evaluate import Bench, evaluate, write_report
from mull.evaluation.intervals import Interval, mean_intervals, paired_interval
from mull.evaluation.matched import Curves, Match, accuracy_at, cost_at, match
from mull.evaluation.problems import ProblemSet
from mull.evaluation.report import Report
from mull.evaluation.results import Result, RunDirectory, run_directory
from mull.evaluation.sheets import Axis, Sheet

__all__ = [
    "Arm",
    "Axis",
    "Bank",
    "Bench",
    "Curve",
    "Curves",
    "EvalConfig",
    "Interval",
    "Match",
    "Point",
    "ProblemSet",
    "Report",
    "Result",
    "RunDirectory",
    "Sheet",
    "accuracy_at",
    "blind_curve",
    "cost_at",
    "evaluate",
    "match",
    "mean_intervals",
    "paired_interval",
    "run_directory",
    "write_report",
]
