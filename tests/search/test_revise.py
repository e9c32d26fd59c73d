"""Revision on traces worked out by hand."""

from doubles import PROBLEM, PredicateVerifier, solver_with

from mull.core.events import StopReason
from mull.core.expansion import ExpansionKind
from mull.core.score import Score, Source
from mull.core.solution import Solution
from mull.core.spec import Spec
from mull.core.usage import Headroom
from mull.policies.scripted import ScriptedPolicy, by_sample
from mull.search.revise import Revise


async def solved(spec: Spec, *replies: str) -> Solution:
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: replies}))
    verifier = PredicateVerifier(lambda answer: answer == "42")
    return await solver_with(policy, spec, verifier).solve(PROBLEM)


async def test_a_revision_builds_on_the_best_answer_and_hears_what_is_wrong() -> None:
    solution = await solved(Spec("revise", {"n": 5, "verifier": "predicate"}), "41", "43", "42")
    first, second, third = (branch.expansion for branch in solution.tree.branches())
    nodes = [node.id for node in solution.tree.finished()]
    assert [each.kind for each in (first, second, third)] == [
        ExpansionKind.FINISH, ExpansionKind.REVISE, ExpansionKind.REVISE,
    ]  # fmt: skip
    # All were rejected alike, so each builds on the newest.
    assert (second.parents, third.parents) == ((nodes[0],), (nodes[1],))
    assert (second.feedback, third.feedback) == ("wrong", "wrong")
    assert (solution.answer, solution.stop) == ("42", StopReason.ACCEPTED)
    assert solution.tree.trajectory(nodes[2]).text == "414342"


async def test_a_revision_that_is_worse_is_not_built_on() -> None:
    solution = await solved(Spec("self_consistency", {"n": 2}), "1", "2")
    tree, source = solution.tree, Source("judge", "1")
    better, worse = (node.id for node in tree.finished())
    tree.judge(better, Score(0.7, source, reason="a sum is off"))
    tree.judge(worse, Score(0.2, source))
    (expansion,) = Revise(n=3, verifier="judge").ask(tree, Headroom()).grow
    assert (expansion.parents, expansion.feedback) == ((better,), "a sum is off")
    best = Revise(n=2, verifier="judge").select(tree)
    assert best is not None
    assert best.node_id == better


async def test_without_a_verifier_each_revision_follows_the_last_and_the_last_is_given() -> None:
    solution = await solved(Spec("revise", {"n": 3}), "41", "42", "43")
    assert [branch.expansion.feedback for branch in solution.tree.branches()] == ["", "", ""]
    nodes = [node.id for node in solution.tree.finished()]
    assert solution.tree.branches()[2].parents == (nodes[1],)
    assert (solution.answer, solution.stop) == ("43", StopReason.COMPLETED)


async def test_after_an_attempt_that_did_not_end_there_is_a_fresh_one() -> None:
    spec = Spec("revise", {"n": 3, "max_tokens": 2, "verifier": "predicate"})
    solution = await solved(spec, "1 2 3 4", "42")
    assert {branch.expansion.kind for branch in solution.tree.branches()} == {ExpansionKind.FINISH}
