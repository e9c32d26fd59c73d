"""A search on paper: what was kept, what was given up, where it went bad."""

import asyncio

from mull.build import OpenModel
from mull.core.expansion import Call
from mull.core.solution import Solution
from mull.core.spec import Spec
from mull.evaluation.controls import OracleGuide
from mull.evaluation.drawing import Drawing, Drawn, Fate
from mull.evaluation.grading import Grading
from mull.evaluation.reading import Grades
from mull.evaluation.runner import solver_for
from mull.policies.scripted import Reply, ScriptedPolicy
from mull.tasks import suite_named
from mull.verifiers import CountdownChecker

EXAMPLE = next(each for each in suite_named("game24") if each.group == "4 9 10 13")
FIRST = (
    " 10 - 4 = 6 left 6 9 13\n",
    " 10 - 4 = 6 left 6 9 13\n",
    " 13 - 9 = 4 left 4 4 10\n",
    " 10 * 13 = 130 left 4 9 130\n",
    " 9 * 13 = 117 left 4 10 117\n",
    " 4 * 13 = 52 left 9 10 52\n",
)
AFTER = {
    "6 9 13": " 13 - 9 = 4 left 4 6\n",
    "4 4 10": " 10 - 4 = 6 left 4 6\n",
    "4 6": " 4 * 6 = 24",
}


def play(call: Call) -> Reply:
    steps = call.bases[0].steps
    if not steps:
        return Reply(FIRST[call.branch.sample % len(FIRST)])
    return Reply(AFTER[steps[-1].text.partition("left ")[2].strip()])


def searched() -> Solution:
    judges = (CountdownChecker(), OracleGuide())
    options = {"guide": "oracle", "verifier": judges[0].source.verifier}
    spec = Spec("beam", {**options, "shape": "6:1,1:1"})
    solver = solver_for(OpenModel.own(ScriptedPolicy(play)), judges, spec)
    return asyncio.run(solver.solve(EXAMPLE.problem))


def lines() -> list[Drawn]:
    tree, grades = searched().tree, Grades(EXAMPLE, Grading())
    asyncio.run(grades.learn(tree.trajectory(node.id).answer_text for node in tree.finished()))
    return list(Drawing(tree, grades, "oracle").lines())


def test_a_tree_is_drawn_with_values_fates_and_the_first_bad_steps() -> None:
    assert [line.text for line in lines()] == [
        "├─ 1.00  10 - 4 = 6 left 6 9 13   [2 times]",
        "│  └─ 1.00  13 - 9 = 4 left 4 6",
        "│     └─       4 * 6 = 24   [right]",
        "├─ 1.00  13 - 9 = 4 left 4 4 10   [given up, though it could still be solved]",
        "├─ 0.00  10 * 13 = 130 left 4 9 130   [given up, the first bad step]",
        "└─ and 2 more given up, 2 of them dead ends",
    ]


def test_every_line_has_its_fate() -> None:
    kept, given_up = Fate.KEPT, Fate.GIVEN_UP
    expected = [kept, kept, Fate.RIGHT, given_up, given_up, Fate.COUNTED]
    assert [line.fate for line in lines()] == expected
