"""Problems with references: generators, the split, solvers, graders and blind play.

For evaluation and training only: nothing that runs at test time imports this room.
"""

from mull.tasks.blind import blind_chances, blind_pass_at_k, blind_successes, pass_at_k
from mull.tasks.countdown_solver import Arithmetic, CountdownSolver
from mull.tasks.example import Example, Form, Grader
from mull.tasks.files import is_task_file, parse_examples, read_examples
from mull.tasks.generators import TASKS, Task, generate, sample_text, task_named, write_trace
from mull.tasks.graders import GRADERS, grade
from mull.tasks.rare import rare_countdowns
from mull.tasks.split import Split, in_held_out_bucket, is_held_out
from mull.tasks.suites import SUITES, suite_named

__all__ = [
    "GRADERS",
    "SUITES",
    "TASKS",
    "Arithmetic",
    "CountdownSolver",
    "Example",
    "Form",
    "Grader",
    "Split",
    "Task",
    "blind_chances",
    "blind_pass_at_k",
    "blind_successes",
    "generate",
    "grade",
    "in_held_out_bucket",
    "is_held_out",
    "is_task_file",
    "parse_examples",
    "pass_at_k",
    "rare_countdowns",
    "read_examples",
    "sample_text",
    "suite_named",
    "task_named",
    "write_trace",
]
